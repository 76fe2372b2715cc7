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
    """Settings: libwebp's quality, 1 to 100. `lossless` files have one setting: 100, libwebp's highest effort.

    `method` is libwebp's effort, 0 to 6; Pillow's default is 4.
    """

    name: ClassVar[str] = "webp"
    formats: ClassVar[tuple[str, ...]] = ("rgb8",)

    def __init__(self, method: int = 4, lossless: bool = False) -> None:
        if method not in range(7):
            raise ValueError(f"method is 0 to 6, not {method!r}")
        self._options = {"method": method, "lossless": lossless}
        self.lossless = lossless  # type: ignore[misc]  # it depends on the keyword here, not on the class

    @property
    def ladder(self) -> Sequence[Setting]:
        """Return the qualities, or the one effort of lossless files."""
        return (100,) if self.lossless else range(1, 101)

    def encode(self, image: Image, setting: Setting) -> bytes:
        """Return a WebP file."""
        require_sides(image, _LARGEST_SIDE, "WebP")
        return _pillow.write(image, "WEBP", {**self._options, "quality": int(setting)})

    def decode(self, data: bytes) -> Image:
        """Return the image in a WebP file."""
        with undamaged("WebP"):
            return as_image(imagecodecs.webp_decode(data, hasalpha=False), "WebP")

    def provenance(self) -> Mapping[str, Any]:
        """Return the versions of Pillow, imagecodecs and libwebp, and the writer's options."""
        decoder = {"imagecodecs": imagecodecs.__version__, "decoder": imagecodecs.webp_version()}
        return {**_pillow.versions("webp"), **decoder, **self._options}
