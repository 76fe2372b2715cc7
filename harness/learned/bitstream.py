"""The file of a learned codec: a header of 40 bytes, checked, then entropy-coded latents.

| bytes | what                                                                     |
|-------|--------------------------------------------------------------------------|
| 4     | magic, by architecture                                                   |
| 1     | version, 1                                                               |
| 1     | index of the image's kind in `FORMATS`                                   |
| 8     | weights id: the first bytes of the sha256 of the weights' file           |
| 4, 4  | height, width, in pixels                                                 |
| 2     | k, signed: the step is 2^(k / 32)                                        |
| 2, 2  | the samples that the networks saw as 0 and as 1                          |
| 4     | CRC-32 of the latents (int32, little-endian, in the order of coding)     |
| 4     | bytes that follow the header                                             |
| 4     | CRC-32 of the header before this field and of all that follows           |

All numbers are little-endian and, but k, unsigned; CRC-32 is that of IEEE 802.3.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.errors import BadStreamError, UnsupportedImageError
from harness.interface import FORMATS

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MAGICS = {
    "baseline": b"HLBA",
    "resnet": b"HLRN",
    "residual": b"HLRD",
    "attention": b"HLAT",
    "bmshj2018-factorized": b"HLBF",
    "bmshj2018-hyperprior": b"HLBH",
    "mbt2018-mean": b"HLMM",
    "mbt2018": b"HLMA",
    "cheng2020-anchor": b"HLCN",
    "cheng2020-attn": b"HLCT",
}
"""What the file of each architecture begins with."""
MAGIC_OF_OTHERS = b"HLXX"
"""The same of an architecture that is a plugin; the weights id says which."""
VERSION = 1
STEPS_PER_OCTAVE = 32
"""Steps are 2^(k / 32)."""
MOST_PIXELS = 2**24
"""Pixels (height x width) of the greatest image: networks hold some hundred bytes a pixel."""
_SEEN_BEYOND = 1.25
"""What networks see of an image is at most so many times the greatest number of pixels."""
_HEADER = struct.Struct("<4sBB8sIIhHHII")
_CRC = struct.Struct("<I")
HEADER_BYTES = _HEADER.size + _CRC.size


@dataclass(frozen=True)
class SizeLimit:
    """How large an image may be, and what networks see of it: of a narrow one, mostly what lies beyond its edges."""

    pixels: int
    """Height x width, at most."""
    block: int
    """Sides are continued to whole multiples of so many pixels."""
    margin: int
    """Then every edge is continued by so many."""

    def holds(self, height: int, width: int) -> bool:
        """Tell whether an image of this size is taken."""
        rows, columns = (-(-side // self.block) * self.block + 2 * self.margin for side in (height, width))
        return 0 < height * width <= self.pixels and rows * columns <= _SEEN_BEYOND * self.pixels

    def __str__(self) -> str:
        beyond = f" and {self.margin} beyond every edge" if self.margin else ""
        return (
            f"at most {self.pixels} pixels are taken, and {_SEEN_BEYOND * self.pixels:.0f} with sides continued to "
            f"multiples of {self.block}{beyond}"
        )


_LIMIT = SizeLimit(MOST_PIXELS, block=16, margin=16)
"""Of every architecture: none of ours has larger blocks of latents, or more than one of them beyond an edge."""


@dataclass(frozen=True)
class Stream:
    """What a file says; all that a decoder knows."""

    architecture: str
    kind: str
    """One of `FORMATS`."""
    weights_id: str
    """16 hexadecimal digits."""
    height: int
    width: int
    k: int
    low: int
    """The sample that the networks saw as 0."""
    high: int
    """The sample that they saw as 1."""
    latents_crc: int
    payload: bytes

    def to_bytes(self) -> bytes:
        """Return the file."""
        start = _HEADER.pack(
            MAGICS.get(self.architecture, MAGIC_OF_OTHERS),
            VERSION,
            FORMATS.index(self.kind),
            bytes.fromhex(self.weights_id),
            self.height,
            self.width,
            self.k,
            self.low,
            self.high,
            self.latents_crc,
            len(self.payload),
        )
        return start + _CRC.pack(zlib.crc32(self.payload, zlib.crc32(start))) + self.payload

    @staticmethod
    def from_bytes(data: bytes, architecture: str) -> Stream:
        """Return what a file of an architecture says.

        Raises:
            BadStreamError: it is no intact file of this format, or its size is beyond what is taken.
        """
        if len(data) < HEADER_BYTES or data[:4] != MAGICS.get(architecture, MAGIC_OF_OTHERS):
            raise BadStreamError(f"this is no file of the learned codec {architecture}: its first bytes are others.")
        start, payload = data[: _HEADER.size], data[HEADER_BYTES:]
        (crc,) = _CRC.unpack_from(data, _HEADER.size)
        _, version, kind, weights, height, width, k, low, high, latents_crc, size = _HEADER.unpack(start)
        if version != VERSION:
            raise BadStreamError(f"the file has version {version} of this format; this program reads {VERSION}.")
        if size != len(payload) or crc != zlib.crc32(payload, zlib.crc32(start)):
            raise BadStreamError("the file of a learned codec is damaged: its length or its CRC-32 is wrong.")
        if kind >= len(FORMATS) or not _LIMIT.holds(height, width) or low >= high:
            raise BadStreamError(f"the file asks for {width} x {height} pixels of kind {kind}; {_LIMIT}.")
        if high > (most := 65_535 if FORMATS[kind] == "gray16" else 255):
            raise BadStreamError(f"the file asks for samples of up to {high}; those of {FORMATS[kind]} end at {most}.")
        return Stream(architecture, FORMATS[kind], weights.hex(), height, width, k, low, high, latents_crc, payload)


def latents_crc(latents: NDArray[np.int64]) -> int:
    """Return the CRC-32 of latents, as the header holds it."""
    return zlib.crc32(latents.astype("<i4").tobytes())


def check_size(height: int, width: int, limit: SizeLimit = _LIMIT) -> None:
    """Refuse images that a codec does not take.

    Raises:
        UnsupportedImageError: too many pixels.
    """
    if not limit.holds(height, width):
        raise UnsupportedImageError(f"the image has {width} x {height} pixels; {limit}.")
