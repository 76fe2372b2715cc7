"""Rate-distortion figures, PNG and SVG, one column wide: the ratio protocol and the sweep, never on shared axes.

The same records give the same bytes. matplotlib and seaborn are loaded when a figure is drawn.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from harness.report.columns import Metric
from harness.report.run import Run, rows_of
from harness.report.styles import Style, styles_of
from harness.report.tabulated import Tables

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLUMN_WIDTH = 3.5
"""Inches: one column of a two-column page."""

DOTS_PER_INCH = 250
LEGEND_ROW = 0.145
"""Inches of height that one line of the legend takes."""

MAX_BARS = 8
"""With more codecs than this, intervals hide one another: they stand in the table and in the figure of differences."""

BAR_SPREAD = 0.15
"""Octaves of ratio over which the points of all codecs are spread where their intervals are drawn."""

NAME_LENGTH = 22
"""Characters of a codec's name that a figure shows."""

FIGURE_METRICS = ("psnr", "ms_ssim_db")


@dataclass(frozen=True)
class Drawn:
    """One figure on disk."""

    name: str
    """File name without ending: `NAME.png` and `NAME.svg` are there."""
    caption: str


def draw_figures(folder: Path, run: Run, tables: Tables) -> list[Drawn]:
    """Draw every figure that the tables have data for into `folder`."""
    metrics = [metric for metric in run.metrics if metric.column in FIGURE_METRICS]
    drawn = []
    with style():
        for metric in metrics:
            drawn += _ratio_figures(folder, run, tables.ratio, metric)
        points = tables.sweep[tables.sweep["complete"].astype(bool)]
        for metric in metrics:
            if len(points):
                drawn.append(_sweep_figure(folder, run, points, metric))
    return drawn


@contextmanager
def style() -> Iterator[None]:
    """Draw without a screen, in small type, and with nothing in the files that changes between two runs."""
    import matplotlib as mpl
    import seaborn as sns

    mpl.use("Agg")
    fixed: dict[Any, Any] = {
        **dict.fromkeys(("font.size", "axes.labelsize", "axes.titlesize"), 7.5),
        **dict.fromkeys(("legend.fontsize", "xtick.labelsize", "ytick.labelsize"), 6.5),
        "axes.linewidth": 0.6,
        "grid.linewidth": 0.4,
        "axes.formatter.useoffset": False,
        "font.family": "DejaVu Sans",
        "text.parse_math": False,
        "svg.hashsalt": "harness",
    }
    with sns.axes_style("whitegrid"), mpl.rc_context(fixed):
        yield


def _ratio_figures(folder: Path, run: Run, table: pd.DataFrame, metric: Metric) -> list[Drawn]:
    used = table[table["compared"] & table[metric.column].notna()] if len(table) else table
    drawn = [_ratio_figure(folder, run, used, metric)] if len(used) else []
    difference = f"{metric.column}_difference"
    if len(table) and difference in table and table[difference].notna().any():
        drawn.append(_difference_figure(folder, run, table, metric))
    return drawn


def _ratio_figure(folder: Path, run: Run, used: pd.DataFrame, metric: Metric) -> Drawn:
    """Mean of a metric against the target ratio, a line a codec."""
    figure, axes = _axes(used["codec"].nunique())
    order = _by_quality(used, metric)
    bars = len(order) <= MAX_BARS and bool(used[f"{metric.column}_low"].notna().any())
    step = BAR_SPREAD / len(order) if bars else 0.0
    shift = {codec: 2 ** (step * (place - (len(order) - 1) / 2)) for place, codec in enumerate(order)}
    points = used.assign(x=used["target_ratio"] * used["codec"].map(shift))
    if bars:
        colours = [styles_of(run.codecs)[codec].colour for codec in points["codec"]]
        low, high = points[f"{metric.column}_low"].astype(float), points[f"{metric.column}_high"].astype(float)
        axes.vlines(points["x"], low, high, color=colours, linewidth=0.6, alpha=0.55)
    _lines(axes, run, points, "x", metric.column)
    axes.set_xscale("log", base=2)
    axes.set_xticks(run.ratios, [f"{ratio:g}x" for ratio in run.ratios])
    axes.minorticks_off()
    axes.set_xlabel("target ratio (raw bytes / file bytes)")
    axes.set_ylabel(f"mean {metric.title}")
    axes.set_title(f"Ratio protocol, {_images(used['n'])}")
    _legend(axes, run, order)
    caption = (
        f"Ratio protocol: mean {metric.title} of the largest file that fits each budget, over the images "
        f"of the ratio ({_images(used['n'])}). A codec has no point where it is not reached on all of them."
        + (" Bars: 95 % bootstrap intervals over images, drawn beside each other." if bars else "")
    )
    return _save(folder, figure, f"ratio-{_slug(metric)}", caption)


