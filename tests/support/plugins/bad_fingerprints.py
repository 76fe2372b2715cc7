"""Learned codecs that misbehave when asked what they were trained on; all else is as in of_unknown_training.py."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from harness import Image, LearnedCodec, Setting
from harness.config.registry import CodecSpec, build

_STRANGER = CodecSpec("stranger", f"{Path(__file__).with_name('of_unknown_training.py')}:Stranger", {}, "plugin")


class _Trained(LearnedCodec):
    """Everything but the fingerprints."""

    formats: ClassVar[tuple[str, ...]] = ("rgb8", "gray8")

    def __init__(self, ratio: float = 16) -> None:
        self.inner: Any = build(_STRANGER)

    @property
    def ladder(self) -> Sequence[Setting]:
        return list(self.inner.ladder)

    def encode(self, image: Image, setting: Setting) -> bytes:
        return bytes(self.inner.encode(image, setting))

    def decode(self, data: bytes) -> Image:
        image: Image = self.inner.decode(data)
        return image

    def provenance(self) -> Mapping[str, Any]:
        return {"class": type(self).__name__}

    def missing(self) -> None:
        return None

    @abstractmethod
    def training_fingerprints(self) -> Any:
        """Misbehave."""

    def estimated_bits(self, image: Image, setting: Setting) -> None:
        return None


class Short(_Trained):
    name = "short-fingerprints"

    def training_fingerprints(self) -> Any:
        return ["not hexadecimal"]


class Numbers(_Trained):
    name = "number-fingerprints"

    def training_fingerprints(self) -> Any:
        return [1, 2, 3]


class Raises(_Trained):
    name = "raising-fingerprints"

    def training_fingerprints(self) -> Any:
        raise RuntimeError("boom")
