"""JPEG XR (ITU-T T.832) by jxrlib, through imagecodecs."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import imagecodecs

from harness.codecs._common import as_image, check_size, plane, undamaged
from harness.errors import UnsupportedImageError
from harness.interface import FORMATS, Codec, Image, Setting

_SUBSAMPLED_BELOW = 0.5
_SMALLEST_WIDTH = 17
_SIGNATURE = b"WMPHOTO\x00"


class JpegXr(Codec):
    """Settings: jxrlib's quality, 0.01 to 0.995.

    jxrlib halves the chroma (4:2:0) and overlaps blocks twice below 0.5, which needs 17 columns; from 0.5 on it
    keeps 4:4:4 and does not overlap.
    """

    name: ClassVar[str] = "jpegxr"
    formats: ClassVar[tuple[str, ...]] = FORMATS

    @property
    def ladder(self) -> Sequence[Setting]:
        """Qualities in steps of 0.005."""
        return [round(0.005 * step, 3) for step in range(2, 200)]

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
            _check_claimed_size(data)
            return as_image(imagecodecs.jpegxr_decode(data), "JPEG XR")

    def provenance(self) -> Mapping[str, Any]:
        """imagecodecs and jxrlib."""
        return {"imagecodecs": imagecodecs.__version__, "library": imagecodecs.jpegxr_version()}


def _check_claimed_size(data: bytes) -> None:
    """Check the size in the codestream's header (T.832, 8.3): 16-bit fields when the first flag is set."""
    place = data.index(_SIGNATURE) + len(_SIGNATURE)
    short = data[place + 2] & 0x80
    width, height = struct.unpack_from(">HH" if short else ">II", data, place + 4)
    check_size(height + 1, width + 1, "JPEG XR")
