"""What a worker gets and what it hands back: plain data, sent between processes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from harness.errors import HarnessError, MissingDependencyError, UnsupportedImageError
from harness.interface import Image, Setting
from harness.plan.targets import placeholder_record
from harness.plan.tasks import Task
from harness.rate import SizeCurve
from harness.records.record import Encode, Record


@dataclass(frozen=True)
class OtherImage:
    """The file sizes of a codec on another image, as a start for the search on this one."""

    sizes: tuple[tuple[Setting, float], ...]
    """Settings, and bytes per pixel."""
    activity_difference: float
    """The other image's activity minus this image's."""

    def curve(self, indices: Mapping[Setting, int], image: Image) -> SizeCurve:
        """Return the sizes by the indices of the settings on a ladder, scaled to the pixels of an image."""
        height, width, _ = image.shape
        sizes = {indices[setting]: size * height * width for setting, size in self.sizes if setting in indices}
        return SizeCurve(sizes, self.activity_difference)


@dataclass(frozen=True)
class Assignment:
    """A task, with what is known by the time that a worker gets it."""

    task: Task
    image_data: bytes | None = None
    """What the image's file holds, for a worker that does not see the file; None: the worker reads it."""
    known_encodes: tuple[Encode, ...] = ()
    """What the store knows of this codec on this image."""
    other_images: tuple[OtherImage, ...] = ()
    prediction_bias: float = 0.0
    """log(bytes / bytes that the codec predicted), the median over other images."""
    files_folder: Path | None = None
    """Where bitstreams are kept; None: they are not kept."""
    earlier_files: tuple[Path, ...] = ()
    """The folders of bitstreams that earlier runs have kept: a metric added later needs no encode."""
    pictures_folder: Path | None = None
    """Where the image and its decodes are kept, as PNG; None: they are not kept."""


@dataclass(frozen=True)
class TaskSeconds:
    """Where the time of a task went, in seconds."""

    codec: float = 0.0
    metrics: float = 0.0
    total: float = 0.0


@dataclass(frozen=True)
class Outcome:
    """What a task found."""

    image: str
    """The image's name."""
    pixels: str
    """The sha256 of the image's pixels."""
    codec: str
    """The codec's id."""
    codec_key: str
    records: tuple[Record, ...]
    encodes: tuple[Encode, ...] = ()
    seconds: TaskSeconds = TaskSeconds()
    encode_count: int = 0
    """How often the codec encoded."""
    prediction_bias: float | None = None
    """Mean log(bytes / bytes that the codec predicted) of those encodes; None where it predicts none."""


def outcome_of(task: Task, records: tuple[Record, ...]) -> Outcome:
    """Return the outcome of a task that has these records, and nothing else yet."""
    return Outcome(task.image.name, task.pixels, task.codec.id, task.codec_key, records)


def failed_outcome(task: Task, error: HarnessError | str) -> Outcome:
    """Return the outcome of a task that could not be measured at all."""
    status, reason = failure(error) if isinstance(error, HarnessError) else ("failed", error)
    names = (task.image.name, task.codec.id)
    return outcome_of(task, tuple(placeholder_record(target, *names, status, reason) for target in task.targets))


def failure(error: HarnessError) -> tuple[str, str]:
    """Return the status and the reason of a record that an error ended."""
    if isinstance(error, UnsupportedImageError):
        return "unsupported", str(error)
    return "missing" if isinstance(error, MissingDependencyError) else "failed", str(error)
