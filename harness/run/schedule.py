"""Which tasks of a plan are left, and what each worker gets along with its task."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from itertools import groupby, islice
from pathlib import Path
from statistics import median

from harness.interface import Setting
from harness.plan.plan import Plan
from harness.plan.tasks import Task
from harness.records.artifacts import FILES_FOLDER, PICTURED, PICTURES_FOLDER, kept_file
from harness.records.store import Store
from harness.run.assignment import Assignment, OtherImage, Outcome


def unfinished(plan: Plan, store: Store, files: Path | None = None) -> Iterator[Task]:
    """Yield each task with the targets that lack a record in the store.

    Where bitstreams are kept in the folder `files`, also those whose bitstream is not there.
    """
    done = store.finished(plan.fingerprints)
    if files:
        done = {
            record.fingerprint
            for record in store.records(done)
            if record.file_sha256 is None or kept_file(files, record.file_sha256).is_file()
        }
    for task in plan.tasks:
        targets = tuple([target for target in task.targets if target.fingerprint not in done])
        if targets:
            yield task if len(targets) == len(task.targets) else replace(task, targets=targets)


@dataclass(frozen=True)
class Keeping:
    """Which files and pictures a run keeps, and where earlier runs have kept theirs."""

    files: Path | None
    """The folder for bitstreams, where they are kept."""
    earlier_files: tuple[Path, ...]
    """The folders in which earlier runs have kept bitstreams."""
    pictures: Path
    pictured: frozenset[str]
    """The images, by their pixels, of which pictures are kept."""


def keeping_in(plan: Plan, folder: Path) -> Keeping:
    """Return what a run keeps in its folder: pictures of the first images and, if asked for, bitstreams."""
    earlier = tuple(sorted(folder.parent.glob(f"*/{FILES_FOLDER}")))
    pictured = frozenset(image.pixels for image in plan.images[:PICTURED])
    files = folder / FILES_FOLDER if plan.request.keep_files else None
    return Keeping(files, earlier, folder / PICTURES_FOLDER, pictured)


_BATCHES = (1, 1, 2, 2, 4, 4, 8)
"""How many images each batch has; the last batch has all others. The searches of a batch know the file sizes of the
batches before it, and no others, however many workers there are: where the sizes on a ladder dip, the start of a
search may decide which file it finds."""


@dataclass(frozen=True)
class Schedule:
    """Hands out the tasks that are left, each with what the store knows by then."""

    plan: Plan
    tasks: list[Task]
    store: Store
    keeping: Keeping
    _sizes: dict[str, list[tuple[tuple[Setting, float], ...]]] = field(default_factory=lambda: defaultdict(list))
    """By codec: settings and bytes per pixel, for each of the plan's first images; empty where there are none."""
    _biases: dict[tuple[str, str], float] = field(default_factory=dict)
    """By codec and image, of this run: log(bytes / bytes that the codec predicted)."""

    @cached_property
    def _activities(self) -> dict[str, float]:
        return {image.pixels: image.activity for image in self.plan.images}

    def keep(self, outcome: Outcome) -> None:
        """Store what a task found; the searches of later batches start from it."""
        self.store.save(outcome.pixels, outcome.codec_key, outcome.records, outcome.encodes)
        if outcome.prediction_bias is not None:
            self._biases[outcome.codec_key, outcome.pixels] = outcome.prediction_bias

    def batches(self) -> Iterator[Iterator[Assignment]]:
        """Yield tasks some images at a time: file sizes of earlier batches speed up the searches of later ones."""
        images = iter(self.plan.images)
        early = {image.pixels: n for n, count in enumerate(_BATCHES) for image in islice(images, count)}
        for number, tasks in groupby(self.tasks, lambda task: early.get(task.pixels, len(_BATCHES))):
            yield map(partial(self._assignment, done=sum(_BATCHES[:number])), tasks)

    def _assignment(self, task: Task, done: int) -> Assignment:
        """Return a task with what is known when the plan's first `done` images are measured."""
        first = [(task.codec_key, image.pixels) for image in self.plan.images[:done]]
        biases = [self._biases[one] for one in first if one in self._biases]
        return Assignment(
            task=task,
            image_data=task.image.path.read_bytes() if self.plan.request.ship_images else None,
            known_encodes=self.store.encodes(task.pixels, task.codec_key),
            other_images=self._other_images(task, done),
            prediction_bias=median(biases) if biases else 0.0,
            files_folder=self.keeping.files,
            earlier_files=self.keeping.earlier_files,
            pictures_folder=self.keeping.pictures if task.pixels in self.keeping.pictured else None,
        )

    def _other_images(self, task: Task, done: int) -> tuple[OtherImage, ...]:
        """Return the codec's file sizes on the plan's first `done` images."""
        sizes, activity = self._sizes[task.codec_key], self._activities[task.pixels]
        for image in self.plan.images[len(sizes) : done]:
            pixels = image.width * image.height
            encodes = self.store.encodes(image.pixels, task.codec_key)
            sizes.append(tuple((encode.setting, encode.size_bytes / pixels) for encode in encodes))
        pairs = zip(sizes, self.plan.images, strict=False)
        return tuple(OtherImage(own, image.activity - activity) for own, image in pairs if own)
