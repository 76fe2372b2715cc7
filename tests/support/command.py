"""Run the command line as a user does: in a process of its own, or, where only its words matter, in this one."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from unittest import mock

from harness.cli import main

PROGRAM = str(Path(sys.executable).with_name("harness"))


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    status: int
    out: str
    err: str


def environment(**changes: str) -> Mapping[str, str]:
    """Return this process's environment without what would change harness's answers, but for `changes`."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HARNESS_")}
    return {**kept, "OMP_NUM_THREADS": "1", **changes}


def run(*arguments: str | Path, cwd: Path | None = None, timeout: float = 240, **variables: str) -> Ended:
    """Run harness in a process of its own."""
    done = subprocess.run(
        [PROGRAM, *map(str, arguments)],
        cwd=cwd,
        env=environment(**variables),
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    return Ended(done.returncode, done.stdout, done.stderr)


def call(*arguments: str | Path) -> Ended:
    """Run harness in this process: for commands that start no workers."""
    out, err = StringIO(), StringIO()
    status: object = 0
    with mock.patch.object(sys, "argv", [PROGRAM, *map(str, arguments)]), redirect_stdout(out), redirect_stderr(err):
        try:
            main()
        except SystemExit as ending:
            status = ending.code
    return Ended(status if isinstance(status, int) else int(status is not None), out.getvalue(), err.getvalue())


def complaint(ended: Ended, status: int = 2) -> str:
    """Return the one line with which a command refused; fail unless it is one line, without a traceback."""
    assert "Traceback" not in ended.err, ended.err
    assert ended.status == status, (ended.status, ended.err)
    lines = ended.err.splitlines()
    assert len(lines) == 1, ended.err
    assert lines[0].startswith("harness: ")
    return lines[0]
