"""A plan: the images, codecs and tasks that come of a request."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property

from harness.config.registry import CodecSpec
from harness.data.datasets import ImageSource
from harness.plan.request import ResolvedRequest
from harness.plan.tasks import Task
from harness.records.record import Record
from harness.sandbox.replies import Description

DIGITS = 32
"""How many digits of a sha256 a fingerprint has."""


@dataclass(frozen=True)
class PlannedImage:
    """One image of the run, read once: what the plan and the report need of it."""

    source: ImageSource
    pixels: str
    """The sha256 of its pixels."""
    height: int
    width: int
    channels: int
    sample_bits: int
    kind: str
    """Which of `FORMATS` it is."""
    notes: tuple[str, ...]
    activity: float
    """How busy it is (harness/data/activity.py): its searches start from file sizes of images that are as busy."""


@dataclass(frozen=True)
class PlannedCodec:
    """One codec of the run (a learned codec: at one ratio), or why it cannot take part."""

    spec: CodecSpec
    description: Description | None
    key: str
    """The sha256 of all that decides its bytes: class, effective parameters, versions, weights."""
    reason: str = ""
    """Why it cannot take part; empty where it can."""
    ratio: float | None = None
    """The ratio that a learned codec's weights were trained for."""
    status: str = "missing"
    """The status of its records where there is a reason."""
    fingerprints: tuple[str, ...] | None = None
    """Tiles of the images that a learned codec was trained on; None when nobody knows."""

    @property
    def learned(self) -> bool:
        """It has trained weights."""
        return self.description is not None and self.description.learned


@dataclass(frozen=True)
class Plan:
    """All that a run measures, in order, and the records that need no measuring."""

    request: ResolvedRequest
    images: tuple[PlannedImage, ...]
    codecs: tuple[PlannedCodec, ...]
    tasks: tuple[Task, ...]
    placeholders: tuple[Record, ...]
    """The records of targets that are known to have no answer, with the reason."""

    @cached_property
    def key(self) -> str:
        """The same command on the same images with the same software has the same key."""
        return digest(self.request.name, self.request.protocol, *self.fingerprints)

    @cached_property
    def fingerprints(self) -> tuple[str, ...]:
        """The keys of all records, in the order of the report."""
        measured = [target.fingerprint for task in self.tasks for target in task.targets]
        return (*measured, *(record.fingerprint for record in self.placeholders))


def digest(*parts: str) -> str:
    """Return a fingerprint of some texts: digits of their sha256."""
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:DIGITS]
