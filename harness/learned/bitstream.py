"""The file of a learned codec: a header of 40 bytes, then entropy-coded latents.

| bytes | what                                                                     |
|-------|--------------------------------------------------------------------------|
| 4     | magic, by architecture                                                   |
| 1     | version, 1                                                               |
| 1     | index of the image's kind in `FORMATS`                                   |
| 8     | weights id: the first bytes of the sha256 of the weights' file           |
| 4, 4  | height, width, in pixels                                                 |
| 2     | k, signed: the step is 2^(k / 32)                                        |
| 2, 2  | the samples that became 0 and 1 for the networks                         |
| 4     | CRC-32 of the latents (int32, little-endian, in coding order)            |
| 4     | bytes that follow the header                                             |
| 4     | CRC-32 of the header before this field and of all that follows           |

All numbers are little-endian and unsigned, except that k is signed. CRC-32 is as in IEEE 802.3.
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
"""Architecture -> the first four bytes of its files."""
MAGIC_OF_OTHERS = b"HLXX"
"""The first four bytes for architectures of plugins; the weights id says which one."""
VERSION = 1
STEPS_PER_OCTAVE = 32
"""Steps are 2^(k / 32)."""
MOST_PIXELS = 2**24
"""The most pixels (height x width) of an image: networks need some hundred bytes per pixel."""
_MOST_PADDED = 1.25
"""A padded image may have this many times the most pixels of an image."""
_HEADER = struct.Struct("<4sBB8sIIhHHII")
_CRC = struct.Struct("<I")
HEADER_BYTES = _HEADER.size + _CRC.size


@dataclass(frozen=True)
class SizeLimit:
    """How large an image may be, before and after padding: a narrow image is mostly padding."""

    pixels: int
    """The most pixels, height x width."""
    block: int
    """Sides are padded to multiples of this many pixels."""
    margin: int
    """Then every edge is padded by this many pixels."""

    def holds(self, height: int, width: int) -> bool:
        """Return whether an image of this size is accepted."""
        rows, columns = (-(-side // self.block) * self.block + 2 * self.margin for side in (height, width))
        return 0 < height * width <= self.pixels and rows * columns <= _MOST_PADDED * self.pixels

    def __str__(self) -> str:
        beyond = f" plus {self.margin} beyond every edge" if self.margin else ""
        return (
            f"at most {self.pixels} pixels are accepted, and {_MOST_PADDED * self.pixels:.0f} with sides padded to "
            f"multiples of {self.block}{beyond}"
        )


_LIMIT = SizeLimit(MOST_PIXELS, block=16, margin=16)
"""The limit of our architectures: none has larger blocks, or more than one of them beyond an edge."""


@dataclass(frozen=True)
class Stream:
    """The content of a file, which is all that a decoder knows."""

    architecture: str
    kind: str
    """One of `FORMATS`."""
    weights_id: str
    """16 hexadecimal digits."""
    height: int
    width: int
    k: int
    low: int
    """The sample that became 0 for the networks."""
    high: int
    """The sample that became 1."""
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
        """Read a file of an architecture.

        Raises:
            BadStreamError: it is no intact file of this format, or its image is too large.
        """
        if len(data) < HEADER_BYTES or data[:4] != MAGICS.get(architecture, MAGIC_OF_OTHERS):
            raise BadStreamError(f"this is not a file of the learned codec {architecture}: its first bytes are wrong.")
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
            raise BadStreamError(f"the file asks for samples of up to {high}; {FORMATS[kind]} ends at {most}.")
        return Stream(architecture, FORMATS[kind], weights.hex(), height, width, k, low, high, latents_crc, payload)


def latents_crc(latents: NDArray[np.int64]) -> int:
    """Return the CRC-32 of latents for the header."""
    return zlib.crc32(latents.astype("<i4").tobytes())


def require_size(height: int, width: int, limit: SizeLimit = _LIMIT) -> None:
    """Check that a codec accepts an image of this size.

    Raises:
        UnsupportedImageError: the image has too many pixels.
    """
    if not limit.holds(height, width):
        raise UnsupportedImageError(f"the image has {width} x {height} pixels; {limit}.")
