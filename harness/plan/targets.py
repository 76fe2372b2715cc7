"""Targets: what a run asks of each codec on each image. Each target has one record as its answer.

A further protocol is a further type here, a case in `targets_of`, one in `harness.run.measure`, and a value of
`harness.config.schema.Protocol`; analysis and report choose records by the name of their protocol.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, TypeAlias

from harness.config.schema import CodecConfig
from harness.interface import Setting
from harness.records.record import Record
from harness.sandbox.replies import Description

SWEEP_POINTS = 16
"""How many settings a sweep uses where benchmarks.toml does not list them."""


@dataclass(frozen=True)
class RatioTarget:
    """The largest file of at most raw bytes / `target_ratio`."""

    protocol: ClassVar[str] = "ratio"
    setting: ClassVar[None] = None
    target_ratio: float
    fingerprint: str = ""
    """The key of the record that answers it."""


@dataclass(frozen=True)
class SweepTarget:
    """The file at a setting."""

    protocol: ClassVar[str] = "sweep"
    setting: Setting
    target_ratio: float | None = None
    """The ratio that the weights of a learned codec were trained for; None for other codecs."""
    fingerprint: str = ""


@dataclass(frozen=True)
class ControlTarget:
    """A lossless codec's file, whose decode must equal the image."""

    protocol: ClassVar[str] = "control"
    target_ratio: ClassVar[None] = None
    setting: Setting
    fingerprint: str = ""


Target: TypeAlias = RatioTarget | SweepTarget | ControlTarget


def targets_of(
    description: Description | None,
    protocol: str,
    ratios: tuple[float, ...],
    configured: CodecConfig,
    weights_ratio: float | None,
) -> Iterator[Target]:
    """Yield the targets of a codec: a lossless one has the lossless control, others the protocols of the run.

    Args:
        description: what the codec says of itself; None where it could not be asked.
        protocol: "ratio", "sweep" or "both".
        ratios: the target ratios of the run.
        configured: the codec's table in benchmarks.toml.
        weights_ratio: the ratio that a learned codec's weights were trained for; it gets no other ratio.
    """
    if description and description.lossless:
        yield ControlTarget(description.ladder[0])
        return
    if protocol in ("ratio", "both"):
        yield from (RatioTarget(ratio) for ratio in (ratios if weights_ratio is None else (weights_ratio,)))
    if protocol in ("sweep", "both") and description:
        for setting in configured.sweep or _spread(description.ladder):
            yield SweepTarget(setting, weights_ratio)


def _spread(ladder: tuple[Setting, ...]) -> list[Setting]:
    """Return some settings spread evenly over a ladder, both ends included."""
    last = len(ladder) - 1
    points = min(SWEEP_POINTS, len(ladder))
    return [ladder[round(point * last / max(points - 1, 1))] for point in range(points)]


def placeholder_record(target: Target, image: str, codec: str, status: str, reason: str) -> Record:
    """Return the record of a target that was not measured; it holds the reason instead of numbers."""
    return Record(
        target.fingerprint, image, codec, target.protocol, target.target_ratio, status, target.setting, reason=reason
    )
