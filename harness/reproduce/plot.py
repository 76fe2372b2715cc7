"""Draw a figure from its table: one column wide, colour-blind safe, as PDF, SVG and PNG, with reproducible bytes.

Measured curves are solid with filled markers. Published curves are dashed; published points that a codec of ours is
checked against are hollow markers without a line, in that codec's colour.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from harness.analysis.run import rows_of
from harness.report.drawing import COLUMN_WIDTH, LEGEND_ROW, style
from harness.report.styles import MARKERS, Style, styles_of
from harness.reproduce.points import MEASURED, PUBLISHED
from harness.reproduce.spec import FigureRecipe

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DOTS_PER_INCH = 300
SPREAD = 0.06
"""The distance between two codecs' intervals, in octaves of ratio."""
_BOX = {"facecolor": "white", "edgecolor": "none", "pad": 1}
_NOTE: dict[str, Any] = {"fontsize": 5.5, "ha": "right", "va": "center", "bbox": _BOX}
LABELS = {"psnr": "PSNR (dB)", "ms_ssim": "MS-SSIM (dB of the mean)", "ssim": "SSIM"}


@dataclass(frozen=True)
class _Canvas:
    """The data of a figure: recipe, table, one style per codec of ours."""

    recipe: FigureRecipe
    table: pd.DataFrame
    styles: dict[str, Style]
    controls: frozenset[str]
    """Codecs of the lossless control: measured, not drawn."""

    def of(self, panel: str, metric: str, origin: str) -> pd.DataFrame:
        """Return the rows of one panel, metric and origin."""
        table = self.table
        return table[(table["panel"] == panel) & (table["metric"] == metric) & (table["origin"] == origin)]


def draw(folder: Path, name: str, recipe: FigureRecipe, table: pd.DataFrame, controls: Iterable[str]) -> list[Path]:
    """Write `folder`/NAME.pdf, .svg and .png from a figure's table; return their paths."""
    canvas = _Canvas(recipe, table, styles_of(recipe.codecs), frozenset(controls))
    drawings = {
        "curves": _curves,
        "combined": _combined,
        "ratios": _ratios,
        "architectures": _architectures,
        "differences": _ratios,
    }
    with style():
        return _save(folder, name, drawings[recipe.kind](canvas))


def _panels(count: int, height: float, labels: Sequence[str]) -> tuple[Figure, list[Axes]]:
    """Return stacked panels with room for a legend in two columns below them."""
    from matplotlib.figure import Figure

    room = LEGEND_ROW * (len(labels) / 2 + 1)
    figure = Figure(figsize=(COLUMN_WIDTH, height * count + room), layout="constrained")
    return figure, list(figure.subplots(count, squeeze=False)[:, 0])


def _curves(canvas: _Canvas) -> Figure:
    metric = canvas.recipe.metrics[0]
    figure, axes = _panels(1, 3.2, _names(canvas))
    _sweep_panel(axes[0], canvas, metric)
    _legend(figure, axes[0], canvas)
    return figure


def _combined(canvas: _Canvas) -> Figure:
    metric = canvas.recipe.metrics[0]
    figure, axes = _panels(2, 2.5, _names(canvas))
    _sweep_panel(axes[0], canvas, metric)
    ours = canvas.of("ratio", metric, MEASURED)
    for codec, mine in ours.groupby("codec", sort=False):
        _line(axes[1], mine.sort_values("x"), canvas.styles[str(codec)], str(codec))
    _rate_axes(axes[1], canvas, metric, "Ratio protocol: every image at each ratio" + _images(ours))
    for panel in axes:
        for ratio in canvas.recipe.ratios:
            panel.axvline(24 / ratio, color="0.75", linewidth=0.6, zorder=0)
            panel.text(24 / ratio, panel.get_ylim()[0], f" {ratio:g}x", fontsize=5.5, color="0.35", va="bottom")
    _legend(figure, axes[0], canvas)
    return figure


