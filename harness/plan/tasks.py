"""Tasks and what comes of them: plain data, sent to workers and back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from harness.config.radar import RadarScale
from harness.config.registry import CodecSpec
from harness.config.schema import Limits
from harness.data.datasets import ImageSource
from harness.interface import Image, Setting
from harness.metrics.plugins import Targets, known_metrics
from harness.rate import Hint
from harness.records.record import Encode, Record
from harness.sandbox.replies import Description

DEFAULT_LIMITS = Limits()
ENOUGH = 0.97
"""The share of a budget below which a record says why no more is used."""


@dataclass(frozen=True)
class Goal:
    """One question of a task: the key of the record that answers it."""

    fingerprint: str
    protocol: str
    """"ratio", "sweep" or "control"."""
    target_ratio: float | None = None
    """The ratio that is wanted; in a sweep the ratio whose checkpoint a learned codec uses."""
    setting: Setting | None = None
    """The setting that a sweep or the lossless control uses."""


@dataclass(frozen=True)
class Needed:
    """What a codec needed for another image."""

    sizes: tuple[tuple[Setting, float], ...]
    """Settings, and bytes a pixel."""
    apart: float
    """How far that image's activity lies from this one's."""

    def hint(self, rungs: Mapping[Setting, int], image: Image) -> Hint:
        """Return it for a search on a ladder of these rungs, scaled to an image's pixels."""
        height, width, _ = image.shape
        sizes = {rungs[setting]: size * height * width for setting, size in self.sizes if setting in rungs}
        return Hint(sizes, self.apart)


@dataclass(frozen=True)
class Task:
    """One codec on one image: plain data, sent to a worker."""

    image: ImageSource
    pixels: str
    """The sha256 that the image's pixels must have."""
    codec: CodecSpec
    codec_key: str
    description: Description
    goals: tuple[Goal, ...]
    metric_names: tuple[str, ...]
    metric_targets: Targets = ()
    """Where the metrics of others among them are."""
    known: tuple[Encode, ...] = ()
    """What the store knows of this codec on this image."""
    hints: tuple[Needed, ...] = ()
    """What the codec needed for other images."""
    off: float = 0.0
    """log(bytes / bytes that the codec predicted) of other images."""
    limits: Limits = DEFAULT_LIMITS
    device: str = "cpu"
    keep_files: str | None = None
    kept: tuple[Path, ...] = ()
    """The folders of bitstreams that earlier runs have kept: a metric added later needs no encode."""
    keep_pictures: str | None = None
    """The folder for the image and what the codec makes of it, as PNG; None: they are not kept."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """What is known beforehand of every record of this task, a column each."""


@dataclass(frozen=True)
class Shares:
    """Where the time of a task went, in seconds."""

    codec: float = 0.0
    metrics: float = 0.0
    total: float = 0.0


@dataclass(frozen=True)
class Outcome:
    """What a task found."""

    task: Task
    records: tuple[Record, ...]
    encodes: tuple[Encode, ...] = ()
    shares: Shares = Shares()
    encoded: int = 0
    """How often the codec encoded for the ratio goals."""
    off: float | None = None
    """Mean log(bytes / bytes that the codec predicted) of those encodes; None where it predicts none."""


def blank_record(goal: Goal, image: str, codec: str, status: str, reason: str) -> Record:
    """Return a record that says why there is nothing to say."""
    return Record(goal.fingerprint, image, codec, goal.protocol, goal.target_ratio, status, goal.setting, reason=reason)


def failed_outcome(task: Task, reason: str) -> Outcome:
    """Return the outcome of a task that could not be measured at all."""
    return Outcome(
        task, tuple(blank_record(goal, task.image.name, task.codec.id, "failed", reason) for goal in task.goals)
    )


def why_unspent(record: Record, extra: Mapping[str, Any]) -> str:
    """Return why a file uses less than `ENOUGH` of its budget; empty where it uses more, or fits no budget.

    Args:
        record: an answer of the ratio protocol.
        extra: `budget_bytes`, and `next_setting` and `next_size_bytes` where there is a next setting.
    """
    if record.status != "reached":  # a budget may be 0 bytes, which no file reaches
        return ""
    share = (record.size_bytes or 0) / extra["budget_bytes"]
    if share >= ENOUGH:
        return ""
    rest = "its own rate control leaves the rest."
    if "next_setting" in extra:
        rest = f"the next setting, {extra['next_setting']:g}, makes {extra['next_size_bytes']} bytes."
    return f"it uses {100 * share:.1f} % of the budget: {rest}"


@lru_cache(maxsize=16)
def metrics_key(names: tuple[str, ...], targets: Targets = ()) -> str:
    """Return names and versions of metrics, as a key of what was computed."""
    return json.dumps({name: known_metrics(targets)[name].version for name in names})


@lru_cache(maxsize=16)
def scores_key(
    names: tuple[str, ...], targets: Targets, sample_bits: int, radar: RadarScale | None, device: str = "cpu"
) -> str:
    """Return the same with what else decides a score: the image's sample bits, what those stand for, and the device.

    The CPU goes without saying.
    """
    further = {"radar": radar.model_dump_json()} if radar else {}
    further |= {} if device == "cpu" else {"device": device}
    return json.dumps({**json.loads(metrics_key(names, targets)), "sample_bits": sample_bits, **further})


def answers(known: str, asked: str) -> bool:
    """Tell whether scores of one key answer another: the metrics asked for, of the same versions, made the same way."""
    there, wanted = json.loads(known or "{}"), json.loads(asked)
    alike = all(there.get(name) == wanted.get(name) for name in ("radar", "device"))
    return alike and wanted.items() <= there.items()
