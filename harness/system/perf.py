"""Count the instructions of a call with `perf stat`: the count is the same on an idle and on a busy machine."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
from collections.abc import Callable
from functools import cache

INSTRUCTIONS = "instructions:u"
"""The event: instructions in user mode, of the process and every process that it starts."""
_PATIENCE_SECONDS = 10


@cache
def can_count(event: str = INSTRUCTIONS) -> bool:
    """Return whether perf is installed and this machine counts an event; virtual machines often do not."""
    if shutil.which("perf") is None:
        return False
    done = subprocess.run(["perf", "stat", "-x,", "-e", event, "true"], capture_output=True, text=True, check=False)
    return _counted(done.stderr, event) is not None


def count(pid: int, call: Callable[[], object], event: str = INSTRUCTIONS) -> float | None:
    """Call, and return how often an event happened in a process during the call; None where perf did not count it.

    An error that `call` raises passes through.
    """
    orders, order = os.pipe()
    answer, answers = os.pipe()
    words = ["perf", "stat", "-x,", "-e", event, "-p", str(pid), "-D", "-1", "--control", f"fd:{orders},{answers}"]
    with contextlib.ExitStack() as files:
        for descriptor in (order, answer):
            files.callback(os.close, descriptor)
        perf = subprocess.Popen(
            words, pass_fds=(orders, answers), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )
        os.close(orders)
        os.close(answers)
        try:
            started = _tell(order, answer, b"enable\n")
            call()
            if started:
                _tell(order, answer, b"disable\n")
        finally:
            said = _ended(perf)
    return _counted(said, event)


def _ended(perf: subprocess.Popen[str]) -> str:
    """End perf and return its output; nothing where it does not end in time."""
    perf.send_signal(signal.SIGINT)
    try:
        return perf.communicate(timeout=_PATIENCE_SECONDS)[1]
    except subprocess.TimeoutExpired:
        perf.kill()
        perf.communicate()
        return ""


def _tell(order: int, answer: int, words: bytes) -> bool:
    """Send an order to perf and wait until it answers; return False when perf has ended."""
    with contextlib.suppress(BrokenPipeError):
        os.write(order, words)
        return bool(os.read(answer, 16))
    return False


def _counted(said: str, event: str) -> float | None:
    """Return the count in a line of `perf stat -x,`: "12345,,instructions:u,..."; None where there is no count."""
    for line in said.splitlines():
        value, _, rest = line.partition(",")
        if f",{event}," in f",{rest}":
            with contextlib.suppress(ValueError):
                return float(value)
    return None
