"""The parts of a report's figures: style, axes, lines, legends, files. The figures are in `figures`.

matplotlib and seaborn are loaded when a figure is drawn.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from harness.analysis.columns import MetricColumn
from harness.analysis.run import RunRecords, rows_of
from harness.report.styles import Style, styles_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLUMN_WIDTH = 3.5
"""Inches: one column of a two-column page."""

DOTS_PER_INCH = 250
LEGEND_ROW = 0.145
"""Inches: the height of one line of the legend."""

NAME_LENGTH = 22
"""The most characters of a codec's name in a figure."""


@dataclass(frozen=True)
class Drawn:
    """One figure on disk."""

    name: str
    """File name without ending, of `NAME.png` and `NAME.svg`."""
    caption: str


@contextmanager
def style() -> Iterator[None]:
    """Draw in small type, with the same bytes in every run.

    The matplotlib settings of a notebook or script are restored afterwards. No figure here is pyplot's, so no backend
    is chosen.
    """
    import matplotlib as mpl
    import seaborn as sns

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
    with mpl.rc_context():
        mpl.rcdefaults()
        with sns.axes_style("whitegrid"), mpl.rc_context(fixed):
            yield


def new_axes(codecs: int) -> tuple[Figure, Axes]:
    """Return a figure with room under the axes for a legend of `codecs` entries in two columns."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(COLUMN_WIDTH, 2.7 + LEGEND_ROW * np.ceil(codecs / 2)), layout="constrained")
    return figure, figure.subplots()


def draw_lines(axes: Axes, run: RunRecords, points: pd.DataFrame, x: str, y: str) -> None:
    """Draw one line per codec through its points."""
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


def draw_dots(axes: Axes, rows: pd.DataFrame, column: str, order: list[str], styles: dict[str, Style]) -> None:
    """Draw each codec's value and interval on its row; hollow where the codec is not in the ranking."""
    axes.axvline(0, color="0.5", linewidth=0.8)
    for row in rows_of(rows):
        place, style = order.index(row["codec"]), styles[str(row["codec"])]
        low, high = row[f"{column}_low"], row[f"{column}_high"]
        if pd.notna(low):
            axes.hlines(place, low, high, color=style.colour, linewidth=1.1, alpha=0.7)
        face = style.colour if row["compared"] else "white"
        axes.plot(row[column], place, style.marker, color=style.colour, markerfacecolor=face, markersize=2.8)


def by_quality(points: pd.DataFrame, metric: MetricColumn, column: str | None = None) -> list[str]:
    """Order codecs best first, by their value at the ratio where most codecs have one."""
    counts = points["target_ratio"].value_counts()
    ratio = max(counts.index, key=lambda value: (counts[value], value))
    at = points[points["target_ratio"] == ratio].set_index("codec")[column or metric.column].astype(float)
    means = points.groupby("codec")[column or metric.column].mean().astype(float)
    return _best_first({str(codec): at.get(codec, means[codec]) for codec in means.index}, metric)


def by_quality_at_bpp(points: pd.DataFrame, metric: MetricColumn) -> list[str]:
    """Order codecs best first, by the curve's value at the median bpp."""
    middle = np.log(points["bpp"].median())
    ordered = points.sort_values("bpp")
    scores = {
        str(codec): float(np.interp(middle, np.log(mine["bpp"]), mine[metric.column]))
        for codec, mine in ordered.groupby("codec")
    }
    return _best_first(scores, metric)


def _best_first(scores: dict[str, float], metric: MetricColumn) -> list[str]:
    return sorted(scores, key=lambda codec: (-metric.score(scores[codec]), codec))


def short_name(run: RunRecords, codec: str) -> str:
    """Return a codec's name, shortened for a figure, with a mark where it may be contaminated."""
    short = codec if len(codec) <= NAME_LENGTH else f"{codec[: NAME_LENGTH - 1]}…"
    return short + {"leaked": " (leaked)", "unknown": " (leaked?)"}.get(run.leak(codec), "")


def draw_legend(axes: Axes, run: RunRecords, order: Sequence[str]) -> None:
    """Put the legend under the axes, in two columns, in the given order of codecs."""
    handles, labels = axes.get_legend_handles_labels()
    by_label: dict[str, Any] = dict(zip(labels, handles, strict=True))
    legend = axes.get_legend()
    if legend is not None:
        legend.remove()
    axes.figure.legend(
        [by_label[codec] for codec in order],
        [short_name(run, codec) for codec in order],
        loc="outside lower center",
        ncols=2,
        frameon=False,
        handlelength=3,
        labelspacing=0.25,
        columnspacing=1.2,
    )


def image_count(counts: pd.Series) -> str:
    """Return the number of images of means: "n = 24", or "n = 22 to 24"."""
    low, high = int(counts.min()), int(counts.max())
    return f"n = {low}" if low == high else f"n = {low} to {high}"


def slug(metric: MetricColumn) -> str:
    """Return a metric's name for a file name."""
    return metric.column.replace("_", "-")


def save(folder: Path, figure: Figure, name: str, caption: str) -> Drawn:
    """Save a figure as PNG and SVG, without a date."""
    folder.mkdir(parents=True, exist_ok=True)
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    figure.savefig(folder / f"{name}.png", dpi=DOTS_PER_INCH, metadata={"Software": None})
    figure.savefig(folder / f"{name}.svg", metadata={"Date": None, "Creator": None})
    return Drawn(name, caption)
