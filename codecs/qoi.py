"""QOI, the quite OK image format (qoiformat.org), by its reference library through imagecodecs: lossless."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import imagecodecs

from harness.codecs._common import as_image, check_claimed_size, undamaged
from harness.interface import Codec, Image, Setting

_LONGEST_RUN = 62
"""The most pixels that one byte can code."""


class Qoi(Codec):
    """One setting, which has no effect."""

    name: ClassVar[str] = "qoi"
    formats: ClassVar[tuple[str, ...]] = ("rgb8",)
    lossless: ClassVar[bool] = True

    @property
    def ladder(self) -> Sequence[Setting]:
        """Return the one setting."""
        return (0,)

    def encode(self, image: Image, setting: Setting) -> bytes:
        """Return a QOI file."""
        return bytes(imagecodecs.qoi_encode(image))

    def decode(self, data: bytes) -> Image:
        """Return the image in a QOI file."""
        with undamaged("QOI"):
            magic, width, height = struct.unpack_from(">4sII", data)
            if magic != b"qoif" or width * height > _LONGEST_RUN * len(data):
                raise ValueError("the magic is wrong, or there are too few bytes for the size")
            check_claimed_size(height, width, "QOI")
            return as_image(imagecodecs.qoi_decode(data), "QOI")

    def provenance(self) -> Mapping[str, Any]:
        """Return the versions of imagecodecs and the reference library."""
        return {"imagecodecs": imagecodecs.__version__, "library": imagecodecs.qoi_version()}
