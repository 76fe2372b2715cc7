"""JPEG 2000 (ITU-T T.800) by OpenJPEG, through Pillow: a bare codestream, with OpenJPEG's own rate control."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from PIL.Jpeg2KImagePlugin import Jpeg2KImageFile

from harness.codecs import _pillow
from harness.codecs._common import geometric
from harness.errors import BudgetError
from harness.interface import FORMATS, BudgetCodec, Encoded, Image, Setting, raw_bytes

_SHORT = 0.97
"""A file below this share of the requested size means that the quantiser is at its finest."""
_FULL = 0.995
"""The search ends when a ratio is above this share of the best one."""
_MARGINS = (1.0005, 1.002, 1.01, 1.05, 1.2, 1.5, 2.0, 4.0)
"""One attempt each: the least factor by which the ratio rises after a file was too large."""


class Jpeg2000(BudgetCodec):
    """Settings: the ratio (raw bytes / file bytes) requested from the rate control, 1000 to 1.

    The irreversible 9/7 transform reaches about 51 dB for 8-bit images with OpenJPEG's finest quantiser, often at
    ratios above 4. If a file stays below the requested size, the reversible 5/3 transform is tried, too, and the file
    with the smaller squared error is used. So the ladder of a photograph ends with a lossless file.
    """

    name: ClassVar[str] = "jpeg2000"
    formats: ClassVar[tuple[str, ...]] = FORMATS

    @property
    def ladder(self) -> Sequence[Setting]:
        """Return ratios in factors of 1.025."""
        return geometric(1000, 1, 1.025)

    def encode(self, image: Image, setting: Setting) -> bytes:
        """Return a JPEG 2000 codestream of about raw bytes / setting, at most as large as a lossless one."""
        irreversible = _compress(image, setting, irreversible=True)
        if len(irreversible) >= _SHORT * raw_bytes(image) / setting:
            return irreversible
        reversible = _compress(image, setting, irreversible=False)
        return min(irreversible, reversible, key=lambda data: _squared_error(image, self.decode(data)))

    def encode_to_budget(self, image: Image, max_bytes: int) -> Encoded:
        """Return the largest file found that fits; rate control is accurate to 1 %, so a few attempts are enough."""
        budget = max(1, max_bytes)
        best: Encoded | None = None
        too_fine = 0.0
        ratio = max(self.ladder[-1], raw_bytes(image) / budget)
        for margin in _MARGINS:
            if best is not None and ratio > _FULL * best.setting:
                break
            data = self.encode(image, ratio)
            use = len(data) / budget
            if use > 1:
                too_fine = ratio
                ratio = ratio * max(use, margin) if best is None else math.sqrt(ratio * best.setting)
                continue
            best = Encoded(data, ratio)
            ratio = max(self.ladder[-1], ratio * use, math.sqrt(ratio * too_fine))
        return best or self._smallest(image, max_bytes)

    def _smallest(self, image: Image, max_bytes: int) -> Encoded:
        data = self.encode(image, self.ladder[0])
        if len(data) > max_bytes:
            raise BudgetError(f"JPEG 2000 needs {len(data)} bytes or more for this image, not {max_bytes}.")
        return Encoded(data, self.ladder[0])

    def decode(self, data: bytes) -> Image:
        """Return the image in a JPEG 2000 codestream."""
        return _pillow.read(data, Jpeg2KImageFile, "JPEG 2000")

    def provenance(self) -> Mapping[str, Any]:
        """Return the versions of Pillow and OpenJPEG, and the transform."""
        return {**_pillow.versions("jpg_2000"), "transform": "9/7, or 5/3 where that is nearer"}


def _compress(image: Image, ratio: float, *, irreversible: bool) -> bytes:
    options = {"no_jp2": True, "irreversible": irreversible, "mct": int(image.shape[2] == 3)}
    return _pillow.write(image, "JPEG2000", {**options, "quality_mode": "rates", "quality_layers": [ratio]})


def _squared_error(image: Image, decoded: Image) -> float:
    return float(np.square(np.subtract(image, decoded, dtype=np.float32)).mean())