def _sweep_panel(axes: Axes, canvas: _Canvas, metric: str) -> None:
    """Draw our sweep solid, published curves dashed, and the published points that are checked hollow."""
    theirs = canvas.of("sweep", metric, PUBLISHED)
    loose = [str(label) for label in dict.fromkeys(theirs.loc[theirs["codec"] == "", "label"])]
    for place, label in enumerate(loose):
        points = theirs[theirs["label"] == label].sort_values("x")
        colour, marker = _PUBLISHED_COLOURS[place % len(_PUBLISHED_COLOURS)], MARKERS[-1 - place % len(MARKERS)]
        _hollow(axes, points, f"{marker}--", colour, label)
    ours = canvas.of("sweep", metric, MEASURED)
    for codec, mine in ours.groupby("codec", sort=False):
        _line(axes, mine.sort_values("x"), canvas.styles[str(codec)], str(codec))
    for checked, points in theirs[theirs["codec"] != ""].groupby("label", sort=False):
        _hollow(axes, points, "o", canvas.styles[str(points["codec"].iloc[0])].colour, str(checked))
    _rate_axes(axes, canvas, metric, "Sweep protocol: one setting for all images" + _images(ours))


_PUBLISHED_COLOURS = ("#332288", "#882255", "#117733", "#AA4499", "#44AA99", "#661100", "#6699CC", "#888888")
"""Tol's muted colours (2021), which differ from those of our codecs."""


def _rate_axes(axes: Axes, canvas: _Canvas, metric: str, title: str) -> None:
    axes.set_xlabel("mean bits per pixel")
    axes.set_ylabel(LABELS[metric] if metric == "ms_ssim" else f"mean {LABELS[metric]}")
    axes.set_title(title)
    if canvas.recipe.rate_limits:
        axes.set_xlim(*canvas.recipe.rate_limits)
    if canvas.recipe.quality_limits:
        axes.set_ylim(*canvas.recipe.quality_limits)


def _line(axes: Axes, points: pd.DataFrame, drawn: Style, label: str) -> None:
    import seaborn as sns

    sns.lineplot(
        x=points["x"].to_numpy(float),
        y=points["value"].to_numpy(float),
        ax=axes,
        color=drawn.colour,
        marker=drawn.marker,
        linestyle=(0, drawn.dash) if drawn.dash else "-",
        linewidth=0.9,
        markersize=3,
        markeredgewidth=0.3,
        label=label,
        legend=False,
    )


def _hollow(axes: Axes, points: pd.DataFrame, form: str, colour: str, label: str) -> None:
    """Draw published points as hollow markers, joined by a dashed line where `form` contains "--"."""
    joined = "--" in form
    axes.plot(
        points["x"],
        points["value"],
        form,
        color=colour,
        label=label,
        linewidth=0.7,
        markersize=3.2 if joined else 4.4,
        markerfacecolor="white" if joined else "none",
        markeredgewidth=0.6,
    )


def _ratios(canvas: _Canvas) -> Figure:
    """Draw one panel per metric, or its difference from the anchor, over the target ratio."""
    recipe = canvas.recipe
    figure, axes = _panels(len(recipe.metrics), 2.0, _names(canvas))
    for panel, metric in zip(axes, recipe.metrics, strict=True):
        _ratio_panel(panel, canvas, metric)
    axes[0].set_title("Ratio protocol: every image at each ratio" + _images(_measured(canvas)))
    axes[-1].set_xlabel("target ratio (published: the study's own ratio)")
    _legend(figure, axes[0], canvas)
    return figure


