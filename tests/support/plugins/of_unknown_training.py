"""A learned codec whose training images nobody knows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

from harness import Image, LearnedCodec, Setting
from harness.config.registry import CodecSpec, build

_SOUND = CodecSpec("bits", f"{Path(__file__).with_name('sound.py')}:Bits", {}, "plugin")


class Stranger(LearnedCodec):
    """Keeps the high bits of each sample, and says that it is learned."""

    name: ClassVar[str] = "stranger"
    formats: ClassVar[tuple[str, ...]] = ("rgb8", "gray8")

    def __init__(self, ratio: float = 16) -> None:
        self.inner: Any = build(_SOUND)

    @property
    def ladder(self) -> Sequence[Setting]:
        """One to eight bits."""
        return list(self.inner.ladder)

    def encode(self, image: Image, setting: Setting) -> bytes:
        """Return the file."""
        return bytes(self.inner.encode(image, setting))

    def decode(self, data: bytes) -> Image:
        """Return the image."""
        image: Image = self.inner.decode(data)
        return image

    def provenance(self) -> dict[str, str]:
        """Return nothing of interest."""
        return {"weights": "somebody's"}

    def missing(self) -> None:
        """Nothing is missing."""

    def training_fingerprints(self) -> None:
        """Nobody knows."""

    def estimated_bits(self, image: Image, setting: Setting) -> None:
        """It cannot say."""
