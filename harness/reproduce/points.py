"""The table of a figure: all measured points and all published ones.

A row is one drawn point: panel ("sweep" or "ratio"), metric, origin ("measured here" or "published"), label, source,
codec (ours; for a published point, the codec that is checked against it), x (mean bits per pixel, or the ratio), value,
low and high (95 % over images, where there is an interval), n (images), setting.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from harness.analysis.bootstrap import paired_difference
from harness.analysis.columns import missing
from harness.analysis.ratio_table import ratio_rows, reached
from harness.analysis.run import SEED, RunRecords, rows_of
from harness.analysis.sweep_table import sweep_points
from harness.reproduce.published import PublishedCurve
from harness.reproduce.spec import CurveRecipe, FigureRecipe

COLUMNS = ("panel", "metric", "origin", "label", "source", "codec", "x", "value", "low", "high", "n", "setting")
MEASURED = "measured here"
PUBLISHED = "published"
SWEPT = {"psnr": "psnr", "ms_ssim": "ms_ssim_db_of_mean", "ssim": "ssim"}
"""Metric -> its column in the sweep's table. Published MS-SSIM is a mean, so ours is in dB of the mean."""
AT_RATIO = {"psnr": "psnr", "ms_ssim": "ms_ssim_db", "ssim": "ssim"}


@dataclass(frozen=True)
class Read:
    """A curve of the recipe with its points, or the reason why they are not here."""

    recipe: CurveRecipe
    curve: PublishedCurve | None
    reason: str = ""


def figure_table(recipe: FigureRecipe, run: RunRecords, reads: Sequence[Read]) -> pd.DataFrame:
    """Return the figure's table, columns as `COLUMNS`."""
    rows: list[dict[str, Any]] = []
    for metric in recipe.metrics:
        if recipe.protocol in ("sweep", "both"):
            rows += _swept(run, metric)
            rows += _published(reads, metric)
        if recipe.kind == "differences":
            rows += _differences(recipe, run, metric)
        elif recipe.protocol in ("ratio", "both"):
            against_rate = recipe.kind == "combined"
            rows += _at_ratios(run, metric, against_rate)
        rows += _points(recipe, metric)
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _swept(run: RunRecords, metric: str) -> Iterable[dict[str, Any]]:
    points = sweep_points(run)
    for row in rows_of(points[points["complete"].astype(bool)]):
        if missing(row[SWEPT[metric]]):
            continue
        yield {
            **_ours("sweep", metric, row["codec"]),
            "x": row["bpp"],
            "value": row[SWEPT[metric]],
            "n": row["n"],
            "setting": row["setting"],
        }


def _ours(panel: str, metric: str, codec: object) -> dict[str, Any]:
    return {"panel": panel, "metric": metric, "origin": MEASURED, "label": codec, "source": MEASURED, "codec": codec}


def _published(reads: Sequence[Read], metric: str) -> Iterable[dict[str, Any]]:
    for read in reads:
        if read.curve is None:
            continue
        settings = read.recipe.settings or (None,) * len(read.curve.bpp)
        for bpp, value, setting in zip(read.curve.bpp, read.curve.values, settings, strict=True):
            yield {
                "panel": "sweep",
                "metric": metric,
                "origin": PUBLISHED,
                "label": read.curve.label,
                "source": read.curve.source,
                "codec": read.recipe.codec,
                "x": bpp,
                "value": value,
                "setting": setting,
            }


def _at_ratios(run: RunRecords, metric: str, against_rate: bool) -> Iterable[dict[str, Any]]:
    """Yield the means of the ratio protocol, over the ratio or over mean bits per pixel."""
    column = AT_RATIO[metric]
    table = ratio_rows(run)
    if column not in table:
        return
    for row in rows_of(table[table[column].notna()]):
        yield {
            **_ours("ratio", metric, row["codec"]),
            "x": row["bpp"] if against_rate else row["target_ratio"],
            "value": row[column],
            "low": row[f"{column}_low"],
            "high": row[f"{column}_high"],
            "n": row["n"],
        }


def _differences(recipe: FigureRecipe, run: RunRecords, metric: str) -> Iterable[dict[str, Any]]:
    """Yield the paired differences from the anchor at each ratio, over the images on which both meet the target."""
    for ratio in run.ratios:
        frame = run.at_ratio(ratio)
        values = frame[reached(frame)].pivot(index="image", columns="codec", values=AT_RATIO[metric]).sort_index()
        for codec in (codec for codec in recipe.codecs if codec != recipe.anchor):
            both = values.reindex(columns=[codec, recipe.anchor]).replace(np.inf, np.nan).dropna()
            if len(both):
                found = paired_difference(both[codec].to_numpy(), both[recipe.anchor].to_numpy(), SEED)
                numbers = {"x": ratio, "value": found.mean, "low": found.low, "high": found.high, "n": found.n}
                yield {**_ours("ratio", metric, codec), **numbers}


def _points(recipe: FigureRecipe, metric: str) -> Iterable[dict[str, Any]]:
    for point in recipe.points:
        if metric in point.values:
            yield {
                **_ours("ratio", metric, point.codec),
                "origin": PUBLISHED,
                "source": point.source,
                "x": point.ratio,
                "value": point.values[metric],
                "n": point.n,
            }
