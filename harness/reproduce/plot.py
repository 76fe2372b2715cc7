"""Draw a figure from its table: one column wide, colour-blind safe, as PDF, SVG and PNG, with reproducible bytes.

Measured curves are solid with filled markers. Published curves are dashed; published points that a codec of ours is
checked against are hollow markers without a line, in that codec's colour.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from harness.analysis.run import rows_of
from harness.report.drawing import COLUMN_WIDTH, LEGEND_ROW, style
from harness.report.styles import MARKERS, styles_of
from harness.reproduce.canvas import (
    LABELS,
    Canvas,
    draw_legend,
    draw_line,
    draw_published,
    image_count,
    line_names,
    measured_rows,
    published_rows,
    save,
    stacked_panels,
)
from harness.reproduce.points import MEASURED, PUBLISHED
from harness.reproduce.spec import FigureRecipe

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SPREAD = 0.06
"""The distance between two codecs' intervals, in octaves of ratio."""
_BOX = {"facecolor": "white", "edgecolor": "none", "pad": 1}
_NOTE: dict[str, Any] = {"fontsize": 5.5, "ha": "right", "va": "center", "bbox": _BOX}


def draw(folder: Path, name: str, recipe: FigureRecipe, table: pd.DataFrame, controls: Iterable[str]) -> list[Path]:
    """Write `folder`/NAME.pdf, .svg and .png from a figure's table; return their paths."""
    canvas = Canvas(recipe, table, styles_of(recipe.codecs), frozenset(controls))
    drawings = {
        "curves": _curves,
        "combined": _combined,
        "ratios": _ratios,
        "architectures": _architectures,
        "differences": _ratios,
    }
    with style():
        return save(folder, name, drawings[recipe.kind](canvas))


def _curves(canvas: Canvas) -> Figure:
    metric = canvas.recipe.metrics[0]
    figure, axes = stacked_panels(1, 3.2, line_names(canvas))
    _sweep_panel(axes[0], canvas, metric)
    draw_legend(figure, axes[0], canvas)
    return figure


def _combined(canvas: Canvas) -> Figure:
    metric = canvas.recipe.metrics[0]
    figure, axes = stacked_panels(2, 2.5, line_names(canvas))
    _sweep_panel(axes[0], canvas, metric)
    ours = canvas.of("ratio", metric, MEASURED)
    for codec, mine in ours.groupby("codec", sort=False):
        draw_line(axes[1], mine.sort_values("x"), canvas.styles[str(codec)], str(codec))
    _rate_axes(axes[1], canvas, metric, "Ratio protocol: every image at each ratio" + image_count(ours))
    for panel in axes:
        for ratio in canvas.recipe.ratios:
            panel.axvline(24 / ratio, color="0.75", linewidth=0.6, zorder=0)
            panel.text(24 / ratio, panel.get_ylim()[0], f" {ratio:g}x", fontsize=5.5, color="0.35", va="bottom")
    draw_legend(figure, axes[0], canvas)
    return figure


def _sweep_panel(axes: Axes, canvas: Canvas, metric: str) -> None:
    """Draw our sweep solid, published curves dashed, and the published points that are checked hollow."""
    theirs = canvas.of("sweep", metric, PUBLISHED)
    loose = [str(label) for label in dict.fromkeys(theirs.loc[theirs["codec"] == "", "label"])]
    for place, label in enumerate(loose):
        points = theirs[theirs["label"] == label].sort_values("x")
        colour, marker = _PUBLISHED_COLOURS[place % len(_PUBLISHED_COLOURS)], MARKERS[-1 - place % len(MARKERS)]
        draw_published(axes, points, f"{marker}--", colour, label)
    ours = canvas.of("sweep", metric, MEASURED)
    for codec, mine in ours.groupby("codec", sort=False):
        draw_line(axes, mine.sort_values("x"), canvas.styles[str(codec)], str(codec))
    for checked, points in theirs[theirs["codec"] != ""].groupby("label", sort=False):
        draw_published(axes, points, "o", canvas.styles[str(points["codec"].iloc[0])].colour, str(checked))
    _rate_axes(axes, canvas, metric, "Sweep protocol: one setting for all images" + image_count(ours))


_PUBLISHED_COLOURS = ("#332288", "#882255", "#117733", "#AA4499", "#44AA99", "#661100", "#6699CC", "#888888")
"""Tol's muted colours (2021), which differ from those of our codecs."""


