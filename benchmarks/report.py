"""Time and memory of a report: `python benchmarks/report.py [--big 1000000]`.

The records are those of results/reference-kodak, repeated under other names with a little noise on every metric until
there are enough: real in their columns and statuses, made up in their number. Each case runs in a process of its own,
whose peak memory is told:

- small: `harness report` of 24 images x 20 codecs x 4 ratios, with the pictures of two images in the viewer;
- big: what `harness bench` does at its end with a store of so many records: read them, write records.csv and report.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import resource
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image, ImageFilter
from skimage import data
from tabulate import tabulate

from harness.records import artifacts, manifest
from harness.records.record import CSV_COLUMNS, Record, read_frame, to_frame
from harness.records.store import STORE_NAME, Store
from harness.report import rebuild
from harness.run import bench

REFERENCE = Path(__file__).parents[1] / "results" / "reference-kodak"
CODECS, RATIOS, IMAGES = 20, 4, 24
NOISY = ("psnr", "psnr_y", "psnr_at_budget", "ssimulacra2")
"""Metrics that get noise of 0.01, so that no two images are alike."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--big", type=int, default=1_000_000, help="Records of the large store; 0 leaves it out.")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="harness-report-") as folder:
        small, big = Path(folder) / "small", Path(folder) / "big"
        prepare_run(small)
        rows = [(f"{IMAGES} images x {CODECS} codecs x {RATIOS} ratios, with viewer", *measured(make_report, small))]
        if options.big:
            prepare_store(big, options.big)
            rows.append((f"a store of {options.big} records", *measured(finish_run, big)))
    print(tabulate(rows, ["report from", "wall s", "CPU s", "peak MB"], floatfmt=".1f", tablefmt="github"))


def measured(work: Callable[[Path], object], folder: Path) -> tuple[float, float, float]:
    """Run in a new process; return wall time and CPU time in seconds and the peak of its memory in MB."""
    context = multiprocessing.get_context("spawn")
    receive, send = context.Pipe(duplex=False)
    process = context.Process(target=_measure, args=(work, folder, send))
    process.start()
    send.close()
    found: tuple[float, float, float] = receive.recv()
    process.join()
    return found


def _measure(work: Callable[[Path], object], folder: Path, send: Any) -> None:
    wall, cpu = time.perf_counter(), time.process_time()
    work(folder)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    send.send((time.perf_counter() - wall, time.process_time() - cpu, peak))


def make_report(run: Path) -> None:
    rebuild.report([run])


def finish_run(results: Path) -> None:
    """Do what the bench does once all is measured."""
    about = manifest.read(results / "manifest.json")
    keys = (results / "keys.txt").read_text(encoding="utf-8").split()
    with Store(results / STORE_NAME) as store:
        frame = to_frame(store.records(keys))
    (results / "run").mkdir()
    bench.write_run(results / "run", frame, about)


def scaled(images: int) -> pd.DataFrame:
    """Return the reference's records of the ratio protocol, of so many images and `CODECS` codecs."""
    frame = read_frame(REFERENCE)
    frame = frame[frame["protocol"] == "ratio"]
    names = list(frame["codec"].unique())
    more = [frame[frame["codec"] == name].assign(codec=f"{name}-b") for name in names[: CODECS - len(names)]]
    frame = pd.concat([frame, *more], ignore_index=True)
    copies = -(-images // frame["image"].nunique())
    noise = np.random.default_rng(0)
    parts = []
    for copy in range(copies):
        part = frame.assign(image=frame["image"].str.replace(".png", f"-{copy:04}.png", regex=False))
        for name in NOISY:
            part[name] += noise.normal(0, 0.01, len(part))
        parts.append(part)
    found = pd.concat(parts, ignore_index=True)
    return found[found["image"].isin(sorted(found["image"].unique())[:images])]


def about(frame: pd.DataFrame) -> dict[str, Any]:
    """Return the reference's manifest with the images of a table."""
    known = manifest.read(REFERENCE / "manifest.json")
    example = known["images"][0]
    images = [{**example, "name": name, "sha256": f"{at:064x}"} for at, name in enumerate(frame["image"].unique())]
    return {**known, "images": images, "state": "done"}


def prepare_run(run: Path) -> None:
    """Write the folder of a run, with pictures of its first two images."""
    frame = scaled(IMAGES)
    described = about(frame)
    run.mkdir(parents=True)
    (run / artifacts.PICTURES_FOLDER).mkdir()
    picture = Image.fromarray(data.astronaut()).resize((768, 512))
    for image in described["images"][: artifacts.PICTURED]:
        picture.save(run / artifacts.PICTURES_FOLDER / f"{image['sha256']}.png", compress_level=1)
        for at, row in frame[frame["image"] == image["name"]].iterrows():
            digest = f"{image['sha256'][-2:]}{at:062x}"
            frame.loc[at, "pixels_sha256"] = digest
            blurred = picture.filter(ImageFilter.GaussianBlur(row["target_ratio"] / 16))
            blurred.save(run / artifacts.PICTURES_FOLDER / f"{digest}.png", compress_level=1)
    frame.to_csv(run / "records.csv", index=False)
    manifest.write(run / "manifest.json", described)


def prepare_store(results: Path, count: int) -> None:
    """Fill a store with so many records."""
    frame = scaled(-(-count // (CODECS * RATIOS))).iloc[:count]
    with Store(results / STORE_NAME) as store:
        store.save("", "", list(records_of(frame)), ())
    (results / "keys.txt").write_text("\n".join(f"{at:032x}" for at in range(len(frame))), encoding="utf-8")
    manifest.write(results / "manifest.json", about(frame))


def records_of(frame: pd.DataFrame) -> Iterator[Record]:
    """Yield a table's rows as records."""
    more = [name for name in frame.columns if name not in CSV_COLUMNS]
    columns = [[None if value != value else value for value in frame[name].tolist()] for name in frame.columns]  # noqa: PLR0124 - NaN
    for at, values in enumerate(zip(*columns, strict=True)):
        row = dict(zip(frame.columns, values, strict=True))
        extra = json.loads(json.dumps({name: row.pop(name) for name in more}))
        yield Record(f"{at:032x}", **{**row, "reason": row["reason"] or ""}, extra=extra)


if __name__ == "__main__":
    main()
