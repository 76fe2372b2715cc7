"""Judge each published point of a figure: reproduced or not, by how much, and why.

Every published point has a row, even where it cannot be compared.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import pandas as pd

from harness.analysis.run import RunRecords, rows_of
from harness.records.record import WITHOUT_FILE
from harness.reproduce.points import MEASURED, PUBLISHED, Read
from harness.reproduce.published import PublishedCurve, read_off
from harness.reproduce.spec import CurveRecipe, FigureRecipe

COLUMNS = (
    "curve",
    "source",
    "metric",
    "point",
    "codec",
    "published_bpp",
    "measured_bpp",
    "published",
    "measured",
    "difference",
    "tolerance",
    "verdict",
    "why",
)
REPRODUCED = "reproduced"
NOT_REPRODUCED = "not reproduced"
NOT_MEASURED = "not measured"
NOT_COMPARABLE = "not comparable"

RAW_BITS = 24
"""Bits per pixel of the images of the published curves: 8-bit RGB."""


def verdict_table(recipe: FigureRecipe, run: RunRecords, table: pd.DataFrame, reads: Sequence[Read]) -> pd.DataFrame:
    """Return one row per published point, columns as `COLUMNS`; `table` is of `harness.reproduce.points`."""
    judge = _Judge(recipe, run, table)
    rows: list[dict[str, Any]] = []
    for read in reads:
        rows += judge.curve(read)
    rows += judge.points()
    return pd.DataFrame(rows, columns=list(COLUMNS))


class _Judge:
    """Judges published points by what was measured."""

    def __init__(self, recipe: FigureRecipe, run: RunRecords, table: pd.DataFrame) -> None:
        self._recipe = recipe
        self._metric = recipe.metrics[0]
        self._ours = table[table["origin"] == MEASURED]
        self._theirs = table[table["origin"] == PUBLISHED]
        self._problems = run.records[run.records["status"].isin(WITHOUT_FILE)]
        self._images = int(run.records["image"].nunique())

    def curve(self, read: Read) -> Iterator[dict[str, Any]]:
        """Yield a row for each point of a published curve, or for each ratio at which it is interpolated."""
        about = {"curve": read.recipe.label, "source": read.recipe.source, "metric": self._metric}
        about["codec"] = read.recipe.codec
        if read.curve is None:
            yield {**about, "verdict": NOT_COMPARABLE, "why": read.reason}
        elif self._recipe.kind == "combined":
            for row in self._at_ratios(read.recipe, read.curve):
                yield {**about, **row}
        else:
            for row in self._at_points(read.recipe, read.curve):
                yield {**about, **row}

    def _at_ratios(self, recipe: CurveRecipe, curve: PublishedCurve) -> Iterator[dict[str, Any]]:
        for ratio in self._recipe.ratios:
            bpp = RAW_BITS / ratio
            published = curve.at(bpp)
            row = {"point": f"{ratio:g}x", "published_bpp": bpp, "published": published}
            if published is None:
                span = f"the published curve has {curve.bpp[0]:.3g} to {curve.bpp[-1]:.3g} bits per pixel"
                yield {**row, "verdict": NOT_COMPARABLE, "why": span}
            else:
                yield {**row, **self._judged(recipe, bpp, published, None)}

    def _at_points(self, recipe: CurveRecipe, curve: PublishedCurve) -> Iterator[dict[str, Any]]:
        settings: Sequence[float | None] = recipe.settings or (None,) * len(curve.bpp)
        for place, (bpp, value, setting) in enumerate(zip(curve.bpp, curve.values, settings, strict=True)):
            point = f"point {place + 1}" if setting is None else f"setting {setting:g}"
            row = {"point": point, "published_bpp": bpp, "published": value}
            yield {**row, **self._judged(recipe, bpp, value, setting)}

    def _judged(self, recipe: CurveRecipe, bpp: float, value: float, setting: float | None) -> dict[str, Any]:
        """Return the measured columns and the verdict of one published point of a sweep."""
        if not recipe.codec:
            return {"verdict": NOT_MEASURED, "why": recipe.why}
        mine = self._ours[(self._ours["codec"] == recipe.codec) & (self._ours["panel"] == "sweep")].sort_values("x")
        if not len(mine):
            return {"verdict": NOT_MEASURED, "why": self._problem(recipe.codec) or "it is not in this run"}
        if setting is None:
            found = read_off(tuple(mine["x"]), tuple(mine["value"]), bpp)
            if found is None:
                span = f"our curve has {mine['x'].min():.3g} to {mine['x'].max():.3g} bits per pixel"
                return {"verdict": NOT_MEASURED, "why": span}
            measured_bpp = bpp
        else:
            at = mine[mine["setting"] == setting]
            if not len(at):
                return {"verdict": NOT_MEASURED, "why": "this setting is not in our sweep"}
            measured_bpp, found = float(at["x"].iloc[0]), float(at["value"].iloc[0])
        row = {"measured_bpp": measured_bpp, "measured": found, "difference": found - value}
        return {**row, "tolerance": recipe.tolerance, **self._verdict(recipe, measured_bpp / bpp - 1, found - value)}

    def _verdict(self, recipe: CurveRecipe, rate_error: float, error: float) -> dict[str, str]:
        if self._recipe.other_data:
            return {"verdict": NOT_COMPARABLE, "why": self._recipe.other_data}
        if self._recipe.images not in (None, self._images):
            why = f"measured over {self._images} images, published over {self._recipe.images}"
            return {"verdict": NOT_COMPARABLE, "why": why}
        if abs(rate_error) > recipe.rate_tolerance:
            allowed = f"{100 * recipe.rate_tolerance:g} % are allowed"
            return {"verdict": NOT_REPRODUCED, "why": f"{100 * rate_error:+.2f} % bits per pixel, {allowed}"}
        close = abs(error) <= recipe.tolerance
        return {"verdict": REPRODUCED if close else NOT_REPRODUCED, "why": recipe.why}

    def _problem(self, codec: str, ratio: float | None = None) -> str:
        """Return why a codec was not measured (at a ratio); empty where it was."""
        mine = self._problems[self._problems["codec"] == codec]
        if ratio is not None:
            mine = mine[mine["target_ratio"] == ratio]
        return f"{mine['status'].iloc[0]}: {mine['reason'].iloc[0]}" if len(mine) else ""

    def points(self) -> Iterable[dict[str, Any]]:
        """Yield a row for each published mean at a ratio."""
        for row in rows_of(self._theirs[self._theirs["panel"] == "ratio"]):
            at = self._ours["x"].eq(row["x"]) & self._ours["metric"].eq(row["metric"])
            mine = self._ours[at & self._ours["codec"].eq(row["codec"]) & self._ours["panel"].eq("ratio")]
            about = {name: row[name] for name in ("source", "metric", "codec")}
            about |= {"curve": row["label"], "point": f"{row['x']:g}x", "published": row["value"]}
            if not len(mine):
                reason = self._problem(row["codec"], row["x"]) or "no mean: it misses the target on an image."
                yield {**about, "verdict": NOT_MEASURED, "why": f"{reason} ({self._recipe.other_data})"}
                continue
            value = float(mine["value"].iloc[0])
            about |= {"measured": value, "difference": value - row["value"]}
            yield {**about, "verdict": NOT_COMPARABLE, "why": self._recipe.other_data}


def counts(verdicts: pd.DataFrame) -> dict[str, int]:
    """Return verdict -> number of points."""
    return {str(name): int(count) for name, count in verdicts["verdict"].value_counts().items()}