def _difference_figure(folder: Path, run: Run, table: pd.DataFrame, metric: Metric) -> Drawn:
    """One panel a ratio, one row a codec, best at the top: its paired difference to the anchor."""
    import matplotlib.pyplot as plt

    shown = table[table[f"{metric.column}_difference"].notna()]
    order = _by_quality(shown.rename(columns={f"{metric.column}_difference": "value"}), metric, "value")
    ratios = sorted(shown["target_ratio"].unique())
    figure, panels = plt.subplots(
        ncols=len(ratios),
        figsize=(COLUMN_WIDTH, 0.75 + 0.14 * len(order)),
        sharey=True,
        layout="constrained",
        squeeze=False,
    )
    styles = styles_of(run.codecs)
    for axes, ratio in zip(panels[0], ratios, strict=True):
        _dots(axes, shown[shown["target_ratio"] == ratio], f"{metric.column}_difference", order, styles)
        axes.set_title(f"{ratio:g}x")
        axes.locator_params(axis="x", nbins=3)
        axes.margins(x=0.12)
    panels[0, 0].set_yticks(range(len(order)), [_name(run, codec) for codec in order])
    panels[0, 0].set_ylim(len(order) - 0.4, -0.6)
    anchor = shown.iloc[0]["anchor"]
    figure.supxlabel(f"{metric.title} minus that of {_name(run, anchor)}", fontsize=7.5)
    bars = shown[f"{metric.column}_difference_low"].notna().any()
    caption = (
        f"Ratio protocol: mean paired difference of {metric.title} to {anchor}, over the images on which both "
        "are reached" + (", with 95 % bootstrap intervals" if bars else "") + ". Hollow: a codec that is not "
        "reached on every image of the ratio, so over fewer images."
    )
    return _save(folder, figure, f"difference-{_slug(metric)}", caption)


def _sweep_figure(folder: Path, run: Run, points: pd.DataFrame, metric: Metric) -> Drawn:
    """Mean of a metric against mean bits per pixel, a line a codec, a point a setting."""
    figure, axes = _axes(points["codec"].nunique())
    _lines(axes, run, points, "bpp", metric.column)
    axes.set_xlabel("mean bits per pixel")
    axes.set_ylabel(f"mean {metric.title}")
    axes.set_title(f"Sweep protocol, {_images(points['n'])}")
    _legend(axes, run, _by_quality_at_bpp(points, metric))
    caption = (
        f"Sweep protocol: one setting for all images; bits per pixel and {metric.title} averaged over images "
        f"({_images(points['n'])}). Comparable with published curves, not with the ratio protocol's."
    )
    return _save(folder, figure, f"sweep-{_slug(metric)}", caption)


def _axes(codecs: int) -> tuple[Figure, Axes]:
    """Return a figure with room for a legend of so many codecs, in two columns, under the axes."""
    import matplotlib.pyplot as plt

    height = 2.7 + LEGEND_ROW * np.ceil(codecs / 2)
    return plt.subplots(figsize=(COLUMN_WIDTH, height), layout="constrained")


