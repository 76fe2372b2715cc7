"""Tables and cards that are read from files: every key is known, and a fault is described in one form."""

from __future__ import annotations

import reprlib

from pydantic import BaseModel, ConfigDict, ValidationError

WHOLE_TABLE = "A table replaces the whole packaged table of its name, so give every key."
"""What to do if a table of benchmarks.toml lacks a key."""


class StrictModel(BaseModel):
    """A frozen model for which an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def explain(error: ValidationError, where: str, advice: str = "") -> str:
    """Return the first fault of a validation as "key: what is expected; found ...".

    Args:
        error: what pydantic raised.
        where: the text before the key, such as "benchmarks.toml: " or "recipes.rate.".
        advice: what to do if the fault is an absent key.
    """
    fault = error.errors()[0]
    key = where + ".".join(str(part) for part in fault["loc"])
    if fault["type"] == "extra_forbidden":
        return f"{key} is not a known key. Remove it or correct its spelling."
    if fault["type"] == "missing":
        return f"{key} is missing. {advice}".rstrip()
    found = reprlib.repr(fault["input"])
    message = fault["msg"].removeprefix("Value error, ")
    return f"{key}: {message[0].lower()}{message[1:]}; found {found}."
