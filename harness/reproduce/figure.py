"""Measure published figures again, draw them over the published curves, and judge each point.

`reproduce` runs the bench, and writes NAME.pdf, .svg and .png, NAME.csv (every drawn point) and verdict.md and .csv
into the folder `figure` of the run.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from harness.config.schema import Config, SuiteConfig
from harness.data import datasets
from harness.data.datasets import ImageSource
from harness.data.images import TestImage, read_image, to_file
from harness.errors import DataError
from harness.interface import LUMA, Image
from harness.plan.plan import digest
from harness.plan.request import Request
from harness.reproduce.published import read_curve
from harness.reproduce.spec import FigureRecipe, recipe
from harness.run.bench import Run, bench
from harness.system.files import write_text
from harness.system.hashing import file_sha256

if TYPE_CHECKING:
    import pandas as pd

    from harness.reproduce.points import Read

FOLDER = "figure"
"""The folder of the figure, in the folder of its run."""
MEASURED_METRICS = ("psnr", "ms_ssim")
"""The metrics of every figure, so that figures of the same codecs share their records."""


@dataclass(frozen=True)
class Measured:
    """The measured points of a figure, compared with the published ones."""

    run: Run
    table: pd.DataFrame
    """Every point of the figure, columns as `harness.reproduce.points.COLUMNS`."""
    verdicts: pd.DataFrame
    """Every published point, columns as `harness.reproduce.judge.COLUMNS`."""


@dataclass(frozen=True)
class Reproduced:
    """A finished figure."""

    folder: Path
    measured: Measured


def reproduce(name: str, request: Request, data: str = "") -> Reproduced:
    """Measure a figure's points, except those in the store, and write the figure and its verdicts.

    Args:
        name: the figure.
        request: its config, images, limit, jobs, scheduler, device and results are used.
        data: another data set than the recipe's.

    Raises:
        UnknownNameError: there is no such figure or data set.
        DataError: no published curve is here, or the images are not.
    """
    from harness.reproduce.plot import draw

    chosen = _on_what_is_asked(recipe(request.config, name), request, data)
    found = measure(name, chosen, request)
    records = found.run.records
    folder = found.run.folder / FOLDER
    folder.mkdir(exist_ok=True)
    draw(folder, name, chosen, found.table, set(records.loc[records["protocol"] == "control", "codec"]))
    found.table.to_csv(folder / f"{name}.csv", index=False)
    found.verdicts.to_csv(folder / "verdict.csv", index=False)
    write_text(folder / "verdict.md", _verdict_text(name, chosen, found.verdicts))
    return Reproduced(folder, found)


def _on_what_is_asked(chosen: FigureRecipe, request: Request, data: str) -> FigureRecipe:
    """Return a recipe for the images that were asked for; other images cannot be compared with published points."""
    other = str(request.images) if request.images else data
    if not other or other == chosen.data:
        return chosen
    changes = {
        "data": data or chosen.data,
        "description": f"{chosen.description} (here on other images: {other})",
        "other_data": chosen.other_data or f"other images: the published ones are of {chosen.data}",
    }
    return chosen.model_copy(update=changes)


def measure(name: str, chosen: FigureRecipe, request: Request) -> Measured:
    """Run the bench of a recipe, and compare its results with the published ones.

    Raises:
        DataError: no published curve is here, or the images are not.
    """
    from harness.analysis.run import prepare
    from harness.reproduce.judge import verdict_table
    from harness.reproduce.points import figure_table

    reads = _read(request.config, chosen)
    done = bench(_request(name, chosen, request))
    run = prepare(done.records, done.manifest)
    table = figure_table(chosen, run, reads)
    return Measured(done, table, verdict_table(chosen, run, table, reads))


def _read(config: Config, chosen: FigureRecipe) -> list[Read]:
    """Return every curve of a recipe, or the reason why it is not here.

    Raises:
        DataError: no curve is here.
    """
    from harness.reproduce.points import Read

    reads: list[Read] = []
    for curve in chosen.curves:
        try:
            reads.append(Read(curve, read_curve(config, curve, chosen.metrics[0])))
        except DataError as error:
            reads.append(Read(curve, None, str(error)))
    if reads and all(read.curve is None for read in reads):
        raise DataError(reads[0].reason)
    return reads


def _request(name: str, chosen: FigureRecipe, request: Request) -> Request:
    """Return the request of a recipe's bench: with a suite of its own, and without training."""
    extra = [metric for metric in chosen.metrics if metric not in MEASURED_METRICS]
    suite = SuiteConfig(
        description=chosen.description,
        data=chosen.data,
        codecs=chosen.codecs,
        ratios=chosen.ratios,
        protocol=chosen.protocol,
        metrics=(*MEASURED_METRICS, *extra),
        anchor=chosen.anchor,
    )
    config = request.config.model_copy(update={"suites": {**request.config.suites, name: suite}})
    images = request.images
    if chosen.gray:
        sources = _sources(chosen, request)
        images = request.results / "gray" / _digest(sources) / name
        _write_gray(sources, images)
    return replace(request, config=config, suite=name, codecs=(), protocol="", ratios=(), images=images, train=False)


