"""What is left of a plan: the tasks that the store has no answer to, handed out with what is known by then."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from harness import pictures
from harness.interface import Setting
from harness.kept import FOLDER as FILES
from harness.kept import kept_file
from harness.plan import Plan
from harness.records import Record, Store
from harness.tasks import Task


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
    kept = tuple(sorted(folder.parent.glob(f"*/{FILES}")))
    pictured = frozenset(image.pixels for image in plan.images[: pictures.PICTURED])
    return Keeping(folder / FILES if files else None, kept, folder / pictures.FOLDER, pictured)


_HINTING = 24
"""So many images' file sizes, at most, tell the search where to look on another."""


@dataclass(frozen=True)
class Work:
    """The tasks that are left of a plan, handed out with what the store knows by then."""

    plan: Plan
    tasks: list[Task]
    store: Store
    keeping: Keeping
    ship_images: bool = False
    _hints: dict[str, list[tuple[tuple[Setting, float], ...]]] = field(default_factory=lambda: defaultdict(list))
    """By codec: settings and bytes a pixel, of the plan's first images, as far as they are done."""

    def batches(self) -> Iterator[Iterator[Task]]:
        """Yield the first image's tasks, then all others: file sizes of images that are done speed up the searches."""
        first = self.plan.images[0]
        yield (self._known(task) for task in self.tasks if task.pixels == first.pixels)
        yield (self._hinted(self._known(task)) for task in self.tasks if task.pixels != first.pixels)

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

    def _hinted(self, task: Task) -> Task:
        hints = self._hints[task.codec_key]
        for image in self.plan.images[len(hints) : _HINTING]:
            encodes = self.store.encodes(image.pixels, task.codec_key)
            if not encodes or image.pixels == task.pixels:
                break
            pixels = image.width * image.height
            hints.append(tuple((encode.setting, encode.size_bytes / pixels) for encode in encodes))
        return replace(task, hints=tuple(hints))
