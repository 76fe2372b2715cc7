"""A dask cluster that exists already: connect, and let its workers measure only with what the plan was made with."""

from __future__ import annotations

import contextlib
import json
import logging
from collections.abc import Iterator
from dataclasses import asdict, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from harness.config.registry import CodecSpec
from harness.config.schema import Limits
from harness.errors import ConformanceError, HarnessError, UsageError
from harness.plan.tasks import Outcome, Task, failed_outcome, metrics_key
from harness.run.measure import run_task
from harness.sandbox.process import codec_processes

if TYPE_CHECKING:
    from distributed import Client

GPU = "GPU"
"""The resource that a worker with a GPU announces: `dask worker ADDRESS --resources "GPU=1"`."""
_CONNECT_SECONDS = 10


@contextlib.contextmanager
def connected(address: str) -> Iterator[Client]:
    """Connect to a scheduler, and wait until it has a worker.

    Raises:
        UsageError: the scheduler cannot be reached.
    """
    from distributed import Client

    try:
        client = Client(address, timeout=_CONNECT_SECONDS)
    except (OSError, ValueError) as error:
        raise UsageError(f"the scheduler {address} cannot be used: {error}") from error
    with client:
        if not worker_count(client):
            start = f"dask worker {address} --nthreads 1"
            logging.getLogger("harness").warning("%s has no workers yet: waiting. To start one: %s", address, start)
            client.wait_for_workers(1)
        yield client


def worker_count(client: Client) -> int:
    """Return how many tasks the cluster's workers run at once now."""
    return sum(worker["nthreads"] for worker in _workers(client))


def _workers(client: Client) -> list[dict[str, Any]]:
    return list(client.scheduler_info(n_workers=-1)["workers"].values())


def resources_for(task: Task, client: Client) -> dict[str, float]:
    """Return what a worker must offer to get a task: a GPU where metrics or codec run on one.

    Raises:
        UsageError: no worker offers it.
    """
    if "cuda" not in (task.device, task.codec.parameters.get("device")):
        return {}
    if not any(worker["resources"].get(GPU) for worker in _workers(client)):
        raise UsageError(
            f"{task.codec.id!r} on {task.image.name} needs a GPU, and none of the {worker_count(client)} workers "
            f'offers one. Start one where it is with: dask worker ADDRESS --nthreads 1 --resources "{GPU}=1".'
        )
    return {GPU: 1}


def run_there(task: Task, planned_metrics: str) -> Outcome:
    """Measure a task on another machine; return the outcome without the image that came with the task.

    A worker whose libraries differ from those the plan was made with would store wrong versions: its records fail.
    """
    try:
        _require_same(task, planned_metrics)
        outcome = run_task(task)
    except HarnessError as error:
        outcome = failed_outcome(task, f"on the worker {_here()}: {error}")
    return replace(outcome, task=replace(task, image=replace(task.image, data=None)))


def _require_same(task: Task, planned_metrics: str) -> None:
    if (here := metrics_key(task.metric_names, task.metric_targets)) != planned_metrics:
        raise ConformanceError(
            f"its metrics are {here}, those of the plan {planned_metrics}. Install the same versions."
        )
    found = _provenance(json.dumps(asdict(task.codec), sort_keys=True), task.limits)
    planned = dict(task.description.provenance)
    if found != planned:
        raise ConformanceError(
            f"its {task.codec.id!r} is {found}, that of the plan {planned}. Install the same versions."
        )


@lru_cache(maxsize=256)
def _provenance(spec: str, limits: Limits) -> dict[str, Any]:
    """Return what a codec of this worker says decides its bytes; asked once a worker."""
    codec = CodecSpec(**json.loads(spec))
    return dict(codec_processes(limits).encoder(codec).describe(codec).provenance)


def _here() -> str:
    from distributed import get_worker

    return str(get_worker().address)
