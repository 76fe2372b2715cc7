"""What codecs and metrics are made of: a change of their code makes records of their own."""

from __future__ import annotations

from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path

from harness.system.hashing import file_sha256

_DIGITS = 16


def source_of(target: str, group: str) -> str:
    """Return what changes with the code of a target, "module:Class" or "file.py:Class".

    Digits of the sha256 of a plugin file, or of a module of harness's own; name and version of the package that has
    the target as an entry point in the group.
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
