"""What a worker does with a task: one codec on one image, every goal of it, sharing the encodes.

The codec encodes in one child process and decodes in another; metrics are computed here, in a third.
"""

from __future__ import annotations

import contextlib
import hashlib
import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path

from harness.data.datasets import ImageSource
from harness.data.images import TestImage, pixels_sha256, read_image
from harness.errors import (
    BudgetError,
    ConformanceError,
    HarnessError,
    LimitError,
    MissingDependencyError,
    UnsupportedImageError,
)
from harness.interface import Setting, raw_bytes
from harness.metrics import table
from harness.metrics.plugins import known_metrics
from harness.plan.tasks import Goal, Outcome, Shares, Task, answers, blank_record, scores_key, why_unspent
from harness.rate import Search, budget_bytes, psnr_at
from harness.records import artifacts
from harness.records.artifacts import keep_file, read_kept
from harness.records.record import CSV_COLUMNS, Encode, Record
from harness.sandbox.process import CodecProcess, CodecProcesses, codec_processes

_FILLED = 0.99
"""Where a codec's own rate control uses less of a budget, its top setting is tried too."""


@lru_cache(maxsize=4)
def _read(source: ImageSource, pixels: str) -> TestImage:
    image = read_image(source.path, source.name, source.sample_bits, source.data)
    if image.fingerprint != pixels:
        raise ConformanceError(f"the image {source.path} changed while the run went on.")
    return image


def run_task(task: Task) -> Outcome:
    """Measure every goal of a task; a failure becomes the reason of the records it costs."""
    start = time.perf_counter()
    run = TaskRun(task, codec_processes(task.limits))
    try:
        image = _read(task.image, task.pixels)
    except HarnessError as error:
        records = tuple(run.failed(goal, error) for goal in task.goals)
    else:
        records = tuple(run.record(goal, image) for goal in task.goals)
    shares = Shares(run.codec_seconds, run.metric_seconds, time.perf_counter() - start)
    off = run.search.found_off if run.search else None
    return Outcome(task, records, tuple(run.encodes.values()), shares, run.encoded, off)


