"""Limits of time, memory and disk for a process and every process that it starts; and how to kill them all."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from harness.config.schema import Limits

_TICK_SECONDS = 0.25


@dataclass
class Watch:
    """Watches the limits of one call: time, memory (of the child and every process that it started) and disk."""

    pid: int
    folder: Path
    limits: Limits
    reason: str = ""
    over: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        """Check every tick until the call is over; kill the child when it exceeds a limit."""
        deadline = time.monotonic() + self.limits.seconds
        while not self.over.wait(min(_TICK_SECONDS, max(0.0, deadline - time.monotonic()))):
            self.reason = self._excess(deadline)
            if self.reason:
                kill_tree(self.pid)
                return

    def _excess(self, deadline: float) -> str:
        if time.monotonic() >= deadline:
            return f"it took longer than its limit of {self.limits.seconds:g} s."
        if (used := _memory_bytes(self.pid)) > self.limits.memory_mb << 20:
            return f"it used {used >> 20} MB of memory; its limit is {self.limits.memory_mb} MB."
        if (used := _disk_bytes(self.folder)) > self.limits.disk_mb << 20:
            return f"it wrote {used >> 20} MB of files; its limit is {self.limits.disk_mb} MB."
        return ""


def _memory_bytes(pid: int) -> int:
    total = 0
    for process in _tree(pid):
        with contextlib.suppress(psutil.Error):
            total += process.memory_info().rss
    return total


def _disk_bytes(folder: Path) -> int:
    """Return the bytes of all files below a folder, however they come and go meanwhile."""
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):
                total += os.lstat(os.path.join(parent, name)).st_size  # noqa: PTH118 - there may be a million
    return total


def _tree(pid: int) -> list[psutil.Process]:
    try:
        process = psutil.Process(pid)
        return [process, *process.children(recursive=True)]
    except psutil.Error:
        return []


def kill_tree(pid: int) -> None:
    """Kill a process, every process that it started, and its process group."""
    for process in _tree(pid):
        with contextlib.suppress(psutil.Error):
            process.kill()
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


def kill_strays(folder: str) -> None:
    """Kill processes that children started and that left their trees and groups: their TMPDIR is in `folder`."""
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if Path(folder) in (where := Path(process.environ().get("TMPDIR", "")), *where.parents):
                process.kill()
