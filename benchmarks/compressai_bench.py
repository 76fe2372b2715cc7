"""The same work by CompressAI's own bench tool and by `harness bench`, both timed whole: JPEG on Kodak images.

    python benchmarks/compressai_bench.py --limit 24 --jobs 2

Work: Pillow's JPEG 4:2:0 at qualities 5 to 95 by 5, PSNR and MS-SSIM, every image. Each tool is started as a user
starts it, so imports and workers are in its time; they take turns. CompressAI's starts as many torch threads a job as
there are processors, which then wait for each other: it is timed with one thread a job, too, as harness runs.
HARNESS_DATA names the folder that holds kodak/.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from statistics import mean

from tabulate import tabulate

from harness import read_records

QUALITIES = tuple(range(5, 100, 5))
SUITE = """
[suites.same-work]
description = "what CompressAI's bench computes"
data = "kodak"
metrics = ["psnr", "ms_ssim"]
"""
PEERS: Mapping[str, Mapping[str, str]] = {
    "python -m compressai.utils.bench": {},
    "the same, OMP_NUM_THREADS=1": {"OMP_NUM_THREADS": "1"},
}
"""CompressAI's tool as it is, and with one thread a job: name -> what is set in its environment."""
HARNESS = str(Path(sys.executable).with_name("harness"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--limit", type=int, default=24)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--turns", type=int, default=1)
    asked = parser.parse_args()
    seconds: dict[str, list[float]] = {tool: [] for tool in (*PEERS, "harness bench")}
    for _ in range(asked.turns):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            images = chosen(folder, asked.limit)
            for peer, variables in PEERS.items():
                theirs, took = compressai(images, asked.jobs, variables)
                seconds[peer].append(took)
            ours, took, shares = harness(folder, images, asked.jobs)
            seconds["harness bench"].append(took)
    first = mean(next(iter(seconds.values())))
    rows = [(tool, mean(times), first / mean(times)) for tool, times in seconds.items()]
    print(f"{asked.limit} images x {len(QUALITIES)} qualities, {asked.jobs} jobs, {asked.turns} turns")
    print(tabulate(rows, ["tool", "seconds", "times faster"], floatfmt=".1f", tablefmt="github"))
    print(f"largest difference of a mean PSNR: {max(abs(a - b) for a, b in zip(theirs, ours, strict=True)):.4f} dB")
    print(f"harness, shares of wall time x jobs: {shares}")


def chosen(folder: Path, limit: int) -> Path:
    """Copy the first Kodak images into a folder of their own."""
    (images := folder / "images").mkdir()
    for path in sorted((Path(os.environ["HARNESS_DATA"]) / "kodak").glob("*.png"))[:limit]:
        shutil.copy(path, images)
    return images


def compressai(images: Path, jobs: int, variables: Mapping[str, str]) -> tuple[list[float], float]:
    """Return mean PSNR in dB of each quality, and seconds."""
    words = ["-m", "compressai.utils.bench", "jpeg", str(images), "-j", str(jobs), "-q", ",".join(map(str, QUALITIES))]
    start = time.perf_counter()
    environment = {**os.environ, **variables}
    done = subprocess.run([sys.executable, *words], check=True, capture_output=True, text=True, env=environment)
    seconds = time.perf_counter() - start
    found = json.loads(done.stdout[done.stdout.index("{") :])["results"]
    return found.get("psnr-rgb") or found["psnr"], seconds


def harness(folder: Path, images: Path, jobs: int) -> tuple[list[float], float, dict[str, float]]:
    """Return mean PSNR in dB of each quality, seconds, and where the time of measuring went."""
    (folder / "suite.toml").write_text(SUITE)
    words = ["bench", "--suite", "same-work", "--protocol", "sweep", "--codecs", "jpeg-420-pillow"]
    places = ["--images", str(images), "--results", str(folder / "results"), "--jobs", str(jobs)]
    start = time.perf_counter()
    subprocess.run([HARNESS, "--config", str(folder / "suite.toml"), *words, *places], check=True, capture_output=True)
    seconds = time.perf_counter() - start
    run = next((folder / "results").glob("*/manifest.json")).parent
    by_quality = read_records(run).groupby("setting")["psnr"].mean()
    return (
        [by_quality[quality] for quality in QUALITIES],
        seconds,
        json.loads((run / "manifest.json").read_text())["shares"],
    )


if __name__ == "__main__":
    main()
