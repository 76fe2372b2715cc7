"""The timing pass: after the bench, time one codec call at a time, on a machine that is otherwise idle.

Each record's file is encoded and decoded again at the chosen setting: once to warm up (the first call, shown
separately), then several times. Reported are medians and interquartile ranges, without the cost of the rate search.
Separate columns hold the start-up time of a codec that starts a program in every call, and the number of instructions
where perf counts them.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import groupby
from typing import Any

import psutil

from harness.data.images import TestImage, read_image
from harness.errors import HarnessError, UsageError
from harness.interface import Setting
from harness.plan.plan import Plan
from harness.plan.request import Request, resolve
from harness.plan.tasks import Task
from harness.records.record import Record, to_frame
from harness.records.store import STORE_NAME, Store
from harness.run.bench import Run, measure_plan, ready_plan, report_order, write_run
from harness.sandbox.process import CodecProcess
from harness.sandbox.replies import Timed
from harness.system.perf import can_count, count
from harness.system.processors import usable_processors
from harness.system.provenance import describe_machine

REPEATS = 5
CORNER = 16
"""Height and width in pixels of the image corner that a program gets when its start-up is timed."""
BUSY_PERCENT = 15.0
"""A machine is not idle if more than this percentage of all processors is in use."""


@dataclass(frozen=True)
class Subject:
    """One record to time, with all it takes to make its file again."""

    record: Record
    setting: Setting
    task: Task
    image: TestImage


def busy_percent(seconds: float = 1.0) -> float:
    """Return how much of all processors is in use over some seconds, in percent."""
    return psutil.cpu_percent(interval=seconds)


def require_idle(allow_busy: bool) -> float:
    """Return how busy the machine is, in percent.

    Raises:
        UsageError: it is busy, and that is not allowed.
    """
    busy = busy_percent()
    if busy > BUSY_PERCENT and not allow_busy:
        raise UsageError(
            f"the machine is {busy:.0f} % busy; times taken now would mislead (at most {BUSY_PERCENT:g} %). "
            "Wait until it is idle, or pass --allow-busy: the times are then marked."
        )
    return busy


def time_subjects(subjects: Iterable[Subject], repeats: int, busy: float) -> Iterator[Record]:
    """Yield each record with the columns of its times; a record whose codec fails now keeps the reason instead.

    The columns also say where and when the times were taken: other runs in the same results folder show them too.
    """
    here = {"timing_machine": describe_machine()["cpu"], "timing_busy_percent": round(busy, 1)}
    for subject in subjects:
        columns: dict[str, Any] = {**here, "timing_date": f"{datetime.now(UTC):%F}", "timing_repeats": repeats}
        for threads in _thread_counts(subject.task):
            suffix = "" if threads == 1 else "_all_threads"
            try:
                columns |= _times(subject, threads, repeats, suffix)
            except HarnessError as error:
                columns[f"timing_reason{suffix}"] = str(error)
        yield replace(subject.record, extra={**subject.record.extra, **columns})


def _thread_counts(task: Task) -> tuple[int, ...]:
    """Return the numbers of threads to time: one and, where the codec takes a number, one per processor."""
    processors = usable_processors()
    return (1, processors) if task.description.threaded and processors > 1 else (1,)


def _times(subject: Subject, threads: int, repeats: int, suffix: str) -> dict[str, Any]:
    """Return the columns of one record at one number of threads; encoder and decoder run in new processes."""
    spec = subject.task.codec
    if subject.task.description.threaded:
        spec = replace(spec, parameters={**spec.parameters, "threads": threads})
    setting, pixels = subject.setting, subject.image.pixels
    encoder, decoder = (CodecProcess(subject.task.limits, threads) for _ in range(2))
    try:
        data, encode = encoder.time_encode(spec, pixels, setting, repeats)
        decode = decoder.time_decode(spec, data, pixels, repeats)
        more = _start_up(subject, encoder, decoder, repeats) if subject.task.description.program else {}
        if can_count():
            more |= _instructions("encode", encoder, lambda: encoder.encode(spec, pixels, setting))
            more |= _instructions("decode", decoder, lambda: decoder.decode(spec, data, pixels))
    finally:
        encoder.close()
        decoder.close()
    megapixels = pixels.shape[0] * pixels.shape[1] / 1e6
    found = {**_columns("encode", encode, megapixels), **_columns("decode", decode, megapixels), **more}
    return {f"{name}{suffix}": value for name, value in {**found, "timing_threads": threads}.items()}


def _start_up(subject: Subject, encoder: CodecProcess, decoder: CodecProcess, repeats: int) -> dict[str, Any]:
    """Return the median seconds of the same calls on a corner of the image: the time a program takes to start and end.

    A codec that fails on a corner keeps its other times; the reason replaces these.
    """
    spec, setting = subject.task.codec, subject.setting
    corner = subject.image.pixels[:CORNER, :CORNER]
    try:
        data, encode = encoder.time_encode(spec, corner, setting, repeats)
        decode = decoder.time_decode(spec, data, corner, repeats)
    except HarnessError as error:
        return {"timing_reason_start_up": str(error)}
    pairs = (("encode", encode), ("decode", decode))
    return {f"{name}_seconds_start_up": round(statistics.median(timed.seconds[1:]), 6) for name, timed in pairs}


def _instructions(direction: str, process: CodecProcess, call: Callable[[], object]) -> dict[str, Any]:
    """Return how many instructions a call takes; None where it failed or was not counted."""
    try:
        return {f"{direction}_instructions": count(process.pid or 0, call)}
    except HarnessError:
        return {f"{direction}_instructions": None}


def _columns(direction: str, timed: Timed, megapixels: float) -> dict[str, Any]:
    """Return the columns of one direction: median and interquartile range in seconds, MP/s, peak memory."""
    first, *rest = timed.seconds
    low, median, high = statistics.quantiles(rest, n=4, method="inclusive")
    columns = {
        f"{direction}_seconds": round(median, 6),
        f"{direction}_seconds_iqr": round(high - low, 6),
        f"{direction}_seconds_first": round(first, 6),
        f"{direction}_mp_s": round(megapixels / median, 4),
        f"{direction}_peak_rss_mb": round(timed.peak_rss_mb, 1),
    }
    return columns | ({f"{direction}_peak_cuda_mb": timed.peak_cuda_mb} if timed.peak_cuda_mb else {})


def time_run(request: Request, repeats: int, allow_busy: bool) -> Run:
    """Measure what is missing of a request, then time each record's file; the report then shows speed.

    Raises:
        UsageError: the request is wrong or names a cluster, or the machine is busy.
    """
    from tqdm.auto import tqdm

    if request.scheduler:
        raise UsageError(
            "times are taken on this machine, never on a cluster: leave out --scheduler. What `harness bench "
            "--scheduler` stored below the same --results is not measured again."
        )
    plan = ready_plan(resolve(request))
    run = measure_plan(plan)
    busy = require_idle(allow_busy)
    with Store(plan.request.results / STORE_NAME) as store:
        total = sum(len(_files(task, store)) for task in plan.tasks)
        for record in tqdm(time_subjects(_subjects(plan, store), repeats, busy), total=total, unit="record"):
            store.save("", "", [record], ())
        frame = to_frame(store.records(report_order(plan)))
    return write_run(run.folder, frame, run.manifest)


def _subjects(plan: Plan, store: Store) -> Iterator[Subject]:
    """Yield every record of the run that has a file, with its task; each image is read once, before its records."""
    for source, tasks in groupby(plan.tasks, key=lambda task: task.image):
        image = read_image(source.path, source.name, source.sample_bits)
        for task in tasks:
            yield from (Subject(record, setting, task, image) for record, setting in _files(task, store))


def _files(task: Task, store: Store) -> list[tuple[Record, Setting]]:
    """Return the records of a task that have a file, each with its setting."""
    records = store.records(target.fingerprint for target in task.targets)
    return [(one, one.setting) for one in records if one.size_bytes is not None and one.setting is not None]
