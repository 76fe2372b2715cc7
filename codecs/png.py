"""PNG (ISO/IEC 15948) by Pillow and zlib-ng: lossless."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from PIL.PngImagePlugin import PngImageFile

from harness.codecs import _pillow
from harness.interface import FORMATS, Codec, Image, Setting


class Png(Codec):
    """One setting: zlib's level 9."""

    name: ClassVar[str] = "png"
    formats: ClassVar[tuple[str, ...]] = FORMATS
    lossless: ClassVar[bool] = True

    @property
    def ladder(self) -> Sequence[Setting]:
        """Return the one level."""
        return (9,)

    def encode(self, image: Image, setting: Setting) -> bytes:
        """Return a PNG file."""
        return _pillow.write(image, "PNG", {"compress_level": int(setting)})

    def decode(self, data: bytes) -> Image:
        """Return the image in a PNG file."""
        return _pillow.read(data, PngImageFile, "PNG")

    def provenance(self) -> Mapping[str, Any]:
        """Return the versions of Pillow and zlib-ng."""
        return _pillow.versions("zlib_ng")
