"""Run tasks on a dask cluster: one of this machine's processes by default, or one that exists already.

Each worker is a process with one thread. Tasks are handed out in the order given, a few ahead of the workers, so that
memory stays bounded however long the list is. The task of a worker that is lost goes to another worker.
"""

from __future__ import annotations

import atexit
import contextlib
import logging
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from multiprocessing import resource_tracker
from typing import TYPE_CHECKING, Any

import psutil

from harness.errors import UsageError
from harness.plan.fingerprints import metrics_key
from harness.plan.tasks import Task
from harness.run import cluster as existing
from harness.run.assignment import Assignment, Outcome, failed_outcome
from harness.run.measure import run_task
from harness.sandbox.limits import kill_strays, kill_tree
from harness.system.memory import KEEP_MEMORY

if TYPE_CHECKING:
    from distributed import Client, Future, LocalCluster
    from tornado.ioloop import IOLoop

_AHEAD = 3
"""How many tasks per worker are handed out: the one that it runs, and those that wait for it."""
_LOST_WORKERS = 5
"""How many workers may be lost with one task before its records fail."""
_COUNT_AFTER = 16
"""After this many outcomes the workers are counted again."""
_RESTART_SECONDS = 30
"""How long a lost worker may take to come back before another one is started for it."""
_SETTINGS: Mapping[str, Any] = {
    "distributed.scheduler.allowed-failures": _LOST_WORKERS,
    "distributed.deploy.lost-worker-timeout": f"{_RESTART_SECONDS} s",
    "distributed.worker.memory.target": False,
    "distributed.worker.memory.spill": False,
    "distributed.worker.memory.pause": False,
    "distributed.worker.memory.terminate": False,
    **{f"distributed.nanny.pre-spawn-environ.{name}": value for name, value in KEEP_MEMORY.items()},
}
"""Settings of the workers that are started here; those of an existing cluster have their own."""
_REPLACE_SECONDS = 2
"""How often lost workers are replaced."""
_KILL_ROUNDS, _ROUND_SECONDS = 8, 0.03


def run(
    batches: Iterable[Iterable[Assignment]], jobs: int, scheduler: str | None, on_outcome: Callable[[Outcome], None]
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


def _run_batch(
    client: Client, waiting: Iterator[Assignment], distant: bool, on_outcome: Callable[[Outcome], None]
) -> int:
    from distributed import as_completed

    pending = as_completed(raise_errors=False)
    held: dict[Any, Task] = {}

    def submit(most: int) -> None:
        while len(held) < most and (assignment := next(waiting, None)):
            future = _submitted(client, assignment, distant)
            held[future.key] = assignment.task
            pending.add(future)

    workers = max(1, existing.worker_count(client))
    submit(_AHEAD * workers)
    for number, future in enumerate(pending):
        task = held.pop(future.key)
        if number % _COUNT_AFTER == _COUNT_AFTER - 1:  # a cluster may grow
            workers = max(workers, existing.worker_count(client))
        submit(_AHEAD * workers)
        on_outcome(_outcome(future, task))
    return workers


def _submitted(client: Client, assignment: Assignment, distant: bool) -> Future[Outcome]:
    if not distant:
        return client.submit(run_task, assignment, pure=False)
    task = assignment.task
    key = metrics_key(task.metric_names, task.plugin_metrics)
    needs = existing.resources_for(task, client)
    return client.submit(existing.run_there, assignment, key, pure=False, resources=needs)


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
    # Files that killed workers leave are deleted with the folder; processes that codecs leave are found by it.
    with (
        scratch as folder,
        _strays_killed(folder),
        dask.config.set({**_SETTINGS, "temporary-directory": folder}),
        _loop_ignoring_interrupts() as loop,
    ):
        with _workers_killed_on_interrupt(before):
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
        with cluster, client, _workers_killed_on_interrupt(before), _lost_workers_replaced(cluster, jobs):
            yield client


@contextlib.contextmanager
def _strays_killed(folder: str) -> Iterator[None]:
    """When the workers have ended, for whatever reason, kill the processes that their codecs left running."""
    try:
        yield
    finally:
        kill_strays(folder)


@contextlib.contextmanager
def _loop_ignoring_interrupts() -> Iterator[IOLoop]:
    """Start dask's thread, and with it all workers, so that they ignore Ctrl-C.

    A terminal sends it to them too, and only the main process shall answer it.
    """
    from distributed.utils import LoopRunner

    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    runner = LoopRunner()
    try:
        runner.start()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    try:
        yield runner.loop
    finally:
        runner.stop()


@contextlib.contextmanager
def _lost_workers_replaced(cluster: LocalCluster, jobs: int) -> Iterator[None]:
    """Replace workers that are lost for good: dask gives up on one that dies, or is slow, while it starts."""
    over = threading.Event()

    def replace_lost() -> None:
        while not over.wait(_REPLACE_SECONDS):
            cluster.scale(jobs)

    thread = threading.Thread(target=replace_lost, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


@contextlib.contextmanager
def _workers_killed_on_interrupt(before: set[int]) -> Iterator[None]:
    """Kill the workers at once on an interrupt: the store is complete, and the tasks that they hold are done again.

    Args:
        before: the child processes that are no workers.
    """
    from distributed.deploy.spec import close_clusters

    try:
        yield
    except BaseException:
        atexit.unregister(close_clusters)  # it and asyncio would complain about a cluster without workers
        logging.getLogger("asyncio").setLevel(logging.CRITICAL)
        for _ in range(_KILL_ROUNDS):  # dask restarts each lost worker once
            for process in psutil.Process().children():
                if process.pid not in before:
                    kill_tree(process.pid)
            time.sleep(_ROUND_SECONDS)
        raise


def stop_on_sigterm() -> None:
    """Make SIGTERM (as `docker stop` sends it) end a run as Ctrl-C does."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
