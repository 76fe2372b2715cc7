"""What is left of a plan: the tasks that the store has no answer to, handed out with what is known by then."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import groupby, islice
from pathlib import Path
from statistics import median

from harness.interface import Setting
from harness.plan.plan import Plan
from harness.plan.tasks import Needed, Outcome, Task
from harness.records.artifacts import FILES_FOLDER, PICTURED, PICTURES_FOLDER, kept_file
from harness.records.record import Record
from harness.records.store import Store


def unfinished(plan: Plan, store: Store, files: Path | None = None) -> Iterator[Task]:
    """Yield each task with the goals that the store has no answer to, or none whose bitstream lies in a folder."""
    done = store.finished(plan.fingerprints)
    if files:
        done = {record.fingerprint for record in store.records(done) if _is_kept(record, files)}
    for task in plan.tasks:
        goals = tuple([goal for goal in task.goals if goal.fingerprint not in done])
        if goals:
            yield task if len(goals) == len(task.goals) else replace(task, goals=goals)


def _is_kept(record: Record, files: Path) -> bool:
    return record.file_sha256 is None or kept_file(files, record.file_sha256).is_file()


@dataclass(frozen=True)
class Keeping:
    """What tasks keep, and what runs before have kept."""

    files: Path | None
    """The folder for bitstreams, where they are kept."""
    kept: tuple[Path, ...]
    pictures: Path
    pictured: frozenset[str]
    """The images of which pictures are kept."""


def keeping_in(plan: Plan, folder: Path, files: bool) -> Keeping:
    """Return what a run keeps in its folder: pictures of the first images and, where that was asked for, bitstreams."""
    kept = tuple(sorted(folder.parent.glob(f"*/{FILES_FOLDER}")))
    pictured = frozenset(image.pixels for image in plan.images[:PICTURED])
    return Keeping(folder / FILES_FOLDER if files else None, kept, folder / PICTURES_FOLDER, pictured)


_BATCHES = (1, 1, 2, 2, 4, 4, 8)
"""So many images each batch has; all others are the last one. Searches of a batch know the sizes of those before it,
however many workers there are: where a ladder's sizes dip, where a search begins may decide which file it finds."""


@dataclass(frozen=True)
class Work:
    """The tasks that are left of a plan, handed out with what the store knows by then."""

    plan: Plan
    tasks: list[Task]
    store: Store
    keeping: Keeping
    ship_images: bool = False
    _sizes: dict[str, list[tuple[tuple[Setting, float], ...]]] = field(default_factory=lambda: defaultdict(list))
    """By codec: settings and bytes a pixel, of the plan's first images; empty where there is none."""
    _off: dict[tuple[str, str], float] = field(default_factory=dict)
    """By codec and image, of this run: log(bytes / bytes that the codec predicted)."""

    @cached_property
    def _activities(self) -> dict[str, float]:
        return {image.pixels: image.activity for image in self.plan.images}

    def keep(self, outcome: Outcome) -> None:
        """Store what a task found; searches of later batches start from it."""
        task = outcome.task
        self.store.save(task.pixels, task.codec_key, outcome.records, outcome.encodes)
        if outcome.off is not None:
            self._off[task.codec_key, task.pixels] = outcome.off

    def batches(self) -> Iterator[Iterator[Task]]:
        """Yield tasks some images at a time: file sizes of the batches before speed up the searches of each."""
        images = iter(self.plan.images)
        early = {image.pixels: n for n, count in enumerate(_BATCHES) for image in islice(images, count)}
        for number, tasks in groupby(self.tasks, lambda task: early.get(task.pixels, len(_BATCHES))):
            yield self._batch(tasks, sum(_BATCHES[:number]))

    def _batch(self, tasks: Iterable[Task], done: int) -> Iterator[Task]:
        """Yield tasks as workers get them, when so many of the plan's first images are done."""
        for task in tasks:
            yield self._hinted(self._known(task), done)

    def _known(self, task: Task) -> Task:
        image = replace(task.image, data=task.image.path.read_bytes()) if self.ship_images else task.image
        keeping = self.keeping
        return replace(
            task,
            image=image,
            known=self.store.encodes(task.pixels, task.codec_key),
            keep_files=str(keeping.files) if keeping.files else None,
            kept=keeping.kept,
            keep_pictures=str(keeping.pictures) if task.pixels in keeping.pictured else None,
        )

    def _hinted(self, task: Task, done: int) -> Task:
        """Return a task with the file sizes of the plan's first images, which are done."""
        sizes, here = self._sizes[task.codec_key], self._activities[task.pixels]
        for image in self.plan.images[len(sizes) : done]:
            pixels = image.width * image.height
            encodes = self.store.encodes(image.pixels, task.codec_key)
            sizes.append(tuple((encode.setting, encode.size_bytes / pixels) for encode in encodes))
        needed = (
            Needed(own, image.activity - here) for own, image in zip(sizes, self.plan.images, strict=False) if own
        )
        first = [(task.codec_key, image.pixels) for image in self.plan.images[:done]]
        off = [self._off[one] for one in first if one in self._off]
        return replace(task, hints=tuple(needed), off=median(off) if off else 0.0)
