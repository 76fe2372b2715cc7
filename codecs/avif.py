"""AVIF by libavif: libaom encodes (through Pillow), dav1d or libaom decodes (through imagecodecs)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

import imagecodecs
from PIL import _avif

from harness.codecs import _pillow
from harness.codecs._common import as_image, require_sides, undamaged
from harness.interface import Codec, Image, Setting

_REPEATED = {1, 2, 4, 5, *range(7, 34, 2), 36, 38, 41, 43, 46, 48, 51, *range(53, 98, 4)}
_REPEATED_LINEAR = {q for q in range(1, 101) if ((100 - q) * 63 + 50) // 100 == ((101 - q) * 63 + 50) // 100}
"""Qualities with the same quantiser as the quality below, in libavif 1.4: by default, and with `tune`."""


class Avif(Codec):
    """Settings: libavif's quality, 0 to 100.

    `tune` is passed to libaom: "psnr" or "ssim"; None is libavif's default for still pictures. Files made with one
    thread differ from files made with more. Gray images are stored as 4:0:0.
    """

    name: ClassVar[str] = "avif"
    formats: ClassVar[tuple[str, ...]] = ("rgb8", "gray8")

    def __init__(
        self,
        subsampling: Literal["4:4:4", "4:2:2", "4:2:0"] = "4:4:4",
        speed: int = 6,
        tune: Literal["psnr", "ssim"] | None = None,
        threads: int = 1,
    ) -> None:
        if subsampling not in ("4:4:4", "4:2:2", "4:2:0") or speed not in range(11):
            raise ValueError('subsampling is "4:4:4", "4:2:2" or "4:2:0", and speed 0 to 10')
        if tune not in (None, "psnr", "ssim") or threads < 1:
            raise ValueError('tune is "psnr" or "ssim", and threads at least 1')
        self._threads = threads
        self._linear = tune is not None
        self._subsampling = subsampling
        # Automatic tiling would depend on the number of threads and costs bytes.
        options = {"speed": speed, "max_threads": threads, "autotiling": False}
        self._options: Mapping[str, Any] = {**options, **({"advanced": {"tune": tune}} if tune else {})}

    @property
    def ladder(self) -> Sequence[Setting]:
        """Return the first quality of each of AV1's 64 quantisers."""
        repeated = _REPEATED_LINEAR if self._linear else _REPEATED
        return [quality for quality in range(101) if quality not in repeated]

    def encode(self, image: Image, setting: Setting) -> bytes:
        """Return an AVIF file."""
        require_sides(image, 32768, "libavif")
        subsampling = self._subsampling if image.shape[2] == 3 else "4:0:0"
        return _pillow.write(image, "AVIF", {**self._options, "subsampling": subsampling, "quality": int(setting)})

    def decode(self, data: bytes) -> Image:
        """Return the image in an AVIF file; libavif refuses more than 2^28 pixels."""
        with undamaged("AVIF"):
            return as_image(imagecodecs.avif_decode(data, numthreads=self._threads), "AVIF")

    def provenance(self) -> Mapping[str, Any]:
        """Return the versions of Pillow, imagecodecs, libavif and its encoders, and the writer's options."""
        decoder = {"imagecodecs": imagecodecs.__version__, "decoder": imagecodecs.avif_version()}
        encoder = {**_pillow.versions("avif"), "encoder": _avif.codec_versions()}
        return {**encoder, **decoder, **self._options, "subsampling": self._subsampling}
