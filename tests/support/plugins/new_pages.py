"""A codec and a metric that say how many new pages of memory work on planes costs: their sizes and scores."""

from __future__ import annotations

import resource
import struct
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from harness import Codec, Image, Metric, Setting

HEADER = struct.Struct("<II")
_PLANE = 40 << 20
"""Bytes: a plane of a photograph of ten megapixels in float32."""


def new_pages() -> int:
    """Return the page faults of making ten planes one after the other, when one was there before."""
    np.ones(_PLANE, np.uint8).sum()
    before = resource.getrusage(resource.RUSAGE_THREAD).ru_minflt
    for _ in range(10):
        np.ones(_PLANE, np.uint8).sum()
    return resource.getrusage(resource.RUSAGE_THREAD).ru_minflt - before


class Pages(Codec):
    """Samples as they are, and as many bytes after them as there were new pages."""

    name: ClassVar[str] = "pages"
    formats: ClassVar[tuple[str, ...]] = ("rgb8",)

    @property
    def ladder(self) -> Sequence[Setting]:
        """Settings change nothing."""
        return range(2)

    def encode(self, image: Image, setting: Setting) -> bytes:
        """Return sides, samples and the tail."""
        height, width, _ = image.shape
        return HEADER.pack(height, width) + image.tobytes() + bytes(new_pages())

    def decode(self, data: bytes) -> Image:
        """Return the samples."""
        height, width = HEADER.unpack_from(data)
        samples = np.frombuffer(data, np.uint8, height * width * 3, HEADER.size)
        return samples.reshape(height, width, 3)

    def provenance(self) -> Mapping[str, Any]:
        """Nothing decides it."""
        return {}


pages = Metric("pages", "", "lower", lambda pair: float(new_pages()))
