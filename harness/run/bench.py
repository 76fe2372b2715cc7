"""The main job: plan, measure what the store lacks, write the run's folder."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from harness.config.registry import CodecSpec
from harness.errors import UsageError
from harness.plan.plan import Plan
from harness.plan.planner import make_plan
from harness.plan.request import Request, ResolvedRequest, resolve
from harness.plan.targets import RatioTarget
from harness.plan.tasks import Task
from harness.records import artifacts, manifest
from harness.records.manifest import Manifest
from harness.records.record import read_frame, to_frame
from harness.records.store import STORE_NAME, Store
from harness.run import engine, summary
from harness.run.assignment import Outcome
from harness.run.schedule import Schedule, keeping_in, unfinished
from harness.run.summary import Tally
from harness.system.container import in_container
from harness.system.files import written_aside
from harness.training.session import TrainingSession, is_trained_here

if TYPE_CHECKING:
    import pandas as pd

CALLS_PER_RATIO = 7
"""About how many encodes and decodes it takes to find one image's file at one ratio."""


@dataclass(frozen=True)
class Run:
    """A finished run."""

    folder: Path
    records: pd.DataFrame
    manifest: Manifest


def bench(request: Request) -> Run:
    """Measure what a request asks for, as far as the store lacks it, and write report, records and manifest.

    Raises:
        UsageError: the request is wrong; nothing was measured.
    """
    return measure_plan(ready_plan(resolve(request)))


def ready_plan(request: ResolvedRequest) -> Plan:
    """Return the plan of a request, after training the learned codecs that lack weights, unless it asks not to.

    Raises:
        UsageError: the results folder cannot be written, or an image cannot be read.
    """
    check_writable(request.results)
    plan = make_plan(request)
    if request.train and _train_missing(plan):
        plan = make_plan(request, plan.images)
    return plan


def measure_plan(plan: Plan) -> Run:
    """Measure what the store lacks of a plan, and write report, records and manifest."""
    request = plan.request
    with Store(request.results / STORE_NAME) as store:
        folder, previous = _folder(request.results, plan)
        keeping = keeping_in(plan, folder.resolve())
        about = summary.begun(plan, datetime.now(UTC))
        tasks = list(unfinished(plan, store, keeping.files))
        for line in slow_codecs(tasks, plan):
            logging.getLogger("harness").warning(line)
        if tasks or previous is None:
            manifest.write(folder / manifest.NAME, about)
        tally, seconds, jobs = _measure(Schedule(plan, tasks, store, keeping))
        store.save("", "", plan.placeholders, ())
        frame = to_frame(store.records(report_order(plan)))
    if previous is not None and not tally.measured:
        about = summary.planned_anew(previous, about)
    else:
        about = summary.ended(about, frame, tally, seconds, jobs)
    return write_run(folder, frame, about)


def to_train(plan: Plan, session: TrainingSession) -> list[CodecSpec]:
    """Return the codecs of a plan that lack weights and have images to train them on."""
    lacking = [codec.spec for codec in plan.codecs if codec.learned and codec.reason and is_trained_here(codec.spec)]
    return [spec for spec in lacking if all(session.has_images(job) for job in session.jobs([spec]))]


def _train_missing(plan: Plan) -> bool:
    """Train the learned codecs of a plan that lack weights; return whether any was trained.

    It first says how long that takes and how to leave it out. Without training images nothing is trained: those
    codecs are `missing`, and their records say what to do.
    """
    session = TrainingSession(plan.request.config)
    jobs = session.jobs(to_train(plan, session))
    if not jobs:
        return False
    session.check_images(jobs)
    log = logging.getLogger("harness")
    for job, seconds in session.estimates(jobs):
        log.warning("no weights of %s: training them takes about %.0f minutes here", job.name, seconds / 60)
    log.warning("training now into %s; --no-train leaves it out, Ctrl-C keeps what is done", session.weights)
    for job in jobs:
        session.train(job, bar=True)
    return True


