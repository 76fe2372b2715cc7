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
from collections.abc import Callable, Iterable, Iterator
from multiprocessing import resource_tracker
from typing import TYPE_CHECKING, Any

import psutil

from harness.errors import UsageError
from harness.measure import run_task
from harness.tasks import Outcome, Task, blank_record
from harness.watch import kill_tree

if TYPE_CHECKING:
    from distributed import Client, Future, LocalCluster
    from tornado.ioloop import IOLoop

_AHEAD = 3
"""How many tasks a worker has at hand or waiting."""
_LOST_WORKERS = 5
"""So many workers may be lost under one task before its records fail."""
_CONNECT_SECONDS = 10
_RESTART_SECONDS = 30
"""So long may a worker that was lost take to come back before another one is started for it."""
_LOOK_SECONDS = 2
_KILL_ROUNDS, _ROUND_SECONDS = 8, 0.03


def default_jobs() -> int:
    """Return how many workers run when none is said: the processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def run(
    batches: Iterable[Iterable[Task]], jobs: int, scheduler: str | None, on_outcome: Callable[[Outcome], None]
) -> None:
    """Run every task, batch after batch, and hand each outcome to `on_outcome`, in this process, as it arrives.

    Raises:
        UsageError: the scheduler cannot be reached.
    """
    with _client(jobs, scheduler) as client:
        for batch in batches:
            _run_batch(client, iter(batch), on_outcome)


def _run_batch(client: Client, waiting: Iterator[Task], on_outcome: Callable[[Outcome], None]) -> None:
    from distributed import as_completed

    pending = as_completed(raise_errors=False)
    held: dict[Any, Task] = {}

    def submit() -> None:
        task = next(waiting, None)
        if task is not None:
            future = client.submit(run_task, task, pure=False)
            held[future.key] = task
            pending.add(future)

    workers = max(1, len(client.scheduler_info(n_workers=-1)["workers"]))
    for _ in range(_AHEAD * workers):
        submit()
    for future in pending:
        submit()
        on_outcome(_outcome(future, held.pop(future.key)))


def _outcome(future: Future[Outcome], task: Task) -> Outcome:
    from distributed import KilledWorker

    if future.status == "finished":
        outcome: Outcome = future.result()
        return outcome
    error = future.exception()
    lost = isinstance(error, KilledWorker)
    reason = f"it ended {_LOST_WORKERS} workers." if lost else f"the harness failed: {type(error).__name__}: {error}"
    records = tuple(blank_record(goal, task.image.name, task.codec.id, "failed", reason) for goal in task.goals)
    return Outcome(task, records)


@contextlib.contextmanager
def _client(jobs: int, scheduler: str | None) -> Iterator[Client]:
    import dask
    from distributed import Client

    for name in ("distributed", "distributed.nanny", "distributed.worker", "distributed.scheduler"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    settings: dict[str, Any] = {
        "distributed.scheduler.allowed-failures": _LOST_WORKERS,
        "distributed.deploy.lost-worker-timeout": f"{_RESTART_SECONDS} s",
        "distributed.worker.memory.target": False,
        "distributed.worker.memory.spill": False,
        "distributed.worker.memory.pause": False,
        "distributed.worker.memory.terminate": False,
    }
    with dask.config.set(settings):
        if scheduler:
            try:
                distant = Client(scheduler, timeout=_CONNECT_SECONDS)
            except (OSError, ValueError) as error:
                raise UsageError(f"the scheduler {scheduler} cannot be used: {error}") from error
            with distant:
                yield distant
            return
        with _local_client(jobs) as client:
            yield client


@contextlib.contextmanager
def _local_client(jobs: int) -> Iterator[Client]:
    """Start workers on this machine."""
    import dask
    from distributed import Client, LocalCluster

    resource_tracker.ensure_running()  # it is no worker, and complains when it is killed as one
    before = {process.pid for process in psutil.Process().children()}
    scratch = tempfile.TemporaryDirectory(prefix="harness-run-", ignore_cleanup_errors=True)
    # What killed workers leave of their files goes with the folder.
    with scratch as folder, dask.config.set({"temporary-directory": folder}), _deaf_loop() as loop:
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
