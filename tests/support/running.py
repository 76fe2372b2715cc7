"""Runs of `harness bench` under way, each in processes of its own: to be watched, stopped and killed."""

from __future__ import annotations

import sqlite3
import subprocess
import time
import uuid
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.support.command import PROGRAM, environment

PATIENCE_SECONDS = 300


@dataclass
class Running:
    """A run under way, as a terminal starts it: with a process group of its own."""

    process: subprocess.Popen[str]
    results: Path
    scratch: Path
    """Where its processes keep temporary files."""
    mark: str
    """In the environment of every process of the run."""

    def stored(self) -> int:
        """Return how many records the store holds."""
        return count_records(self.results)

    def wait_for_records(self, number: int) -> None:
        """Wait until so many records are stored, or the run is over."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while self.stored() < number and self.process.poll() is None:
            assert time.monotonic() < deadline, "the run stores nothing"
            time.sleep(0.02)

    def processes(self) -> list[psutil.Process]:
        """Return all processes of the run that live, wherever they stand in the tree."""
        return [process for process in psutil.process_iter() if _bears(process, self.mark)]

    def workers(self) -> list[psutil.Process]:
        """Return the processes that run tasks: those with a codec's child, or about to have one."""
        return [process for process in self.processes() if "spawn_main" in " ".join(_command(process))]

    def assert_nothing_is_left(self) -> None:
        """Wait a moment for killed processes to go; then there must be none."""
        deadline = time.monotonic() + 10
        while (left := self.processes()) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert left == []

    def kill(self) -> None:
        """Kill what is left of it."""
        for process in self.processes():
            process.kill()
        self.process.communicate()


def _bears(process: psutil.Process, mark: str) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE and process.environ().get("TEST_MARK") == mark
    except psutil.Error:
        return False


def _command(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def count_records(results: Path) -> int:
    """Return how many records a store holds; none where it is not there yet."""
    path = results / "store.sqlite"
    if not path.exists():
        return 0
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=20)) as database:
        try:
            return int(database.execute("SELECT count(*) FROM records").fetchone()[0])
        except sqlite3.OperationalError:
            return 0


def start_bench(results: Path, *arguments: str, config: Path) -> Running:
    """Start `harness bench` on the suite of `tiny_config`."""
    mark = uuid.uuid4().hex
    (scratch := results.with_name(f"{results.name}-scratch")).mkdir(exist_ok=True)
    process = subprocess.Popen(
        [PROGRAM, "--config", config, "bench", "--suite", "tiny", "--results", results, *arguments],
        env=environment(TEST_MARK=mark, TMPDIR=str(scratch)),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    return Running(process, results, scratch, mark)
