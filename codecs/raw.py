"""Uncompressed samples behind a small header. The smallest codec, and an example."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from harness.errors import BadStreamError
from harness.interface import FORMATS, MAX_PIXELS, Codec, Image, Setting, image_format

_HEADER = struct.Struct("<4sBIII")
_MAGIC = b"HRAW"


class Raw(Codec):
    """A header (magic, format, height, width, CRC-32 of IEEE 802.3), then little-endian samples."""

    name: ClassVar[str] = "raw"
    formats: ClassVar[tuple[str, ...]] = FORMATS
    lossless: ClassVar[bool] = True

    @property
    def ladder(self) -> Sequence[Setting]:
        """Return the one setting, which has no effect."""
        return (0,)

    def encode(self, image: Image, setting: Setting) -> bytes:
        """Return header and samples."""
        samples = image.astype(image.dtype.newbyteorder("<"), copy=False).tobytes()
        height, width, _ = image.shape
        kind = FORMATS.index(image_format(image))
        return _HEADER.pack(_MAGIC, kind, height, width, zlib.crc32(samples)) + samples

    def decode(self, data: bytes) -> Image:
        """Return the samples as an image."""
        if len(data) < _HEADER.size:
            raise BadStreamError(f"a raw file has at least {_HEADER.size} bytes, found {len(data)}.")
        magic, kind, height, width, crc = _HEADER.unpack_from(data)
        if magic != _MAGIC or kind >= len(FORMATS) or not 0 < height * width <= MAX_PIXELS:
            raise BadStreamError("this is not a raw file: its magic, format or size is wrong.")
        channels = 3 if FORMATS[kind] == "rgb8" else 1
        dtype = np.dtype("<u2" if FORMATS[kind] == "gray16" else "u1")
        body = memoryview(data)[_HEADER.size :]
        if len(body) != height * width * channels * dtype.itemsize or zlib.crc32(body) != crc:
            raise BadStreamError("the raw file is damaged: its length or its CRC-32 is wrong.")
        image: Image = np.frombuffer(body, dtype).reshape(height, width, channels).astype(dtype.newbyteorder("="))
        return image

    def provenance(self) -> Mapping[str, Any]:
        """Return the version of the format, which alone decides the bytes."""
        return {"format": 1}
