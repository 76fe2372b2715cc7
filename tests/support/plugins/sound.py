"""A codec that fails no conformance test: the high bits of each sample, deflated. Plugins of the tests build on it."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from harness import Codec, Image, Setting
from harness.errors import BadStreamError

HEADER = struct.Struct("<IIBB")


class Bits(Codec):
    """Settings: how many bits of each 8-bit sample are kept."""

    name: ClassVar[str] = "bits"
    formats: ClassVar[tuple[str, ...]] = ("rgb8", "gray8")

    @property
    def ladder(self) -> Sequence[Setting]:
        """One to eight bits."""
        return range(1, 9)

    def encode(self, image: Image, setting: Setting) -> bytes:
        """Return header and deflated samples."""
        height, width, channels = image.shape
        kept = image >> np.uint8(8 - int(setting)) << np.uint8(8 - int(setting))
        return HEADER.pack(height, width, channels, int(setting)) + zlib.compress(kept.tobytes())

    def decode(self, data: bytes) -> Image:
        """Return the samples, in the middle of what their bits say."""
        try:
            height, width, channels, bits = HEADER.unpack_from(data)
            samples = np.frombuffer(zlib.decompress(data[HEADER.size :]), np.uint8).reshape(height, width, channels)
        except (struct.error, zlib.error, ValueError) as error:
            raise BadStreamError(f"these bytes are no intact file of bits: {error}") from error
        return samples + np.uint8((1 << 8 - bits) >> 1)

    def provenance(self) -> Mapping[str, Any]:
        """The format's version."""
        return {"format": 1}
