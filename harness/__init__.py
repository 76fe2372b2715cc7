"""Benchmark image compression, learned and classical, honestly: real bytes, one interface, one report."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from harness.api import bench, check_codec, load_codec, read_records
    from harness.interface import MAX_PIXELS, BudgetCodec, Codec, Encoded, Image, LearnedCodec, Setting
    from harness.learned.shape import Networks, Shape
    from harness.metrics.pair import Pair
    from harness.metrics.table import Metric
    from harness.models.network_codec import NetworkCodec

__all__ = [
    "MAX_PIXELS",
    "BudgetCodec",
    "Codec",
    "Encoded",
    "Image",
    "LearnedCodec",
    "Metric",
    "NetworkCodec",
    "Networks",
    "Pair",
    "Setting",
    "Shape",
    "bench",
    "check_codec",
    "load_codec",
    "read_records",
]
__version__ = "0.1.0"

_PLACES = {
    **dict.fromkeys(("bench", "check_codec", "load_codec", "read_records"), "harness.api"),
    **dict.fromkeys(
        ("MAX_PIXELS", "BudgetCodec", "Codec", "Encoded", "Image", "LearnedCodec", "Setting"), "harness.interface"
    ),
    **dict.fromkeys(("Networks", "Shape"), "harness.learned.shape"),
    "Metric": "harness.metrics.table",
    "Pair": "harness.metrics.pair",
    "NetworkCodec": "harness.models.network_codec",
}
"""Public name -> the module that defines it, which is imported when the name is first used."""


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used."""
    if name not in _PLACES:
        raise AttributeError(f"module 'harness' has no attribute {name!r}")
    return getattr(import_module(_PLACES[name]), name)
