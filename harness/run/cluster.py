"""Use an existing dask cluster; its workers refuse tasks if their library versions differ from the plan's."""

from __future__ import annotations

import contextlib
import json
import logging
from collections.abc import Iterator
from dataclasses import asdict
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from harness.config.registry import CodecSpec
from harness.config.schema import Limits
from harness.errors import ConformanceError, HarnessError, UsageError
from harness.plan.fingerprints import metrics_key
from harness.plan.tasks import Task
from harness.run.assignment import Assignment, Outcome, failed_outcome
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
    """Return how many tasks the cluster's present workers run at once."""
    return sum(worker["nthreads"] for worker in _workers(client))


def _workers(client: Client) -> list[dict[str, Any]]:
    return list(client.scheduler_info(n_workers=-1)["workers"].values())


def resources_for(task: Task, client: Client) -> dict[str, float]:
    """Return what a worker must offer to get a task: a GPU if the metrics or the codec run on one.

    Raises:
        UsageError: no worker offers it.
    """
    if "cuda" not in (task.device, task.codec.parameters.get("device")):
        return {}
    if not any(worker["resources"].get(GPU) for worker in _workers(client)):
        raise UsageError(
            f"{task.codec.id!r} on {task.image.name} needs a GPU, and none of the {worker_count(client)} workers "
            f'offers one. Start one on a machine that has it: dask worker ADDRESS --nthreads 1 --resources "{GPU}=1".'
        )
    return {GPU: 1}


def run_there(assignment: Assignment, planned_metrics: str) -> Outcome:
    """Measure a task on another machine.

    The records of a worker whose libraries differ from the plan's fail: it would store wrong versions.
    """
    try:
        _require_same(assignment.task, planned_metrics)
        return run_task(assignment)
    except HarnessError as error:
        return failed_outcome(assignment.task, f"on the worker {_here()}: {error}")


def _require_same(task: Task, planned_metrics: str) -> None:
    if (here := metrics_key(task.metric_names, task.plugin_metrics)) != planned_metrics:
        raise ConformanceError(f"its metrics are {here}, the plan's are {planned_metrics}. Install the same versions.")
    found = _provenance(json.dumps(asdict(task.codec), sort_keys=True), task.limits)
    planned = dict(task.description.provenance)
    if found != planned:
        raise ConformanceError(f"its {task.codec.id!r} is {found}, the plan's is {planned}. Install the same versions.")


@lru_cache(maxsize=256)
def _provenance(spec: str, limits: Limits) -> dict[str, Any]:
    """Return what decides the bytes of a codec on this worker, as the codec says; asked once per worker."""
    codec = CodecSpec(**json.loads(spec))
    return dict(codec_processes(limits).encoder(codec).describe(codec).provenance)


def _here() -> str:
    from distributed import get_worker

    return str(get_worker().address)
