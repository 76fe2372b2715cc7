"""A digest of the code of a codec or metric: changed code makes new records."""

from __future__ import annotations

from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path

from harness.system.hashing import file_sha256

_DIGITS = 16


def source_of(target: str, group: str) -> str:
    """Return a text that changes with the code of a target, "module:Class" or "file.py:Class".

    For a plugin file or a module of harness it is the start of the file's sha256; for an installed package, which
    offers the target as an entry point in the group, it is the package's name and version.
    """
    where = target.rpartition(":")[0]
    if where.endswith(".py"):
        return file_sha256(Path(where))[:_DIGITS]
    if where.partition(".")[0] == "harness":
        found = find_spec(where)
        return file_sha256(Path(found.origin))[:_DIGITS] if found and found.origin else ""
    owners = {
        f"{point.dist.name} {point.dist.version}"
        for point in entry_points(group=group)
        if point.value == target and point.dist
    }
    return ", ".join(sorted(owners))
