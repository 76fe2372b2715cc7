"""What a run measures: what was asked for, and the images, codecs and tasks that come of it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from harness.config.registry import CodecSpec
from harness.config.schema import Config, SuiteConfig
from harness.data.datasets import ImageSource
from harness.metrics.plugins import Targets
from harness.plan.tasks import Task
from harness.records.record import Record
from harness.sandbox.replies import Description

DIGITS = 32
"""How many digits of a sha256 a fingerprint has."""


@dataclass(frozen=True)
class Request:
    """What the user asked for; None and empty mean the suite's own choice."""

    config: Config
    suite: str = ""
    ratios: tuple[float, ...] = ()
    protocol: str = ""
    codecs: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ()
    images: Path | None = None
    limit: int | None = None
    jobs: int | None = None
    scheduler: str | None = None
    ship_images: bool = False
    device: str = "auto"
    results: Path = Path("results")
    train: bool = True
    allow_leaks: bool = False
    keep_files: bool = False


@dataclass(frozen=True)
class PlannedImage:
    """One image of the run, read once: what the plan and the report need of it."""

    source: ImageSource
    pixels: str
    height: int
    width: int
    channels: int
    sample_bits: int
    kind: str
    """Which of `FORMATS` it is."""
    notes: tuple[str, ...]
    activity: float
    """How busy it is (harness/rate.py): file sizes of images as busy begin its searches."""


@dataclass(frozen=True)
class PlannedCodec:
    """One codec of the run (for learned codecs: at one ratio), or why it cannot take part."""

    spec: CodecSpec
    description: Description | None
    key: str
    """The sha256 of all that decides its bytes: class, effective parameters, versions, weights."""
    reason: str = ""
    ratio: float | None = None
    status: str = "missing"
    """What its records say where there is a reason."""
    fingerprints: tuple[str, ...] | None = None
    """Tiles of the images that a learned codec was trained on; None when nobody knows."""

    @property
    def learned(self) -> bool:
        """It has trained weights."""
        return self.description is not None and self.description.learned


@dataclass(frozen=True)
class Plan:
    """All that a run measures, in order, and the records that need no measuring."""

    suite_name: str
    suite: SuiteConfig
    ratios: tuple[float, ...]
    protocol: str
    metric_names: tuple[str, ...]
    metric_targets: Targets
    images: tuple[PlannedImage, ...]
    codecs: tuple[PlannedCodec, ...]
    tasks: tuple[Task, ...]
    blanks: tuple[Record, ...]

    @cached_property
    def key(self) -> str:
        """The same command on the same images with the same software has the same key."""
        return digest(self.suite_name, self.protocol, *self.fingerprints)

    @cached_property
    def fingerprints(self) -> tuple[str, ...]:
        """The keys of all records, in the order of the report."""
        asked = [goal.fingerprint for task in self.tasks for goal in task.goals]
        return (*asked, *(record.fingerprint for record in self.blanks))


def digest(*parts: str) -> str:
    """Return a fingerprint of some texts: digits of their sha256."""
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:DIGITS]
