"""JPEG XR (ITU-T T.832) by jxrlib, through imagecodecs."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import imagecodecs

from harness.codecs._common import as_image, check_claimed_size, plane, undamaged
from harness.errors import UnsupportedImageError
from harness.interface import FORMATS, Codec, Image, Setting

_SUBSAMPLED_BELOW = 0.5
_SMALLEST_WIDTH = 17
_SIGNATURE = b"WMPHOTO\x00"
_WIDTH_TAG, _HEIGHT_TAG = 0xBC80, 0xBC81
_VERSION, _OVERLAPS = 0x11, (0, 2)
_SHORT_SIDES, _LONG_WORDS = 0x80, 0x40
_COLOURS = {0x71: (0x30, 0x70, 0x60), 0x01: (0x10, 0x00), 0x02: (0x10, 0x00)}
"""Output format -> internal formats. 8-bit RGB: 4:2:0, 4:4:4, lossless; 8-bit and 16-bit gray: lossy, lossless."""


class JpegXr(Codec):
    """Settings: jxrlib's quality, 0.01 to 1; 1 is lossless.

    Below 0.5 jxrlib subsamples chroma (4:2:0) and overlaps blocks twice, which needs 17 columns; from 0.5 on it keeps
    4:4:4 and does not overlap blocks.
    """

    name: ClassVar[str] = "jpegxr"
    formats: ClassVar[tuple[str, ...]] = FORMATS

    @property
    def ladder(self) -> Sequence[Setting]:
        """Return qualities in steps of 0.005."""
        return [round(0.005 * step, 3) for step in range(2, 201)]

    def encode(self, image: Image, setting: Setting) -> bytes:
        """Return a JPEG XR file."""
        width = image.shape[1]
        if setting < _SUBSAMPLED_BELOW and width < _SMALLEST_WIDTH:
            raise UnsupportedImageError(
                f"jxrlib needs {_SMALLEST_WIDTH} columns below quality {_SUBSAMPLED_BELOW}, not {width}."
            )
        return bytes(imagecodecs.jpegxr_encode(plane(image), level=float(setting)))

    def decode(self, data: bytes) -> Image:
        """Return the image in a JPEG XR file."""
        with undamaged("JPEG XR"):
            _check_header(data)
            return as_image(imagecodecs.jpegxr_decode(data), "JPEG XR")

    def provenance(self) -> Mapping[str, Any]:
        """Return the versions of imagecodecs and jxrlib."""
        return {"imagecodecs": imagecodecs.__version__, "library": imagecodecs.jpegxr_version()}


def _check_header(data: bytes) -> None:
    """Check that the header (T.832, 8.3 and A.7) is one that `encode` writes: jxrlib crashes on some others."""
    place = data.index(_SIGNATURE) + len(_SIGNATURE)
    version, overlap, flags, output = data[place : place + 4]
    sides = struct.Struct(">HH" if flags & _SHORT_SIDES else ">II")
    width, height = (side + 1 for side in sides.unpack_from(data, place + 4))
    inner = data[place + 4 + sides.size]
    plain = version == _VERSION and overlap in _OVERLAPS and flags & ~_SHORT_SIDES == _LONG_WORDS
    if not plain or inner not in _COLOURS.get(output, ()) or (width, height) != _container_sides(data):
        raise ValueError("the header is not one that this codec writes, or contradicts the container")
    check_claimed_size(height, width, "JPEG XR")


def _container_sides(data: bytes) -> tuple[int, int]:
    """Return (width, height) from the tags of the container."""
    (start,) = struct.unpack_from("<I", data, 4)
    (count,) = struct.unpack_from("<H", data, start)
    entries = struct.iter_unpack("<HHII", data[start + 2 : start + 2 + 12 * count])
    values = {tag: value for tag, _, _, value in entries}
    return values[_WIDTH_TAG], values[_HEIGHT_TAG]
