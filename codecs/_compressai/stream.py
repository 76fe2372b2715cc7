"""The payload of a file of CompressAI's networks: the shape of the latents, and strings."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import NamedTuple

from harness.errors import BadStreamError

MULTIPLE = 64
"""The sides of images are padded, by reflection, to multiples of this many pixels."""
_SHAPE, _LENGTH = struct.Struct("<HH"), struct.Struct("<I")


class Strings(NamedTuple):
    """The content of a payload."""

    shape: tuple[int, int]
    """Rows and columns of the hyper-latents, or of the latents if there are none."""
    strings: list[bytes]


def payload_of(shape: tuple[int, int], strings: Sequence[bytes]) -> bytes:
    """Return a payload: the shape, then the length and bytes of each string."""
    return _SHAPE.pack(*shape) + b"".join(_LENGTH.pack(len(one)) + one for one in strings)


def strings_of(payload: bytes) -> Strings:
    """Return the content of a payload.

    Raises:
        BadStreamError: the lengths do not add up.
    """
    strings: list[bytes] = []
    place = _SHAPE.size
    while place + _LENGTH.size <= len(payload):
        (length,) = _LENGTH.unpack_from(payload, place)
        place += _LENGTH.size
        strings.append(payload[place : place + length])
        place += length
    if place != len(payload):
        raise BadStreamError("the file's strings are damaged: their lengths do not add up.")
    height, width = _SHAPE.unpack_from(payload)
    return Strings((height, width), strings)
