"""JPEG (ITU-T T.81) by libjpeg-turbo, through Pillow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

import numpy as np
from PIL.JpegImagePlugin import JpegImageFile

from harness.codecs import _pillow
from harness.codecs._common import geometric, require_sides
from harness.interface import Codec, Image, Setting

_FREQUENCY_ORDER = np.argsort(np.add.outer(np.arange(8), np.arange(8)).ravel(), kind="stable")


class Jpeg(Codec):
    """Settings: libjpeg's quality, 1 to 100; with flat tables the quantisation step, 255 to 1.

    Flat tables quantise all frequencies alike, which raises PSNR; the standard's tables (T.81, Annex K) were fitted to
    human vision. `subsampling` has no effect on gray images.
    """

    name: ClassVar[str] = "jpeg"
    formats: ClassVar[tuple[str, ...]] = ("rgb8", "gray8")

    def __init__(
        self,
        subsampling: Literal["4:4:4", "4:2:2", "4:2:0"] = "4:4:4",
        optimize: bool = True,
        progressive: bool = True,
        tables: Literal["standard", "flat"] = "standard",
    ) -> None:
        if subsampling not in ("4:4:4", "4:2:2", "4:2:0") or tables not in ("standard", "flat"):
            raise ValueError('subsampling is "4:4:4", "4:2:2" or "4:2:0", and tables "standard" or "flat"')
        self._flat = tables == "flat"
        self._options = {"subsampling": subsampling, "optimize": optimize, "progressive": progressive}

    @property
    def ladder(self) -> Sequence[Setting]:
        """Return the qualities, or with flat tables the steps in factors of 1.02."""
        return geometric(255, 1, 1.02) if self._flat else range(1, 101)

    def encode(self, image: Image, setting: Setting) -> bytes:
        """Return a JFIF file."""
        require_sides(image, 65500, "libjpeg")
        strength = {"qtables": [_flat_table(setting)] * 2} if self._flat else {"quality": int(setting)}
        return _pillow.write(image, "JPEG", {**self._options, **strength})

    def decode(self, data: bytes) -> Image:
        """Return the image in a JPEG file."""
        return _pillow.read(data, JpegImageFile, "JPEG")

    def provenance(self) -> Mapping[str, Any]:
        """Return the versions of Pillow and libjpeg-turbo, and the writer's options."""
        tables = "flat" if self._flat else "standard"
        return {**_pillow.versions("libjpeg_turbo"), **self._options, "tables": tables}


def _flat_table(step: float) -> list[int]:
    """Return 64 quantisation steps, row by row, with the mean `step`: the highest frequencies get the next integer.

    With equal integer steps the ladder would be too coarse: from 2 to 1 a file grows by half.
    """
    table = np.full(64, int(step))
    table[_FREQUENCY_ORDER[64 - round((step - int(step)) * 64) :]] += 1
    return [int(entry) for entry in table]
