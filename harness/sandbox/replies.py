"""What a codec may say of itself: checked in its own process, and again where the answer is read."""

from __future__ import annotations

import json
import math
import reprlib
from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any

import numpy as np

from harness.errors import ConformanceError
from harness.interface import Setting

MAX_LADDER = 65_536
"""No ladder has more settings."""
MAX_INTEGER = 2**53
"""No setting is a larger integer: a double, as the store keeps settings, holds all integers up to it."""


def ladder_of(settings: Iterable[object]) -> list[Setting]:
    """Return the settings of a ladder.

    Raises:
        ConformanceError: they are no numbers, none, or too many.
    """
    ladder = [number(setting, "its ladder holds") for setting in islice(settings, MAX_LADDER + 1)]
    if not 0 < len(ladder) <= MAX_LADDER:
        found = len(ladder) if len(ladder) <= MAX_LADDER else f"more than {MAX_LADDER}"
        raise ConformanceError(f"its ladder has {found} settings; 1 to {MAX_LADDER} are taken.")
    return ladder


def number(value: object, said: str) -> Setting:
    """Return a number that a codec said, as Python's own.

    Raises:
        ConformanceError: it is none that the store can keep.
    """
    if isinstance(value, int | np.integer) and not isinstance(value, bool):
        if abs(int(value)) > MAX_INTEGER:
            raise ConformanceError(f"{said} {reprlib.repr(value)}; an integer of at most 2^53 is taken.")
        return int(value)
    if not isinstance(value, float | np.floating) or not math.isfinite(value):
        raise ConformanceError(f"{said} {reprlib.repr(value)}; a finite number is taken.")
    return float(value)


def sizes_of(sizes: Iterable[object], count: int) -> list[float]:
    """Return the sizes, in bytes, that a codec predicts for a ladder of `count` settings.

    Raises:
        ConformanceError: they are no positive numbers, or not one a setting.
    """
    said = [float(number(size, "its predicted sizes hold")) for size in islice(sizes, count + 1)]
    if len(said) != count or min(said) <= 0:
        raise ConformanceError(
            f"it predicts {len(said)} sizes, {min(said, default=0):g} or more; {count} above 0 are taken."
        )
    return said


def text_of(value: object, said: str) -> str:
    """Return a text that a codec said.

    Raises:
        ConformanceError: it is none.
    """
    if not isinstance(value, str):
        raise ConformanceError(f"{said} {kind_of(value)}; a text is taken.")
    return value


def plain(provenance: Mapping[str, Any]) -> dict[str, Any]:
    """Return a provenance as JSON keeps it.

    Raises:
        ConformanceError: JSON cannot keep it.
    """
    try:
        return dict(json.loads(json.dumps(dict(provenance), allow_nan=False)))
    except (TypeError, ValueError) as error:
        raise ConformanceError(f"its provenance is no mapping of JSON types: {error}.") from error


def kind_of(value: object) -> str:
    """Name what something is, for a message."""
    return f"an array of {value.dtype}" if isinstance(value, np.ndarray) else f"a {type(value).__name__}"