def _lines(axes: Axes, run: Run, points: pd.DataFrame, x: str, y: str) -> None:
    import seaborn as sns

    styles = styles_of(run.codecs)
    order = [codec for codec in run.codecs if codec in set(points["codec"])]
    sns.lineplot(
        points,
        x=x,
        y=y,
        hue="codec",
        style="codec",
        hue_order=order,
        style_order=order,
        palette={codec: styles[codec].colour for codec in order},
        markers={codec: styles[codec].marker for codec in order},
        dashes={codec: styles[codec].dash or "" for codec in order},
        estimator=None,
        errorbar=None,
        sort=True,
        ax=axes,
        linewidth=0.9,
        markersize=3.2,
        markeredgewidth=0.3,
    )


def _dots(axes: Axes, rows: pd.DataFrame, column: str, order: list[str], styles: dict[str, Style]) -> None:
    """Draw each codec's value and its interval on its row; hollow where the codec is apart."""
    axes.axvline(0, color="0.5", linewidth=0.8)
    for row in rows_of(rows):
        place, style = order.index(row["codec"]), styles[str(row["codec"])]
        low, high = row[f"{column}_low"], row[f"{column}_high"]
        if pd.notna(low):
            axes.hlines(place, low, high, color=style.colour, linewidth=1.1, alpha=0.7)
        face = style.colour if row["compared"] else "white"
        axes.plot(row[column], place, style.marker, color=style.colour, markerfacecolor=face, markersize=2.8)


def _by_quality(points: pd.DataFrame, metric: Metric, column: str | None = None) -> list[str]:
    """Order codecs best first, by their value at the ratio where most have one: the legend reads like the curves."""
    counts = points["target_ratio"].value_counts()
    ratio = max(counts.index, key=lambda value: (counts[value], value))
    at = points[points["target_ratio"] == ratio].set_index("codec")[column or metric.column].astype(float)
    means = points.groupby("codec")[column or metric.column].mean().astype(float)
    return _best_first({str(codec): at.get(codec, means[codec]) for codec in means.index}, metric)


def _by_quality_at_bpp(points: pd.DataFrame, metric: Metric) -> list[str]:
    """Order codecs best first, by the curve's value at the median bpp."""
    middle = np.log(points["bpp"].median())
    ordered = points.sort_values("bpp")
    scores = {
        str(codec): float(np.interp(middle, np.log(mine["bpp"]), mine[metric.column]))
        for codec, mine in ordered.groupby("codec")
    }
    return _best_first(scores, metric)


def _best_first(scores: dict[str, float], metric: Metric) -> list[str]:
    return sorted(scores, key=lambda codec: (-metric.score(scores[codec]), codec))


def _name(run: Run, codec: str) -> str:
    """Return a codec's name as a figure has room for it, with a mark where its leak status is doubtful."""
    short = codec if len(codec) <= NAME_LENGTH else f"{codec[: NAME_LENGTH - 1]}…"
    return short + {"leaked": " (leaked)", "unknown": " (leak?)"}.get(run.leak(codec), "")


def _legend(axes: Axes, run: Run, order: Sequence[str]) -> None:
    handles, labels = axes.get_legend_handles_labels()
    by_label: dict[str, Any] = dict(zip(labels, handles, strict=True))
    legend = axes.get_legend()
    if legend is not None:
        legend.remove()
    axes.figure.legend(
        [by_label[codec] for codec in order],
        [_name(run, codec) for codec in order],
        loc="outside lower center",
        ncols=2,
        frameon=False,
        handlelength=3,
        labelspacing=0.25,
        columnspacing=1.2,
    )


def _images(counts: pd.Series) -> str:
    """Say over how many images means are: "n = 24", or "n = 22 to 24"."""
    low, high = int(counts.min()), int(counts.max())
    return f"n = {low}" if low == high else f"n = {low} to {high}"


def _slug(metric: Metric) -> str:
    return metric.column.replace("_", "-")


def _save(folder: Path, figure: Figure, name: str, caption: str) -> Drawn:
    import matplotlib.pyplot as plt

    folder.mkdir(parents=True, exist_ok=True)
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    figure.savefig(folder / f"{name}.png", dpi=DOTS_PER_INCH, metadata={"Software": None})
    figure.savefig(folder / f"{name}.svg", metadata={"Date": None, "Creator": None})
    plt.close(figure)
    return Drawn(name, caption)
