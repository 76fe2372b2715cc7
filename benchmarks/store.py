"""The store with many records: wall time, CPU time and memory of filling, planning, resuming and exporting.

    python benchmarks/store.py --records 1000000

Each step runs in a process of its own, so that its peak memory is its own. Records and plan are made up, of the sizes
of real ones: four ratios of each codec on each image.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from multiprocessing import get_context
from pathlib import Path

from tabulate import tabulate

from harness.config import schema
from harness.config.registry import CodecSpec
from harness.data.datasets import ImageSource
from harness.plan.plan import PlannedCodec, PlannedImage, digest
from harness.plan.planner import plan_of
from harness.plan.request import Request, ResolvedRequest, resolve
from harness.records.export import export
from harness.records.record import Encode, Record
from harness.records.store import Store
from harness.run.schedule import unfinished
from harness.sandbox.replies import Description

CODECS = 10
RATIOS = (4.0, 8.0, 12.0, 16.0)
METRICS = {"ssimulacra2": 71.234567, "encodes": 3, "budget_bytes": 98304, "next_setting": 72, "next_size_bytes": 98400}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=1_000_000)
    asked = parser.parse_args()
    images = asked.records // (CODECS * len(RATIOS))
    with tempfile.TemporaryDirectory() as folder:
        steps: dict[str, Callable[[Path, int], str]] = {
            "fill the store": fill,
            "plan": plan,
            "plan, then resume with one record missing": resume,
            "export to Parquet": to_parquet,
            "export to CSV": to_csv,
        }
        rows = []
        for name, step in steps.items():
            with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
                rows.append((name, *pool.submit(measured, step, Path(folder), images).result()))
    print(f"{images * CODECS * len(RATIOS)} records")
    print(tabulate(rows, ["step", "wall s", "CPU s", "peak MB", "what came of it"], floatfmt=".1f", tablefmt="github"))


@dataclass(frozen=True)
class Clock:
    """When something began, by two clocks."""

    wall: float = field(default_factory=time.perf_counter)
    cpu: float = field(default_factory=time.process_time)

    def passed(self) -> tuple[float, float]:
        """Return seconds of wall time and of CPU time since then."""
        return time.perf_counter() - self.wall, time.process_time() - self.cpu


def measured(step: Callable[[Path, int], str], folder: Path, images: int) -> tuple[float, float, float, str]:
    """Return wall time and CPU time in seconds and peak memory in MB of a step, and what it says."""
    clock = Clock()
    said = step(folder, images)
    return *clock.passed(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, said


def request(folder: Path) -> ResolvedRequest:
    return resolve(Request(schema.load(), ratios=RATIOS, results=folder, device="cpu"))


def made_plan(folder: Path, count: int):  # noqa: ANN201 - a Plan
    """Return the plan of so many made-up images."""
    about = Description(
        formats=("rgb8",),
        ladder=tuple(range(1, 101)),
        lossless=False,
        budget=False,
        learned=False,
        threaded=False,
        missing=None,
        provenance={"library": "1.0"},
    )
    codecs = tuple(
        PlannedCodec(CodecSpec(f"codec-{n}", f"module:{n}"), about, digest(f"codec {n}")) for n in range(CODECS)
    )
    images = tuple(
        PlannedImage(
            ImageSource(f"{n:06}.png", folder / f"{n:06}.png"), digest(f"{n}") * 2, 512, 768, 3, 8, "rgb8", (), 0.0
        )
        for n in range(count)
    )
    return plan_of(request(folder), images, codecs)


def plan(folder: Path, images: int) -> str:
    made = made_plan(folder, images)
    return f"{len(made.tasks)} tasks, {len(made.fingerprints)} records"


def resume(folder: Path, images: int) -> str:
    made = made_plan(folder, images)
    clock = Clock()
    with Store(folder / "store.sqlite") as store:
        left = list(unfinished(made, store))
    wall, cpu = clock.passed()
    return f"{len(left)} task left; the plan apart: {wall:.1f} s, {cpu:.1f} s of CPU"


def fill(folder: Path, images: int) -> str:
    made = made_plan(folder, images)
    last = made.tasks[-1].targets[-1].fingerprint
    with Store(folder / "store.sqlite") as store:
        for task in made.tasks:
            kept = [record(task.image.name, task.codec.id, one) for one in task.targets if one.fingerprint != last]
            encodes = [Encode(float(n), 98000 + n, "ab" * 32, "cd" * 32, "{}", METRICS) for n in range(6)]
            store.save(task.pixels, task.codec_key, kept, encodes)
    size = (folder / "store.sqlite").stat().st_size
    return f"{size / 1e9:.2f} GB, {len(made.tasks)} transactions of 4 records and 6 encodes"


def record(image: str, codec: str, target) -> Record:  # noqa: ANN001 - a Target
    blank = Record(target.fingerprint, image, codec, "ratio", target.target_ratio, "reached", extra=METRICS)
    sizes = {"size_bytes": 98000, "raw_bytes": 1179648, "ratio": 12.037, "bpp": 1.99}
    scores = {"psnr": 36.512345, "psnr_y": 37.2512, "ssim": 0.951234, "ms_ssim": 0.98712, "psnr_at_budget": 36.52}
    return replace(blank, setting=71.0, **sizes, **scores, file_sha256="1e" * 32, pixels_sha256="12" * 32)


def to_parquet(folder: Path, images: int) -> str:
    return f"{export(folder, folder / 'records.parquet')} rows"


def to_csv(folder: Path, images: int) -> str:
    return f"{export(folder, folder / 'records.csv')} rows"


if __name__ == "__main__":
    main()
