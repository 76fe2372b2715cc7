"""How a run scales with workers, and what a million images would take.

    python benchmarks/scaling.py --images photos --limit 8

The same images are measured by one worker and by two, in turns, each time from an empty store; only the measuring
counts, not the start. The codecs sleep instead of computing where --sleep is given: then a machine that is busy with
other things does not slow two workers more than one, and what is left is harness's own work.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from statistics import median

from tabulate import tabulate

from harness.config import schema
from harness.plan.planner import make_plan
from harness.plan.request import Request, resolve
from harness.plan.targets import RatioTarget, placeholder_record
from harness.plan.tasks import Task
from harness.records.record import Encode
from harness.records.store import Store
from harness.run import engine
from harness.run.assignment import Assignment

SLEEPER = """
import time
from harness.codecs.raw import Raw

class Sleeper(Raw):
    name = "sleeper"

    def encode(self, image, setting):
        time.sleep({seconds})
        return super().encode(image, setting)
"""
SUITE = """
[suites.scaling]
description = "PSNR alone"
data = "demo"
metrics = ["psnr"]
"""
MILLION = 1_000_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--limit", type=int, default=8)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--copies", type=int, default=4, help="So often is each task done.")
    parser.add_argument("--sleep", type=float, default=0.0, help="Seconds; 0: JPEG and WebP compute.")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        tasks = planned(Path(folder), asked.images, asked.limit, asked.sleep) * asked.copies
        seconds: dict[int, list[float]] = {1: [], 2: []}
        for _ in range(asked.turns):
            for jobs, found in seconds.items():
                found.append(measured(tasks, jobs))
    one, two = (median(found) for found in seconds.values())
    print(
        f"{len(tasks)} tasks; 1 worker {one:.2f} s, 2 workers {two:.2f} s: {one / two:.2f} times, "
        f"{one / two / 2:.2f} of ideal"
    )
    a_million(one / len(tasks))


def planned(folder: Path, images: Path, limit: int, sleep: float) -> list[Task]:
    """Return the tasks of two codecs on some images, or of one that sleeps."""
    (folder / "suite.toml").write_text(SUITE)
    (folder / "sleeper.py").write_text(SLEEPER.replace("{seconds}", str(sleep)))
    loaded = schema.load(folder / "suite.toml", [folder / "sleeper.py"] if sleep else [])
    codecs = ("sleeper",) if sleep else ("jpeg-444", "webp")
    request = Request(loaded, "scaling", codecs=codecs, images=images, limit=limit, device="cpu")
    return list(make_plan(resolve(request)).tasks)


def measured(tasks: list[Task], jobs: int) -> float:
    """Return the seconds from the first outcome to the last, scaled to all tasks: imports are over by then."""
    times: list[float] = []
    engine.run([map(Assignment, tasks)], jobs, None, lambda outcome: times.append(time.perf_counter()))
    first = 2 * jobs  # each worker has started its codecs' processes
    return (times[-1] - times[first - 1]) * len(tasks) / (len(tasks) - first)


def a_million(task_seconds: float) -> None:
    """Print what a million images with one codec and four ratios take, by the measured rates, and what bounds it."""
    store, scheduler = store_rate(), scheduler_rate()
    least = min(store, scheduler)
    rates = {n: min(n / task_seconds, least) for n in (1, 16, 128, 1024)}
    rows = [
        ("the store, one process", store, MILLION / store / 3600),
        ("the scheduler, one process", scheduler, MILLION / scheduler / 3600),
        *((f"{n} worker{'s' * (n > 1)}", rate, MILLION / rate / 3600) for n, rate in rates.items()),
    ]
    print(tabulate(rows, ["part", "tasks a second", "hours for a million"], floatfmt=".1f", tablefmt="github"))
    name = "store" if store < scheduler else "scheduler"
    print(f"the {name} is the bottleneck from {least * task_seconds:.0f} workers on")


def outcomes(count: int) -> Iterator[tuple[str, list, list]]:
    """Yield the records of four ratios and the files of six encodes, as a task has them."""
    for number in range(count):
        targets = [RatioTarget(float(ratio), f"{number:08}-{ratio}") for ratio in (4, 8, 12, 16)]
        blanks = [placeholder_record(target, "a.png", "webp", "reached", "") for target in targets]
        records = [replace(blank, size_bytes=98000, psnr=36.5) for blank in blanks]
        yield f"{number:064}", records, [Encode(float(n), 98000 + n, "ab" * 32) for n in range(6)]


def store_rate(count: int = 5000) -> float:
    """Return how many tasks a second the store keeps."""
    with tempfile.TemporaryDirectory() as folder, Store(Path(folder) / "store.sqlite") as store:
        start = time.perf_counter()
        for pixels, records, encodes in outcomes(count):
            store.save(pixels, "codec", records, encodes)
        return count / (time.perf_counter() - start)


def scheduler_rate(count: int = 2000) -> float:
    """Return how many tasks a second the scheduler hands out, on workers in its own process that do nothing."""
    from distributed import Client, LocalCluster, as_completed

    with (
        LocalCluster(2, processes=False, threads_per_worker=1, dashboard_address=None) as cluster,
        Client(cluster) as client,
    ):
        start = time.perf_counter()
        for _ in as_completed(client.submit(len, (number,), pure=False) for number in range(count)):
            pass
        return count / (time.perf_counter() - start)


if __name__ == "__main__":
    main()
