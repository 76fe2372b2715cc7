"""Run tasks on a dask cluster: one of this machine's processes by default, or one that exists already.

Workers are one thread a process. Tasks are handed out in the order given, a few ahead of the workers, so that memory
stays bounded however long the list is. A task that a lost worker held is given to another one.
"""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import signal
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from multiprocessing import resource_tracker
from typing import TYPE_CHECKING, Any

import psutil

from harness.errors import UsageError
from harness.plan.tasks import Outcome, Task, failed_outcome, metrics_key
from harness.run import cluster as existing
from harness.run.measure import run_task
from harness.sandbox.limits import kill_strays, kill_tree
from harness.system.memory import KEEP_MEMORY

if TYPE_CHECKING:
    from distributed import Client, Future, LocalCluster
    from tornado.ioloop import IOLoop

_AHEAD = 3
"""How many tasks a worker has at hand or waiting."""
_LOST_WORKERS = 5
"""So many workers may be lost under one task before its records fail."""
_LOOK_TASKS = 16
"""After so many outcomes the workers are counted again."""
_RESTART_SECONDS = 30
"""So long may a worker that was lost take to come back before another one is started for it."""
_SETTINGS: Mapping[str, Any] = {
    "distributed.scheduler.allowed-failures": _LOST_WORKERS,
    "distributed.deploy.lost-worker-timeout": f"{_RESTART_SECONDS} s",
    "distributed.worker.memory.target": False,
    "distributed.worker.memory.spill": False,
    "distributed.worker.memory.pause": False,
    "distributed.worker.memory.terminate": False,
    **{f"distributed.nanny.pre-spawn-environ.{name}": value for name, value in KEEP_MEMORY.items()},
}
"""Of the workers started here; those of somebody's cluster have their own."""
_LOOK_SECONDS = 2
_KILL_ROUNDS, _ROUND_SECONDS = 8, 0.03


def default_jobs() -> int:
    """Return how many workers run when none is said: the processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def run(
    batches: Iterable[Iterable[Task]], jobs: int, scheduler: str | None, on_outcome: Callable[[Outcome], None]
) -> int:
    """Run every task, batch after batch, and hand each outcome to `on_outcome`, in this process, as it arrives.

    Args:
        batches: the tasks.
        jobs: how many processes to start here where there is no cluster.
        scheduler: the address of an existing cluster; None: there is none.
        on_outcome: what to do with an outcome.

    Returns:
        How many tasks ran at once, at most.

    Raises:
        UsageError: the scheduler cannot be reached, or none of its workers offers what a task needs.
    """
    for name in ("distributed", "distributed.nanny", "distributed.worker", "distributed.scheduler"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    with existing.connected(scheduler) if scheduler else _local_client(jobs) as client:
        return max(_run_batch(client, iter(batch), bool(scheduler), on_outcome) for batch in batches)


def _run_batch(client: Client, waiting: Iterator[Task], distant: bool, on_outcome: Callable[[Outcome], None]) -> int:
    from distributed import as_completed

    pending = as_completed(raise_errors=False)
    held: dict[Any, Task] = {}

    def submit(most: int) -> None:
        while len(held) < most and (task := next(waiting, None)):
            future = _submitted(client, task, distant)
            held[future.key] = replace(task, image=replace(task.image, data=None))
            pending.add(future)

    workers = max(1, existing.worker_count(client))
    submit(_AHEAD * workers)
    for number, future in enumerate(pending):
        task = held.pop(future.key)
        if number % _LOOK_TASKS == _LOOK_TASKS - 1:  # a cluster may grow
            workers = max(workers, existing.worker_count(client))
        submit(_AHEAD * workers)
        on_outcome(_outcome(future, task))
    return workers


def _submitted(client: Client, task: Task, distant: bool) -> Future[Outcome]:
    if not distant:
        return client.submit(run_task, task, pure=False)
    needs = existing.resources_for(task, client)
    return client.submit(
        existing.run_there, task, metrics_key(task.metric_names, task.metric_targets), pure=False, resources=needs
    )


def _outcome(future: Future[Outcome], task: Task) -> Outcome:
    from distributed import KilledWorker

    if future.status == "finished":
        outcome: Outcome = future.result()
        return outcome
    if future.cancelled():
        raise UsageError("the scheduler ended in the middle of the run. What is stored is kept: run the command again.")
    error = future.exception()
    lost = isinstance(error, KilledWorker)
    reason = "it ended several workers." if lost else f"the harness failed: {type(error).__name__}: {error}"
    return failed_outcome(task, reason)


@contextlib.contextmanager
def _local_client(jobs: int) -> Iterator[Client]:
    """Start workers on this machine."""
    import dask
    from distributed import Client, LocalCluster

    resource_tracker.ensure_running()  # it is no worker, and complains when it is killed as one
    before = {process.pid for process in psutil.Process().children()}
    scratch = tempfile.TemporaryDirectory(prefix="harness-run-", ignore_cleanup_errors=True)
    # What killed workers leave of their files goes with the folder; what codecs leave running is known by it.
    with (
        scratch as folder,
        _strays_end(folder),
        dask.config.set({**_SETTINGS, "temporary-directory": folder}),
        _deaf_loop() as loop,
    ):
        with _children_end_with_this(before):
            cluster = LocalCluster(
                n_workers=jobs,
                threads_per_worker=1,
                memory_limit=0,
                dashboard_address="127.0.0.1:0",  # None would ask for port 8787 and warn where that is taken
                silence_logs=logging.CRITICAL,
                loop=loop,
                env={"TMPDIR": folder},
            )
            client = Client(cluster)
        with cluster, client, _children_end_with_this(before), _at_strength(cluster, jobs):
            yield client


@contextlib.contextmanager
def _strays_end(folder: str) -> Iterator[None]:
    """Kill, when the workers are gone, however they went, what their codecs left running."""
    try:
        yield
    finally:
        kill_strays(folder)


@contextlib.contextmanager
def _deaf_loop() -> Iterator[IOLoop]:
    """Start dask's thread, and so all workers, deaf to Ctrl-C: a terminal sends it to them too; one process answers."""
    from distributed.utils import LoopRunner

    heard = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    runner = LoopRunner()
    try:
        runner.start()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, heard)
    try:
        yield runner.loop
    finally:
        runner.stop()


@contextlib.contextmanager
def _at_strength(cluster: LocalCluster, jobs: int) -> Iterator[None]:
    """Start workers anew that were lost for good: dask gives up one that dies, or is slow, while it starts."""
    over = threading.Event()

    def look() -> None:
        while not over.wait(_LOOK_SECONDS):
            cluster.scale(jobs)

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


@contextlib.contextmanager
def _children_end_with_this(before: set[int]) -> Iterator[None]:
    """On an interrupt kill the workers at once: what is stored is whole, and what they hold is done again."""
    from distributed.deploy.spec import close_clusters

    try:
        yield
    except BaseException:
        atexit.unregister(close_clusters)  # both would complain of a cluster that is half made or lost its workers
        logging.getLogger("asyncio").setLevel(logging.CRITICAL)
        for _ in range(_KILL_ROUNDS):  # dask starts lost workers anew, once
            for process in psutil.Process().children():
                if process.pid not in before:
                    kill_tree(process.pid)
            threading.Event().wait(_ROUND_SECONDS)
        raise


def stop_on_sigterm() -> None:
    """Make SIGTERM (as `docker stop` sends it) end a run as Ctrl-C does."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