def _ratio_panel(axes: Axes, canvas: _Canvas, metric: str) -> None:
    recipe = canvas.recipe
    ours, theirs = (canvas.of("ratio", metric, origin) for origin in (MEASURED, PUBLISHED))
    codecs = list(dict.fromkeys(ours["codec"]))
    spread = SPREAD if ours["low"].notna().any() else 0.0
    for place, codec in enumerate(codecs):
        drawn, shift = canvas.styles[codec], 2 ** (spread * (place - (len(codecs) - 1) / 2))
        mine = ours[ours["codec"] == codec].sort_values("x")
        mine = mine.assign(x=mine["x"] * shift)
        axes.vlines(mine["x"], mine["low"].astype(float), mine["high"].astype(float), drawn.colour, linewidth=0.7)
        _line(axes, mine, drawn, codec)
    for codec, points in theirs.groupby("codec", sort=False):
        drawn = canvas.styles[str(codec)]
        _hollow(axes, points, f"{drawn.marker}--", drawn.colour, f"{codec!s}{PUBLISHED}")
    if recipe.kind == "differences":
        axes.axhline(0, color="0.5", linewidth=0.8)
    axes.set_xscale("log", base=2)
    axes.set_xticks(recipe.ratios, [f"{ratio:g}x" for ratio in recipe.ratios])
    axes.minorticks_off()
    axes.set_ylabel(
        f"{LABELS[metric]} difference from {recipe.anchor}" if recipe.kind == "differences" else LABELS[metric]
    )


def _architectures(canvas: _Canvas) -> Figure:
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
    figure.suptitle(f"Ratio protocol at {recipe.ratios[0]:g}x{_images(_measured(canvas))}", fontsize=7.5)
    keys = [Line2D([], [], marker="o", linestyle="none", color="0.3", markerfacecolor=face) for face in ("0.3", "w")]
    sources = ", ".join(dict.fromkeys(_theirs(canvas)["source"]))
    figure.legend(keys, [MEASURED, f"published: {sources}"], loc="outside lower center", frameon=False, fontsize=6)
    return figure


def _rows_of_codecs(axes: Axes, canvas: _Canvas, metric: str, order: list[str]) -> None:
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


def _measured(canvas: _Canvas) -> pd.DataFrame:
    return canvas.table[canvas.table["origin"] == MEASURED]


def _theirs(canvas: _Canvas) -> pd.DataFrame:
    return canvas.table[canvas.table["origin"] == PUBLISHED]


def _names(canvas: _Canvas) -> list[str]:
    return [str(name) for name in dict.fromkeys(canvas.table["label"] + canvas.table["origin"])]


def _images(rows: pd.DataFrame) -> str:
    """Return the number of images of the means: ", n = 24"."""
    counts = rows["n"].dropna()
    if not len(counts):
        return ""
    low, high = int(counts.min()), int(counts.max())
    return f", n = {low}" if low == high else f", n = {low} to {high}"


def _legend(figure: Figure, axes: Axes, canvas: _Canvas) -> None:
    """Put two columns under the figure: measured curves, and published ones with their sources."""
    from matplotlib.lines import Line2D

    handles, labels = axes.get_legend_handles_labels()
    by_label: dict[str, Any] = dict(zip(labels, handles, strict=True))
    theirs = _theirs(canvas)
    sources = dict(zip(theirs["label"], theirs["source"], strict=True))
    ours = [label for label in labels if label in canvas.styles]
    published = [label for label in labels if label not in canvas.styles]
    names = {label: label.removesuffix(PUBLISHED) for label in published}
    columns = [
        [("measured here", None), *((label, by_label[label]) for label in ours)],
        [
            ("published (source)", None),
            *((f"{names[label]} ({sources[names[label]]})", by_label[label]) for label in published),
        ],
    ]
    longest = max(map(len, columns))
    blank = Line2D([], [], linestyle="none")
    entries = [entry for column in columns for entry in (*column, *[("", None)] * (longest - len(column)))]
    figure.legend(
        [handle or blank for _, handle in entries],
        [text for text, _ in entries],
        loc="outside lower center",
        ncols=2,
        frameon=False,
        fontsize=6,
        handlelength=3,
        labelspacing=0.25,
        columnspacing=1,
    )


def _save(folder: Path, name: str, figure: Figure) -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    dates: dict[str, dict[str, None]] = {
        "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
        "svg": {"Date": None, "Creator": None},
        "png": {"Software": None},
    }
    paths = [folder / f"{name}.{ending}" for ending in dates]
    for path, metadata in zip(paths, dates.values(), strict=True):
        figure.savefig(path, dpi=DOTS_PER_INCH, metadata=metadata)
    return paths
