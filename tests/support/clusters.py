"""A dask cluster as a user starts it: `dask scheduler` and `dask worker`, each a process of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from tests.support.command import environment

DASK = str(Path(sys.executable).with_name("dask"))
PATIENCE_SECONDS = 120


@dataclass
class Cluster:
    """Processes that were started; `end` leaves none of them."""

    folder: Path
    """Where the processes work: no path relative to it names an image."""
    started: list[subprocess.Popen[bytes]] = field(default_factory=list)
    address: str = ""

    def start_scheduler(self) -> None:
        """Start a scheduler and wait for its address."""
        file = self.folder / "scheduler.json"
        self._start("scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--scheduler-file", str(file))
        _wait_for(file.is_file)
        text = file.read_text()
        while '"address"' not in text:
            time.sleep(0.05)
            text = file.read_text()
        self.address = text.partition('"address": "')[2].partition('"')[0]

    def start_worker(self, *options: str) -> subprocess.Popen[bytes]:
        """Start a worker of one thread, and no nanny that would start it anew."""
        return self._start("worker", self.address, "--nthreads", "1", "--no-nanny", "--no-dashboard", *options)

    def _start(self, *words: str) -> subprocess.Popen[bytes]:
        log = (self.folder / f"{words[0]}-{len(self.started)}.log").open("wb")
        with log:
            process = subprocess.Popen(
                [DASK, *words],
                cwd=self.folder,
                env=environment(TMPDIR=str(self.folder)),
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.started.append(process)
        return process

    def end(self) -> None:
        """Kill every process, and whatever those started."""
        for process in self.started:
            below = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
            for child in below:
                child.kill()
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _wait_for(condition: object) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline, "the scheduler does not start"
        time.sleep(0.05)
