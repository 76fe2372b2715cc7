"""JPEG-LS (ITU-T T.87) by CharLS, through imagecodecs: lossless."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import imagecodecs

from harness.codecs._common import as_image, check_claimed_size, plane, require_sides, undamaged
from harness.interface import FORMATS, Codec, Image, Setting

_START_OF_FRAME = 0xF7
_END_OF_IMAGE = b"\xff\xd9"


class JpegLs(Codec):
    """One setting: 0, the largest error of a sample."""

    name: ClassVar[str] = "jpegls"
    formats: ClassVar[tuple[str, ...]] = FORMATS
    lossless: ClassVar[bool] = True

    @property
    def ladder(self) -> Sequence[Setting]:
        """Return the one setting."""
        return (0,)

    def encode(self, image: Image, setting: Setting) -> bytes:
        """Return a JPEG-LS file."""
        require_sides(image, 65535, "JPEG-LS")
        room = 2 * image.nbytes + 1024  # imagecodecs' own guess is too small for noise
        return bytes(imagecodecs.jpegls_encode(plane(image), level=int(setting), out=room))

    def decode(self, data: bytes) -> Image:
        """Return the image in a JPEG-LS file."""
        with undamaged("JPEG-LS"):
            _check_frame(data)
            return as_image(imagecodecs.jpegls_decode(data), "JPEG-LS")

    def provenance(self) -> Mapping[str, Any]:
        """Return the versions of imagecodecs and CharLS."""
        return {"imagecodecs": imagecodecs.__version__, "library": imagecodecs.jpegls_version()}


def _check_frame(data: bytes) -> None:
    """Check the size in the frame header (T.87, C.2.2): every row takes at least one bit.

    The end marker is required, because without it CharLS searches for seconds.
    """
    if not data.endswith(_END_OF_IMAGE):
        raise ValueError("no end marker")
    place = 2
    while True:
        prefix, marker, length = struct.unpack_from(">BBH", data, place)
        if prefix != 0xFF:
            raise ValueError("a marker is absent")
        if marker == _START_OF_FRAME:
            break
        place += 2 + length
    height, width = struct.unpack_from(">HH", data, place + 5)
    check_claimed_size(height if height <= 8 * len(data) else 0, width, "JPEG-LS")
