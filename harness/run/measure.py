"""What a worker does with a task: measure every target of one codec on one image. The targets share files and scores.

The codec encodes in one child process and decodes in another; metrics are computed in this one.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, replace
from functools import lru_cache

from harness.data.datasets import ImageSource
from harness.data.images import TestImage, read_image
from harness.errors import ConformanceError, HarnessError, LimitError
from harness.interface import raw_bytes
from harness.plan.targets import ControlTarget, RatioTarget, SweepTarget, Target, placeholder_record
from harness.plan.tasks import Task
from harness.rate import psnr_at, target_bytes
from harness.records.record import Record
from harness.run.assignment import Assignment, Outcome, TaskSeconds, failed_outcome, failure, outcome_of
from harness.run.encodes import EncodeCache
from harness.run.rate_control import by_rate_control
from harness.run.rate_search import RateSearch
from harness.run.record_builder import RecordBuilder, why_smaller
from harness.run.scoring import Scorer
from harness.sandbox.process import CodecProcesses, codec_processes


def run_task(assignment: Assignment) -> Outcome:
    """Measure every target of a task; a failure becomes the reason of the records that it costs."""
    start = time.perf_counter()
    task = assignment.task
    try:
        image = _read(task.image, task.pixels, assignment.image_data)
    except HarnessError as error:
        return replace(failed_outcome(task, error), seconds=TaskSeconds(total=time.perf_counter() - start))
    measuring = begin(assignment, image, codec_processes(task.limits))
    records = tuple(measuring.record(target) for target in task.targets)
    return replace(
        outcome_of(task, records),
        encodes=tuple(measuring.cache.encodes.values()),
        seconds=TaskSeconds(measuring.cache.codec_seconds, measuring.scorer.seconds, time.perf_counter() - start),
        encode_count=measuring.cache.encode_count,
        prediction_bias=measuring.search.prediction_bias,
    )


@lru_cache(maxsize=4)
def _read(source: ImageSource, pixels: str, data: bytes | None) -> TestImage:
    image = read_image(source.path, source.name, source.sample_bits, data)
    if image.fingerprint != pixels:
        raise ConformanceError(f"the image {source.path} changed while the run went on.")
    return image


def begin(assignment: Assignment, image: TestImage, processes: CodecProcesses) -> Measuring:
    """Return what measures the targets of a task, with what is known of its files already."""
    task = assignment.task
    known = {encode.setting: encode for encode in assignment.known_encodes}
    cache = EncodeCache(task, image.pixels, processes, known, assignment.earlier_files)
    return Measuring(
        task=task,
        image=image,
        cache=cache,
        search=RateSearch(assignment, cache),
        scorer=Scorer(task, image, cache, assignment.pictures_folder),
        builder=RecordBuilder(task, image, cache, assignment.files_folder),
    )


@dataclass
class Measuring:
    """Measures the targets of one task; every file and score is made once."""

    task: Task
    image: TestImage
    cache: EncodeCache
    search: RateSearch
    scorer: Scorer
    builder: RecordBuilder
    _stopped: LimitError | None = None

    def record(self, target: Target) -> Record:
        """Measure one target; return its record, which holds the reason where that fails."""
        if self._stopped:
            return self._failed(target, self._stopped)
        try:
            return self._measured(target)
        except LimitError as error:  # it would exceed its limit again: no other target of this task is tried
            self._stopped = error
            return self._failed(target, error)
        except HarnessError as error:
            return self._failed(target, error)

    def _measured(self, target: Target) -> Record:
        match target:
            case RatioTarget():
                return self._ratio(target)
            case SweepTarget():
                found = self.scorer.scored(target.setting, self.task.metric_names)
                return self.builder.record(target, found, "measured")
            case ControlTarget():
                return self._control(target)

    def _failed(self, target: Target, error: HarnessError) -> Record:
        return placeholder_record(target, self.task.image.name, self.task.codec.id, *failure(error))

    def _ratio(self, target: RatioTarget) -> Record:
        """Find the largest file that fits, score it, and interpolate PSNR to the target size."""
        target_size = target_bytes(raw_bytes(self.image.pixels), target.target_ratio)
        before = self.cache.encode_count
        own_control = self.task.description.budget
        chosen = by_rate_control(self.cache, target_size) if own_control else self.search.choose(target_size)
        found = self.scorer.scored(chosen.setting, self.task.metric_names)
        psnr = found.metrics["psnr"]
        record = self.builder.record(target, found, "lossless" if psnr == math.inf else chosen.status)
        extra = {**record.extra, "budget_bytes": target_size, "encodes": self.cache.encode_count - before}
        at_target_size = None
        if chosen.next_setting is not None and record.status == "reached":
            above = self.scorer.scored(chosen.next_setting, ("psnr",))
            sizes = (found.size_bytes, above.size_bytes)
            at_target_size = psnr_at(target_size, sizes, (psnr, above.metrics["psnr"]))
            extra |= {"next_setting": above.setting, "next_size_bytes": above.size_bytes}
        return replace(record, psnr_at_budget=at_target_size, extra=extra, reason=why_smaller(record, extra))

    def _control(self, target: ControlTarget) -> Record:
        """Score a lossless codec's decode against the image, and the image against itself: all must be equal."""
        found = self.scorer.scored(target.setting, self.task.metric_names)
        itself = self.scorer.scores(self.image.pixels, self.task.metric_names)
        record = self.builder.record(target, found, "measured")
        wrong = [name for name, value in itself.items() if value != found.metrics[name]]
        if found.pixels_sha256 != self.image.fingerprint or found.metrics["psnr"] != math.inf:
            wrong.insert(0, "the pixels")
        if not wrong:
            return record
        return replace(record, status="failed", reason=f"lossless control: {', '.join(wrong)} differ.")
