"""Benchmark image compression, learned and classical, honestly: real bytes, one interface, one report."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from harness.api import bench, load_codec, read_records

__all__ = ["bench", "load_codec", "read_records"]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """Import the Python API when it is first used."""
    if name not in __all__:
        raise AttributeError(f"module 'harness' has no attribute {name!r}")
    from harness import api

    return getattr(api, name)
