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
from harness.plan.plan import Plan, Request
from harness.plan.planner import make_plan
from harness.plan.tasks import Outcome, Task
from harness.records import artifacts, manifest
from harness.records.manifest import Manifest
from harness.records.record import read_frame, to_frame
from harness.records.store import STORE_NAME, Store
from harness.run import engine, summary
from harness.run.schedule import Work, keeping_in, unfinished
from harness.run.summary import Tally
from harness.system import provenance
from harness.system.container import in_container
from harness.system.files import written_aside
from harness.training.session import TrainingSession, is_trained_here

if TYPE_CHECKING:
    import pandas as pd

CALLS_A_TARGET = 7
"""About how many encodes and decodes the search for one image's file at one ratio takes."""


@dataclass(frozen=True)
class Run:
    """A run that is done."""

    folder: Path
    records: pd.DataFrame
    manifest: Manifest


def bench(request: Request) -> Run:
    """Measure what a request asks for, as far as the store lacks it, and write report, records and manifest.

    Raises:
        UsageError: the request is wrong; nothing was measured.
    """
    check_writable(request.results)
    device = device_for(request.device, request.scheduler)
    plan = make_plan(request, device)
    if request.train and _train_missing(plan, request):
        plan = make_plan(request, device)
    jobs = request.jobs or engine.default_jobs()
    with Store(request.results / STORE_NAME) as store:
        folder, previous = _folder(request.results, plan)
        keeping = keeping_in(plan, folder.resolve(), request.keep_files)
        about = summary.begun(plan, jobs, device, datetime.now(UTC))
        tasks = list(unfinished(plan, store, keeping.files))
        for line in slow_codecs(tasks, plan, jobs):
            logging.getLogger("harness").warning(line)
        if tasks or previous is None:
            manifest.write(folder / manifest.NAME, about)
        work = Work(plan, tasks, store, keeping, request.ship_images)
        tally, seconds, jobs = _measure(work, jobs, request.scheduler)
        store.save("", "", plan.blanks, ())
        frame = to_frame(store.records(report_order(plan)))
    if previous is not None and not tally.measured:
        about = summary.planned_anew(previous, about)
    else:
        about = summary.ended(about, frame, tally, seconds, jobs)
    return write_run(folder, frame, about)


def to_train(plan: Plan, session: TrainingSession) -> list[CodecSpec]:
    """Return the codecs of a plan that lack weights, and have images to train them on."""
    lacking = [codec.spec for codec in plan.codecs if codec.learned and codec.reason and is_trained_here(codec.spec)]
    return [spec for spec in lacking if all(session.has_images(order) for order in session.orders([spec]))]


def _train_missing(plan: Plan, request: Request) -> bool:
    """Train what learned codecs of a plan lack, telling before what and how not to; return whether any was trained.

    Without training images nothing is trained: those codecs are `missing`, and their records say what to do.
    """
    session = TrainingSession(request.config)
    orders = session.orders(to_train(plan, session))
    if not orders:
        return False
    session.check_images(orders)
    log = logging.getLogger("harness")
    for order, seconds in session.estimates(orders):
        log.warning("no weights of %s: training them takes about %.0f minutes here", order.name, seconds / 60)
    log.warning("training now into %s; --no-train leaves it out, Ctrl-C keeps what is done", session.weights)
    for order in orders:
        session.train(order, bar=True)
    return True


def slow_codecs(tasks: Sequence[Task], plan: Plan, jobs: int) -> Iterator[str]:
    """Yield a line for each codec that says of itself that it is slow: about how long its tasks take here."""
    megapixels = {image.pixels: image.width * image.height / 1e6 for image in plan.images}
    for codec_id in dict.fromkeys(task.codec.id for task in tasks if task.description.seconds_per_megapixel):
        own = [task for task in tasks if task.codec.id == codec_id]
        speed = own[0].description.seconds_per_megapixel
        calls = sum(
            megapixels[task.pixels] * (CALLS_A_TARGET if goal.protocol == "ratio" else 2)
            for task in own
            for goal in task.goals
        )
        minutes = speed * calls / min(jobs, len(own)) / 60
        yield (
            f"{codec_id} is slow: about {speed:g} s a megapixel to encode or to decode, about "
            f"{round(minutes, 0 if minutes > 10 else 2):g} minutes for what is asked; --limit and --codecs take less"
        )


def _measure(work: Work, jobs: int, scheduler: str | None) -> tuple[Tally, float, int]:
    """Run tasks and store each outcome as it arrives; return the tally, the wall time in seconds, and the workers."""
    from tqdm.auto import tqdm

    tally, start = Tally(), time.perf_counter()
    if not work.tasks:
        return tally, 0.0, jobs
    with tqdm(
        total=sum(len(task.goals) for task in work.tasks), unit="record", smoothing=0.05, dynamic_ncols=True
    ) as bar:

        def keep(outcome: Outcome) -> None:
            work.keep(outcome)
            tally.add(outcome)
            task = outcome.task
            bar.set_postfix_str(f"{task.codec.id} on {task.image.name}", refresh=False)
            bar.update(len(task.goals))

        workers = engine.run(work.batches(), min(jobs, len(work.tasks)), scheduler, keep)
    return tally, time.perf_counter() - start, workers


def report_order(plan: Plan) -> list[str]:
    """Return the keys of a plan's records in the order in which they are reported."""
    return list(dict.fromkeys(plan.fingerprints))


def _folder(results: Path, plan: Plan) -> tuple[Path, Manifest | None]:
    """Return the newest folder of this plan, with its manifest if that run has ended; else a new folder."""
    for folder, found in reversed(list(manifest.search(results))):
        if found.plan == plan.key:
            return folder, found if found.state == "done" else None
    return _new_folder(results / f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{plan.suite_name}"), None


def _new_folder(first: Path) -> Path:
    """Make a folder of that name, or with a number behind it: two runs can begin in one second."""
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
        inside = '; or add --user "$(id -u):$(id -g)" -v "$PWD/results:/results", after mkdir -p results'
        raise UsageError(
            f"the results folder {results} cannot be written: {error.strerror}. Name another with --results"
            f"{inside if in_container() else ''}."
        ) from error


def device_for(asked: str, scheduler: str | None = None) -> str:
    """Return "cuda" or "cpu" for what was asked; on a cluster, whose machines are others, "auto" is "cpu".

    Raises:
        UsageError: a GPU was asked for and there is none.
    """
    if scheduler:
        return "cuda" if asked == "cuda" else "cpu"
    if asked == "cpu" or (asked == "auto" and not provenance.has_gpu()):
        return "cpu"
    if not provenance.has_gpu():
        raise UsageError("the device cuda was asked for; no NVIDIA GPU and driver were found. Use --device cpu.")
    return "cuda"