@dataclass
class TaskRun:
    """Answers the goals of one task, in a worker; every file and score is made once."""

    task: Task
    processes: CodecProcesses
    encodes: dict[Setting, Encode] = field(default_factory=dict)
    codec_seconds: float = 0.0
    metric_seconds: float = 0.0
    encoded: int = 0
    search: Search | None = None
    _files: dict[Setting, bytes] = field(default_factory=dict)
    _stopped: HarnessError | None = None

    def __post_init__(self) -> None:
        self.encodes = {encode.setting: encode for encode in self.task.known}

    def record(self, goal: Goal, image: TestImage) -> Record:
        """Answer one goal."""
        if self._stopped:
            return self.failed(goal, self._stopped)
        answer = {"ratio": self._ratio, "sweep": self._sweep, "control": self._control}[goal.protocol]
        try:
            return answer(goal, image)
        except LimitError as error:  # it would run into its limit again: no other goal of this task is tried
            self._stopped = error
            return self.failed(goal, error)
        except HarnessError as error:
            return self.failed(goal, error)

    def file_at(self, setting: Setting, image: TestImage) -> bytes:
        """Return the file at a setting."""
        self._encode(setting, image)
        return self._files[setting]

    def failed(self, goal: Goal, error: HarnessError) -> Record:
        """Return the record of a goal that an error ended."""
        status = "failed"
        if isinstance(error, UnsupportedImageError):
            status = "unsupported"
        if isinstance(error, MissingDependencyError):
            status = "missing"
        return blank_record(goal, self.task.image.name, self.task.codec.id, status, str(error))

    def _ratio(self, goal: Goal, image: TestImage) -> Record:
        assert goal.target_ratio is not None  # noqa: S101 - the plan gives every ratio goal one
        budget = budget_bytes(raw_bytes(image.pixels), goal.target_ratio)
        before = self.encoded
        by_itself = self._by_rate_control(image, budget) if self.task.description.budget else None
        status, setting, next_setting = by_itself or self._by_search(image, budget)
        found = self._decoded(setting, image, self.task.metric_names)
        psnr = found.metrics["psnr"]
        record = self._filled(goal, image, found, "lossless" if psnr == math.inf else status)
        extra = {**record.extra, "budget_bytes": budget, "encodes": self.encoded - before}
        at_budget = None
        if next_setting is not None and record.status == "reached":
            above = self._decoded(next_setting, image, ("psnr",))
            sizes = (found.size_bytes, above.size_bytes)
            at_budget = psnr_at(budget, sizes, (psnr, above.metrics["psnr"]))
            extra |= {"next_setting": above.setting, "next_size_bytes": above.size_bytes}
        return replace(record, psnr_at_budget=at_budget, extra=extra, reason=why_unspent(record, extra))

    def _by_search(self, image: TestImage, budget: int) -> tuple[str, Setting, Setting | None]:
        """Return status, the setting that answers and the one above it, by searching the ladder."""
        ladder = self.task.description.ladder
        if self.search is None:
            known = {index: encode.size_bytes for index, s in enumerate(ladder) if (encode := self.encodes.get(s))}
            rungs = {setting: rung for rung, setting in enumerate(ladder)}
            hints = [needed.hint(rungs, image.pixels) for needed in self.task.hints]

            def size_of(rung: int) -> int:
                return self._encode(ladder[rung], image)

            self.search = Search(len(ladder), size_of, known, hints, self._predicted(image), self.task.off)
        choice = self.search.choose(budget)
        above = None if choice.next_index is None else ladder[choice.next_index]
        return choice.status, ladder[choice.index], above

    def _predicted(self, image: TestImage) -> list[float]:
        """Return the bytes that a learned codec predicts for every rung; an empty list where it does not."""
        if not self.task.description.learned:
            return []
        encoder = self.processes.encoder(self.task.codec)
        with self._counted(encoder):
            return encoder.predicted_sizes(self.task.codec, image.pixels, len(self.task.description.ladder)) or []

    def _by_rate_control(self, image: TestImage, budget: int) -> tuple[str, Setting, Setting | None]:
        """Return status, setting and the next one above, by the codec's own rate control."""
        task, encoder = self.task, self.processes.encoder(self.task.codec)
        self.encoded += 1
        try:
            with self._counted(encoder):
                encoded = encoder.encode_to_budget(task.codec, image.pixels, budget)
        except BudgetError:
            self._encode(task.description.ladder[0], image)
            return "unreachable", task.description.ladder[0], None
        self._keep(encoded.setting, encoded.data)
        return self._above(encoded.setting, image, budget)

    def _above(self, best: Setting, image: TestImage, budget: int) -> tuple[str, Setting, Setting | None]:
        """Go up the ladder from a setting that fits to the first one that does not; return as `_by_search` does."""
        ladder = self.task.description.ladder
        filled = len(self._files[best]) >= _FILLED * budget
        if not filled and self._encode(ladder[-1], image) <= budget:
            return "capped", ladder[-1], None
        rising = ladder[-1] > ladder[0]
        for setting in [rung for rung in ladder if (rung > best if rising else rung < best)]:
            if self._encode(setting, image) > budget:
                return "reached", best, setting
            best = max(best, setting, key=lambda one: len(self._files[one]))
        return "capped", best, None

    def _sweep(self, goal: Goal, image: TestImage) -> Record:
        return self._filled(goal, image, self._decoded(_setting(goal), image, self.task.metric_names), "measured")

    def _control(self, goal: Goal, image: TestImage) -> Record:
        """Score a lossless codec's decode against the image, and the image against itself: all must be equal."""
        found = self._decoded(_setting(goal), image, self.task.metric_names)
        itself = self._scores(image, image, self.task.metric_names)
        record = self._filled(goal, image, found, "measured")
        wrong = [name for name, value in itself.items() if value != found.metrics[name]]
        if found.pixels_sha256 != image.fingerprint or found.metrics["psnr"] != math.inf:
            wrong.insert(0, "the pixels")
        return (
            replace(record, status="failed", reason=f"lossless control: {', '.join(wrong)} differ.")
            if wrong
            else record
        )

    def _encode(self, setting: Setting, image: TestImage) -> int:
        """Encode at a setting unless its file is here, or kept by an earlier run; return the file's bytes."""
        known = self.encodes.get(setting)
        if known and setting not in self._files and (kept := read_kept(self.task.kept, known.file_sha256)):
            self._files[setting] = kept
        if setting not in self._files:
            encoder = self.processes.encoder(self.task.codec)
            self.encoded += 1
            with self._counted(encoder):
                data = encoder.encode(self.task.codec, image.pixels, setting)
            self._keep(setting, data)
        return len(self._files[setting])

    @contextlib.contextmanager
    def _counted(self, process: CodecProcess) -> Iterator[None]:
        """Count the time of a codec's process in what runs inside, whether it fails or not."""
        before = process.seconds
        try:
            yield
        finally:
            self.codec_seconds += process.seconds - before

    def _keep(self, setting: Setting, data: bytes) -> None:
        digest = hashlib.sha256(data).hexdigest()
        known = self.encodes.get(setting)
        if known and known.file_sha256 != digest:
            raise ConformanceError(f"it is not deterministic: at setting {setting:g} it made two different files.")
        self._files[setting] = data
        self.encodes[setting] = known or Encode(setting, len(data), digest)

    def _decoded(self, setting: Setting, image: TestImage, names: tuple[str, ...]) -> Encode:
        """Return the encode at a setting with these metrics of its decode."""
        task = self.task
        key = scores_key(names, task.metric_targets, image.sample_bits, task.image.radar, task.device)
        known = self.encodes.get(setting)
        if known and answers(known.metrics_key, key):
            return known
        self._encode(setting, image)
        decoder = self.processes.decoder(self.task.codec)
        with self._counted(decoder):
            pixels = decoder.decode(self.task.codec, self._files[setting], image.pixels)
        scores = self._scores(image, replace(image, pixels=pixels), names)
        if self.task.keep_pictures and names == self.task.metric_names:
            for picture in (image.pixels, pixels):
                artifacts.keep_picture(picture, Path(self.task.keep_pictures))
        found = replace(self.encodes[setting], pixels_sha256=pixels_sha256(pixels), metrics_key=key, metrics=scores)
        self.encodes[setting] = found
        return found

    def _scores(self, reference: TestImage, decoded: TestImage, names: tuple[str, ...]) -> Mapping[str, float | None]:
        start = time.perf_counter()
        task, pair = self.task, (reference.pixels, decoded.pixels)
        known, radar = known_metrics(task.metric_targets), task.image.radar
        scores = table.measure(*pair, reference.peak, names, task.device, table=known, radar=radar)
        self.metric_seconds += time.perf_counter() - start
        return scores

    def _filled(self, goal: Goal, image: TestImage, found: Encode, status: str) -> Record:
        """Return the record of an encode and its decode."""
        raw = raw_bytes(image.pixels)
        height, width, _ = image.pixels.shape
        further = {name: found.metrics[name] for name in self.task.metric_names if name not in CSV_COLUMNS}
        if self.task.keep_files:
            keep_file(Path(self.task.keep_files), found.file_sha256, self.file_at(found.setting, image))
        return Record(
            fingerprint=goal.fingerprint,
            image=image.name,
            codec=self.task.codec.id,
            protocol=goal.protocol,
            target_ratio=goal.target_ratio,
            status=status,
            setting=found.setting,
            size_bytes=found.size_bytes,
            raw_bytes=raw,
            ratio=raw / found.size_bytes,
            bpp=8 * found.size_bytes / (height * width),
            psnr=found.metrics["psnr"],
            psnr_y=found.metrics.get("psnr_y"),
            ssim=found.metrics.get("ssim"),
            ms_ssim=found.metrics.get("ms_ssim"),
            file_sha256=found.file_sha256,
            pixels_sha256=found.pixels_sha256,
            extra={**further, **self.task.facts, **self._estimate(found, image)},
        )

    def _estimate(self, found: Encode, image: TestImage) -> dict[str, float | str]:
        """Return a learned codec's own estimate of the file, to stand beside its true size, or why there is none."""
        if not self.task.description.learned:
            return {}
        encoder = self.processes.encoder(self.task.codec)
        try:
            bits = encoder.estimated_bits(self.task.codec, image.pixels, found.setting)
        except HarnessError as error:  # the file and its scores stand without it
            return {"estimate_reason": str(error)}
        return {} if bits is None else {"estimated_bytes": round(bits / 8, 1)}


def _setting(goal: Goal) -> Setting:
    assert goal.setting is not None  # noqa: S101 - the plan gives every sweep and control target one
    return goal.setting
