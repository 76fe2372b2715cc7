"""WebP by libwebp: lossy (VP8, always 4:2:0) and lossless (VP8L). Pillow encodes, imagecodecs decodes.

Pillow's reader refuses images above 179 megapixels; WebP's own limit is 268, below `MAX_PIXELS`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import imagecodecs

from harness.codecs import _pillow
from harness.codecs._common import as_image, require_sides, undamaged
from harness.interface import Codec, Image, Setting

_LARGEST_SIDE = 16383


class Webp(Codec):
    """Settings: libwebp's quality, 1 to 100. `method` is its effort, 0 to 6; Pillow's default is 4."""

    name: ClassVar[str] = "webp"
    formats: ClassVar[tuple[str, ...]] = ("rgb8",)

    def __init__(self, method: int = 4) -> None:
        self._options = {"method": _checked(method), "lossless": False}

    @property
    def ladder(self) -> Sequence[Setting]:
        """Qualities."""
        return range(1, 101)

    def encode(self, image: Image, setting: Setting) -> bytes:
        """Return a WebP file."""
        return _write(image, {**self._options, "quality": int(setting)})

    def decode(self, data: bytes) -> Image:
        """Return the image in a WebP file."""
        return _read(data)

    def provenance(self) -> Mapping[str, Any]:
        """Pillow, libwebp, and the writer's options."""
        return {**_versions(), **self._options}


class WebpLossless(Codec):
    """One setting: libwebp's effort at its highest, 100. `method` is its second effort, 0 to 6."""

    name: ClassVar[str] = "webp-lossless"
    formats: ClassVar[tuple[str, ...]] = ("rgb8",)
    lossless: ClassVar[bool] = True

    def __init__(self, method: int = 4) -> None:
        self._options = {"method": _checked(method), "lossless": True}

    @property
    def ladder(self) -> Sequence[Setting]:
        """The one effort."""
        return (100,)

    def encode(self, image: Image, setting: Setting) -> bytes:
        """Return a WebP file."""
        return _write(image, {**self._options, "quality": int(setting)})

    def decode(self, data: bytes) -> Image:
        """Return the image in a WebP file."""
        return _read(data)

    def provenance(self) -> Mapping[str, Any]:
        """Pillow, libwebp, and the writer's options."""
        return {**_versions(), **self._options}


def _write(image: Image, options: Mapping[str, Any]) -> bytes:
    require_sides(image, _LARGEST_SIDE, "WebP")
    return _pillow.write(image, "WEBP", options)


def _read(data: bytes) -> Image:
    with undamaged("WebP"):
        return as_image(imagecodecs.webp_decode(data, hasalpha=False), "WebP")


def _versions() -> dict[str, str | None]:
    decoder = {"imagecodecs": imagecodecs.__version__, "decoder": imagecodecs.webp_version()}
    return {**_pillow.versions("webp"), **decoder}


def _checked(method: int) -> int:
    if method not in range(7):
        raise ValueError(f"method is 0 to 6, not {method!r}")
    return method
