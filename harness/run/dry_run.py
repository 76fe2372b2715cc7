"""Say what a run would measure, and about how long that takes."""

from __future__ import annotations

from dataclasses import dataclass

from harness.plan.plan import Plan
from harness.plan.planner import make_plan
from harness.plan.request import Request, resolve
from harness.records.store import STORE_NAME, Store
from harness.run.assignment import Assignment
from harness.run.bench import to_train
from harness.run.measure import run_task
from harness.run.schedule import unfinished
from harness.training.session import TrainingSession


@dataclass(frozen=True)
class Estimate:
    """What a run would do."""

    plan: Plan
    records: int
    """How many records would be measured."""
    reused: int
    """How many records are in the store already."""
    seconds: float
    """An estimate of the wall time without training, from one task of each codec on the smallest image."""
    trained: frozenset[str]
    """The ids of codecs whose weights would be trained first."""


def estimate(request: Request) -> Estimate:
    """Count what a request would measure, and time one task of each codec to estimate how long that takes."""
    resolved = resolve(request)
    plan = make_plan(resolved)
    path = resolved.results / STORE_NAME
    tasks = list(plan.tasks)
    if path.is_file():
        with Store(path) as store:
            tasks = list(unfinished(plan, store))
    pixels = {image.pixels: image.width * image.height for image in plan.images}
    seconds_per_target_pixel: dict[str, float] = {}
    for task in sorted(tasks, key=lambda task: pixels[task.pixels]):
        if task.codec_key not in seconds_per_target_pixel:
            total = run_task(Assignment(task)).seconds.total
            seconds_per_target_pixel[task.codec_key] = total / (len(task.targets) * pixels[task.pixels])
    seconds = sum(seconds_per_target_pixel[task.codec_key] * len(task.targets) * pixels[task.pixels] for task in tasks)
    records = sum(len(task.targets) for task in tasks)
    trained = to_train(plan, TrainingSession(resolved.config)) if resolved.train else []
    return Estimate(
        plan=plan,
        records=records,
        reused=len(plan.fingerprints) - len(plan.placeholders) - records,
        seconds=seconds / resolved.jobs,
        trained=frozenset(spec.id for spec in trained),
    )