def _rate_axes(axes: Axes, canvas: Canvas, metric: str, title: str) -> None:
    axes.set_xlabel("mean bits per pixel")
    axes.set_ylabel(LABELS[metric] if metric == "ms_ssim" else f"mean {LABELS[metric]}")
    axes.set_title(title)
    if canvas.recipe.rate_limits:
        axes.set_xlim(*canvas.recipe.rate_limits)
    if canvas.recipe.quality_limits:
        axes.set_ylim(*canvas.recipe.quality_limits)


def _ratios(canvas: Canvas) -> Figure:
    """Draw one panel per metric, or its difference from the anchor, over the target ratio."""
    recipe = canvas.recipe
    figure, axes = stacked_panels(len(recipe.metrics), 2.0, line_names(canvas))
    for panel, metric in zip(axes, recipe.metrics, strict=True):
        _ratio_panel(panel, canvas, metric)
    axes[0].set_title("Ratio protocol: every image at each ratio" + image_count(measured_rows(canvas)))
    axes[-1].set_xlabel("target ratio (published: the study's own ratio)")
    draw_legend(figure, axes[0], canvas)
    return figure


def _ratio_panel(axes: Axes, canvas: Canvas, metric: str) -> None:
    recipe = canvas.recipe
    ours, theirs = (canvas.of("ratio", metric, origin) for origin in (MEASURED, PUBLISHED))
    codecs = list(dict.fromkeys(ours["codec"]))
    spread = SPREAD if ours["low"].notna().any() else 0.0
    for place, codec in enumerate(codecs):
        drawn, shift = canvas.styles[codec], 2 ** (spread * (place - (len(codecs) - 1) / 2))
        mine = ours[ours["codec"] == codec].sort_values("x")
        mine = mine.assign(x=mine["x"] * shift)
        axes.vlines(mine["x"], mine["low"].astype(float), mine["high"].astype(float), drawn.colour, linewidth=0.7)
        draw_line(axes, mine, drawn, codec)
    for codec, points in theirs.groupby("codec", sort=False):
        drawn = canvas.styles[str(codec)]
        draw_published(axes, points, f"{drawn.marker}--", drawn.colour, f"{codec!s}{PUBLISHED}")
    if recipe.kind == "differences":
        axes.axhline(0, color="0.5", linewidth=0.8)
    axes.set_xscale("log", base=2)
    axes.set_xticks(recipe.ratios, [f"{ratio:g}x" for ratio in recipe.ratios])
    axes.minorticks_off()
    axes.set_ylabel(
        f"{LABELS[metric]} difference from {recipe.anchor}" if recipe.kind == "differences" else LABELS[metric]
    )


def _architectures(canvas: Canvas) -> Figure:
    """Draw one panel per metric, one row per codec: measured filled with its interval, published hollow."""
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    recipe = canvas.recipe
    order = [codec for codec in recipe.codecs if codec not in canvas.controls]
    height = 0.9 + 0.22 * len(order) + 2 * LEGEND_ROW
    figure = Figure(figsize=(COLUMN_WIDTH, height), layout="constrained")
    panels = figure.subplots(ncols=len(recipe.metrics), sharey=True, squeeze=False)
    for axes, metric in zip(panels[0], recipe.metrics, strict=True):
        _rows_of_codecs(axes, canvas, metric, order)
    panels[0, 0].set_yticks(range(len(order)), order)
    panels[0, 0].set_ylim(len(order) - 0.5, -0.5)
    figure.suptitle(f"Ratio protocol at {recipe.ratios[0]:g}x{image_count(measured_rows(canvas))}", fontsize=7.5)
    keys = [Line2D([], [], marker="o", linestyle="none", color="0.3", markerfacecolor=face) for face in ("0.3", "w")]
    sources = ", ".join(dict.fromkeys(published_rows(canvas)["source"]))
    figure.legend(keys, [MEASURED, f"published: {sources}"], loc="outside lower center", frameon=False, fontsize=6)
    return figure


def _rows_of_codecs(axes: Axes, canvas: Canvas, metric: str, order: list[str]) -> None:
    table = canvas.table[canvas.table["metric"] == metric]
    for row in rows_of(table):
        measured = row["origin"] == MEASURED
        place, drawn = order.index(str(row["codec"])), canvas.styles[str(row["codec"])]
        if measured and pd.notna(row["low"]):
            axes.hlines(place, row["low"], row["high"], drawn.colour, linewidth=1)
        face = drawn.colour if measured else "white"
        axes.plot(row["value"], place, drawn.marker, color=drawn.colour, markerfacecolor=face, markersize=4)
    for codec in set(order) - set(table.loc[table["origin"] == MEASURED, "codec"]):
        where = axes.get_yaxis_transform()
        axes.text(0.97, order.index(codec), "not measured", transform=where, **_NOTE)
    axes.set_xlabel(LABELS[metric])
    axes.margins(x=0.15)
