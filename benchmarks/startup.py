"""How long the commands that must be quick take from start to end: the fastest of several runs, in seconds.

python benchmarks/startup.py
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

REPEATS = 10
LIMIT_SECONDS = 0.5
HARNESS = str(Path(sys.executable).with_name("harness"))
COMMANDS: tuple[tuple[str, ...], ...] = (
    (sys.executable, "-c", "pass"),
    (sys.executable, "-c", "import harness"),
    (HARNESS, "--version"),
    (HARNESS, "--help"),
    (HARNESS, "bench", "--help"),
    (HARNESS, "codec", "list"),
    (HARNESS, "data", "list"),
)


def main() -> None:
    for command in COMMANDS:
        seconds = []
        for _ in range(REPEATS):
            start = time.perf_counter()
            subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
            seconds.append(time.perf_counter() - start)
        words = " ".join([Path(command[0]).name, *command[1:]])
        mark = "" if min(seconds) < LIMIT_SECONDS else f"  above {LIMIT_SECONDS} s"
        print(f"{min(seconds):6.3f}  {words}{mark}")


if __name__ == "__main__":
    main()
