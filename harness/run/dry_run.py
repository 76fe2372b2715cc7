"""What a run would measure, and about how long that takes."""

from __future__ import annotations

from dataclasses import dataclass

from harness.plan.plan import Plan, Request
from harness.plan.planner import make_plan
from harness.records.store import STORE_NAME, Store
from harness.run import engine
from harness.run.bench import device_for, to_train
from harness.run.measure import run_task
from harness.run.schedule import unfinished
from harness.training.session import TrainingSession


@dataclass(frozen=True)
class Estimate:
    """What a run would do."""

    plan: Plan
    records: int
    reused: int
    seconds: float
    """An estimate of the wall time, from one task of each codec on the smallest image; without training."""
    trained: frozenset[str]
    """The ids of codecs whose weights would be trained first."""


def estimate(request: Request) -> Estimate:
    """Count what a request would measure, and time one task a codec to say how long that takes."""
    plan = make_plan(request, device_for(request.device, request.scheduler))
    path = request.results / STORE_NAME
    tasks = list(plan.tasks)
    if path.is_file():
        with Store(path) as store:
            tasks = list(unfinished(plan, store))
    sizes = {image.pixels: image.width * image.height for image in plan.images}
    seconds_per_goal_pixel: dict[str, float] = {}
    for task in sorted(tasks, key=lambda task: sizes[task.pixels]):
        if task.codec_key not in seconds_per_goal_pixel:
            total = run_task(task).shares.total
            seconds_per_goal_pixel[task.codec_key] = total / (len(task.goals) * sizes[task.pixels])
    work = sum(seconds_per_goal_pixel[task.codec_key] * len(task.goals) * sizes[task.pixels] for task in tasks)
    left = sum(len(task.goals) for task in tasks)
    jobs = request.jobs or engine.default_jobs()
    trained = frozenset(spec.id for spec in to_train(plan, TrainingSession(request.config)) if request.train)
    return Estimate(plan, left, len(plan.fingerprints) - len(plan.blanks) - left, work / jobs, trained)
