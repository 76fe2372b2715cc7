"""Read the size in the header of a JPEG XL file (ISO/IEC 18181-1, SizeHeader; 18181-2, boxes)."""

from __future__ import annotations

import struct
from typing import NamedTuple

_CODESTREAM = b"\xff\x0a"
_CONTAINER = b"\x00\x00\x00\x0cJXL \x0d\x0a\x87\x0a"
_RATIOS = ((0, 0), (1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))
_LENGTHS = (9, 13, 18, 30)


class ImageSize(NamedTuple):
    """The size of an image, in pixels."""

    height: int
    width: int


def read_size(data: bytes) -> ImageSize:
    """Return the size in the header of a JPEG XL codestream, bare or inside boxes.

    Raises:
        ValueError: there is no such header.
        struct.error: the boxes are cut off.
    """
    start = _codestream(data)
    head = data[start : start + 12]
    if head[:2] != _CODESTREAM:
        raise ValueError("no JPEG XL codestream found")
    return _size(_Bits(int.from_bytes(head[2:].ljust(10, b"\x00"), "little")))


class _Bits:
    """Reads bits of a number, lowest first."""

    def __init__(self, value: int) -> None:
        self._value = value

    def take(self, count: int) -> int:
        taken = self._value & ((1 << count) - 1)
        self._value >>= count
        return taken


def _size(bits: _Bits) -> ImageSize:
    small = bits.take(1)
    height = 8 * (bits.take(5) + 1) if small else bits.take(_LENGTHS[bits.take(2)]) + 1
    numerator, denominator = _RATIOS[bits.take(3)]
    if denominator:
        return ImageSize(height, height * numerator // denominator)
    return ImageSize(height, 8 * (bits.take(5) + 1) if small else bits.take(_LENGTHS[bits.take(2)]) + 1)


def _codestream(data: bytes) -> int:
    """Return the offset of the codestream: 0, or inside the first jxlc or jxlp box of a container."""
    if not data.startswith(_CONTAINER):
        return 0
    place = 0
    while True:
        length, kind = struct.unpack_from(">I4s", data, place)
        head = 16 if length == 1 else 8
        if kind in (b"jxlc", b"jxlp"):
            return place + head + (4 if kind == b"jxlp" else 0)
        if length == 1:
            (length,) = struct.unpack_from(">Q", data, place + 8)
        if length < head:
            raise ValueError("a box of a JPEG XL file has an impossible length")
        place += length
