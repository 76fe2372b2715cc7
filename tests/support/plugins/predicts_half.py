"""A learned codec that predicts files half as large as they are, of which a run learns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from harness import Image, LearnedCodec, Setting


class PredictsHalf(LearnedCodec):
    """Its files are as long as a rung and the pixels say, and hold nothing but the size."""

    name: ClassVar[str] = "predicts-half"
    formats: ClassVar[tuple[str, ...]] = ("rgb8",)

    def __init__(self, ratio: float = 16) -> None:
        pass

    @property
    def ladder(self) -> Sequence[int]:
        return range(200)

    def encode(self, image: Image, setting: Setting) -> bytes:
        return np.array(image.shape[:2], "<u2").tobytes().ljust(self._size(image, int(setting)), b"\0")

    def decode(self, data: bytes) -> Image:
        return np.zeros((*np.frombuffer(data[:4], "<u2"), 3), np.uint8)

    def predicted_sizes(self, image: Image) -> list[float]:
        return [self._size(image, setting) / 2 for setting in self.ladder]

    def provenance(self) -> Mapping[str, Any]:
        return {}

    def missing(self) -> str | None:
        return None

    def training_fingerprints(self) -> Sequence[str] | None:
        return None

    def estimated_bits(self, image: Image, setting: Setting) -> float | None:
        return None

    @staticmethod
    def _size(image: Image, setting: int) -> int:
        return round(image.size / 100 * 1.03**setting)