def _sources(chosen: FigureRecipe, request: Request) -> list[ImageSource]:
    """Return the images of the folder or data set."""
    if request.images is not None:
        return datasets.from_folder(request.images)
    return datasets.from_set(chosen.data, request.config.data_set(chosen.data))


def _digest(sources: Iterable[ImageSource]) -> str:
    """Return a digest of the files and their names, so that other images have another folder."""
    return digest(*(f"{source.name} {file_sha256(source.path)}" for source in sources))


def _write_gray(sources: Iterable[ImageSource], folder: Path) -> None:
    """Write images as 8-bit gray PNGs."""
    for source in sources:
        image = read_image(source.path, source.name, source.sample_bits)
        path = folder / (source.name if source.name.lower().endswith(".png") else f"{source.name}.png")
        path.parent.mkdir(parents=True, exist_ok=True)
        to_file(gray8(image), path)


def gray8(image: TestImage) -> Image:
    """Return an image as 8-bit gray, (height, width, 1): BT.601 luma of RGB, other depths scaled to 0..255.

    Values are rounded to the nearest: truncation would darken the image by half a level on average.
    """
    samples = image.pixels.astype(np.float64)
    if samples.shape[2] == 3:
        samples = samples @ np.array(LUMA)[:, None]
    gray: Image = np.ascontiguousarray(np.rint(samples * (255 / image.peak)).astype(np.uint8))
    return gray


def _verdict_text(name: str, chosen: FigureRecipe, verdicts: pd.DataFrame) -> str:
    from harness.report.words import markdown_table
    from harness.reproduce.judge import counts

    found = ", ".join(f"{count} {verdict}" for verdict, count in counts(verdicts).items())
    head = [
        *("published curve", "source", "metric", "point", "our codec", "published bpp", "measured bpp"),
        *("published", "measured", "difference", "allowed", "verdict", "why"),
    ]
    text = f"# {name}: {chosen.description}\n\n{len(verdicts)} published points: {found or 'none'}.\n\n"
    text += "Quality in dB, SSIM without a unit; differences are measured minus published.\n\n"
    return text + markdown_table(head, _cells(verdicts), left=5) + "\n"


def _cells(verdicts: pd.DataFrame) -> Iterator[list[object]]:
    from harness.analysis.run import rows_of
    from harness.report.words import number

    for row in rows_of(verdicts):
        places = 2 if row["metric"] == "psnr" or row["metric"] == "ms_ssim" else 3
        values = [number(row[key], places + 1) for key in ("published", "measured", "difference", "tolerance")]
        rates = [number(row[key], 4) for key in ("published_bpp", "measured_bpp")]
        about = [row[key] for key in ("curve", "source", "metric", "point", "codec")]
        yield [*about, *rates, *values, row["verdict"], row["why"]]
