"""A codec whose file sizes dip: which file a search finds may depend on where it looks first."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from harness import Codec, Image, Setting


class Dips(Codec):
    """Keeps the mean colour, and fills the file to a size that wavers by a tenth from setting to setting."""

    name: ClassVar[str] = "dips"
    formats: ClassVar[tuple[str, ...]] = ("rgb8",)

    @property
    def ladder(self) -> Sequence[Setting]:
        return range(200)

    def encode(self, image: Image, setting: Setting) -> bytes:
        height, width, _ = image.shape
        start: bytes = np.array([height, width], "<u2").tobytes() + image.mean((0, 1)).astype(np.uint8).tobytes()
        wavering = zlib.crc32(image.tobytes() + bytes([int(setting)])) / 2**32
        return start.ljust(int(image.nbytes * (0.02 + 0.004 * setting) * (0.9 + 0.2 * wavering)), b"\0")

    def decode(self, data: bytes) -> Image:
        height, width = np.frombuffer(data[:4], "<u2")
        return np.tile(np.frombuffer(data[4:7], np.uint8), (int(height), int(width), 1))

    def provenance(self) -> Mapping[str, Any]:
        return {"format": 1}
