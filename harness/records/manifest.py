"""The manifest of a run: reading and writing."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.errors import StoreError


def write(path: Path, manifest: Mapping[str, Any]) -> None:
    """Write a manifest so that a reader never sees half of it."""
    partial = path.with_suffix(".part")
    partial.write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")
    partial.rename(path)


def read(path: Path) -> dict[str, Any]:
    """Return the manifest in a file.

    Raises:
        StoreError: there is none, or it is damaged.
    """
    try:
        loaded = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise StoreError(f"{path} cannot be read as a manifest: {error}.") from error
    if not isinstance(loaded, dict):
        raise StoreError(f"{path} is no manifest: it holds a {type(loaded).__name__}.")
    return loaded
