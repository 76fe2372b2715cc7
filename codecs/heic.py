"""HEIC: HEVC intra pictures by x265 and libde265 in libheif, through pillow-heif (an extra)."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

import numpy as np

from harness.codecs._common import as_image, check_claimed_size, optional, require_sides, undamaged
from harness.interface import Codec, Image, Setting


class Heic(Codec):
    """Settings: libheif's quality, 0 to 100.

    `tune` is passed to x265; "ssim" is libheif's default. x265 runs without a pool of threads.
    """

    name: ClassVar[str] = "heic"
    formats: ClassVar[tuple[str, ...]] = ("rgb8", "gray8")

    def __init__(
        self, subsampling: Literal["4:4:4", "4:2:0"] = "4:4:4", tune: Literal["ssim", "psnr"] = "ssim"
    ) -> None:
        if subsampling not in ("4:4:4", "4:2:0") or tune not in ("ssim", "psnr"):
            raise ValueError('subsampling is "4:4:4" or "4:2:0", and tune "ssim" or "psnr"')
        self._library = optional("pillow_heif", "heif")
        self._subsampling = subsampling
        self._tune = tune

    @property
    def ladder(self) -> Sequence[Setting]:
        """Return the qualities."""
        return range(101)

    def encode(self, image: Image, setting: Setting) -> bytes:
        """Return a HEIC file."""
        require_sides(image, 16384, "HEIC")
        height, width, channels = image.shape
        file = io.BytesIO()
        self._library.encode(
            "RGB" if channels == 3 else "L",
            (width, height),
            image.tobytes(),
            file,
            quality=int(setting),
            chroma=self._subsampling.replace(":", ""),
            enc_params={"tune": self._tune, "x265:pools": "none"},
        )
        return file.getvalue()

    def decode(self, data: bytes) -> Image:
        """Return the image in a HEIC file."""
        with undamaged("HEIC"):
            picture = self._library.open_heif(data)
            width, height = picture.size
            check_claimed_size(height, width, "HEIC")
            return as_image(np.array(picture), "HEIC")

    def provenance(self) -> Mapping[str, Any]:
        """Return the versions of pillow-heif, libheif, x265 and libde265, and the writer's options."""
        libraries = {"pillow_heif": self._library.__version__, "libraries": self._library.libheif_info()}
        return {**libraries, "subsampling": self._subsampling, "tune": self._tune}
