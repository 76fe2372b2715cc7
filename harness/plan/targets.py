"""What a run asks of each codec on each image, and the fingerprint of each answer."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from harness.config.schema import CodecConfig
from harness.interface import Setting
from harness.plan.plan import DIGITS, PlannedCodec, PlannedImage
from harness.plan.tasks import Goal

SWEEP_POINTS = 16
"""How many settings a sweep uses where benchmarks.toml does not list them."""


@dataclass(frozen=True)
class Question:
    """What is asked of a codec, on whatever image; the fields of `Goal`."""

    protocol: str
    target_ratio: float | None
    setting: Setting | None

    def told(self, sample_bits: int) -> bytes:
        """Return the end of what a fingerprint covers, for images of so many bits a sample."""
        asked = (sample_bits, self.target_ratio, self.setting)
        numbers = [None if number is None else float(number) for number in asked]
        return f"\n{self.protocol}\n{numbers!r}".encode()


@dataclass(frozen=True)
class Asker:
    """Asks the same questions of one codec on image after image, of which a run may have a million."""

    codec: PlannedCodec
    metrics: str
    """The `metrics_key` of the run."""
    questions: tuple[Question, ...]
    _told: dict[int, list[tuple[bytes, Question]]] = field(default_factory=dict, init=False, repr=False)

    def goals(self, image: PlannedImage, circumstances: Iterable[str]) -> tuple[Goal, ...]:
        """Return what is asked of the codec on an image.

        A fingerprint is `plan.digest` of pixels, image, codec, versions, metrics, what a radar image means, other
        circumstances, protocol and numbers; all but the last two are the same for every goal, and are hashed once.
        """
        if image.sample_bits not in self._told:
            self._told[image.sample_bits] = [(asked.told(image.sample_bits), asked) for asked in self.questions]
        source = image.source
        parts = [image.pixels, source.name, self.codec.spec.id, self.codec.key, self.metrics]
        if source.radar:
            parts.append(source.radar.model_dump_json())
        shared = hashlib.sha256("\n".join([*parts, *circumstances]).encode())
        goals = []
        for told, asked in self._told[image.sample_bits]:
            whole = shared.copy()
            whole.update(told)
            goals.append(Goal(whole.hexdigest()[:DIGITS], asked.protocol, asked.target_ratio, asked.setting))
        return tuple(goals)


def questions(
    codec: PlannedCodec, protocol: str, ratios: tuple[float, ...], configured: CodecConfig
) -> Iterator[Question]:
    """Yield what is asked of a codec: of a lossless one the lossless control, of others the protocols of the run."""
    if codec.description and codec.description.lossless:
        yield Question("control", None, codec.description.ladder[0])
        return
    if protocol in ("ratio", "both"):
        for ratio in ratios if codec.ratio is None else (codec.ratio,):
            yield Question("ratio", ratio, None)
    if protocol in ("sweep", "both") and codec.description:
        for setting in configured.sweep or _spread(codec.description.ladder):
            yield Question("sweep", codec.ratio, setting)


def _spread(ladder: tuple[Setting, ...]) -> list[Setting]:
    """Return some settings spread evenly over a ladder, ends included."""
    last = len(ladder) - 1
    points = min(SWEEP_POINTS, len(ladder))
    return [ladder[round(place * last / max(points - 1, 1))] for place in range(points)]