def slow_codecs(tasks: Sequence[Task], plan: Plan) -> Iterator[str]:
    """Yield a line for each codec that calls itself slow: about how long its tasks take here."""
    megapixels = {image.pixels: image.width * image.height / 1e6 for image in plan.images}
    for codec_id in dict.fromkeys(task.codec.id for task in tasks if task.description.seconds_per_megapixel):
        own = [task for task in tasks if task.codec.id == codec_id]
        speed = own[0].description.seconds_per_megapixel
        calls = sum(
            megapixels[task.pixels] * (CALLS_PER_RATIO if isinstance(target, RatioTarget) else 2)
            for task in own
            for target in task.targets
        )
        minutes = speed * calls / min(plan.request.jobs, len(own)) / 60
        yield (
            f"{codec_id} is slow: about {speed:g} s per megapixel to encode or to decode, about "
            f"{round(minutes, 0 if minutes > 10 else 2):g} minutes for what is asked; --limit and --codecs take less"
        )


def _measure(schedule: Schedule) -> tuple[Tally, float, int]:
    """Run tasks and store each outcome as it arrives; return the tally, the wall time in seconds, and the workers."""
    from tqdm.auto import tqdm

    tally, start = Tally(), time.perf_counter()
    request, tasks = schedule.plan.request, schedule.tasks
    if not tasks:
        return tally, 0.0, request.jobs
    total = sum(len(task.targets) for task in tasks)
    with tqdm(total=total, unit="record", smoothing=0.05, dynamic_ncols=True) as bar:

        def keep(outcome: Outcome) -> None:
            schedule.keep(outcome)
            tally.add(outcome)
            bar.set_postfix_str(f"{outcome.codec} on {outcome.image}", refresh=False)
            bar.update(len(outcome.records))

        workers = engine.run(schedule.batches(), min(request.jobs, len(tasks)), request.scheduler, keep)
    return tally, time.perf_counter() - start, workers


def report_order(plan: Plan) -> list[str]:
    """Return the keys of a plan's records in the order in which they are reported."""
    return list(dict.fromkeys(plan.fingerprints))


def _folder(results: Path, plan: Plan) -> tuple[Path, Manifest | None]:
    """Return the newest folder of this plan, with its manifest if that run has ended; else a new folder."""
    for folder, found in reversed(list(manifest.search(results))):
        if found.plan == plan.key:
            return folder, found if found.state == "done" else None
    return _new_folder(results / f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{plan.request.name}"), None


def _new_folder(first: Path) -> Path:
    """Make a folder of that name, or one with a number appended: two runs can start in the same second."""
    folder, number = first, 1
    while True:
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            number += 1
            folder = first.with_name(f"{first.name}-{number}")
        else:
            return folder


def write_run(folder: Path, frame: pd.DataFrame, about: Manifest) -> Run:
    """Write records, manifest and report of a run that has ended into its folder, and the index of the results."""
    from harness.report import write_report
    from harness.report.index import write_index

    with written_aside(folder / "records.csv") as aside:
        frame.to_csv(aside, index=False)
    about = about.model_copy(update={"state": "done", "records": len(frame)})
    manifest.write(folder / manifest.NAME, about)
    frame = read_frame(folder)
    write_report(folder, frame, about, artifacts.kept_pictures(folder, frame, about))
    write_index(folder.parent)
    return Run(folder, frame, about)


def check_writable(results: Path) -> None:
    """Raise a UsageError before any work unless the results folder can be written."""
    try:
        results.mkdir(parents=True, exist_ok=True)
        probe = results / f".write-test-{os.getpid()}"
        probe.touch()
        probe.unlink()
    except OSError as error:
        in_docker = '; or add --user "$(id -u):$(id -g)" -v "$PWD/results:/results", after mkdir -p results'
        raise UsageError(
            f"the results folder {results} cannot be written: {error.strerror}. Name another with --results"
            f"{in_docker if in_container() else ''}."
        ) from error
