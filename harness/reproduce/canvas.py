"""The canvas of a figure: its data, and the panels, lines and legend that every kind of figure shares."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from harness.report.drawing import COLUMN_WIDTH, LEGEND_ROW
from harness.report.styles import Style
from harness.reproduce.points import MEASURED, PUBLISHED
from harness.reproduce.spec import FigureRecipe

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DOTS_PER_INCH = 300
LABELS = {"psnr": "PSNR (dB)", "ms_ssim": "MS-SSIM (dB of the mean)", "ssim": "SSIM"}


@dataclass(frozen=True)
class Canvas:
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


def stacked_panels(count: int, height: float, labels: Sequence[str]) -> tuple[Figure, list[Axes]]:
    """Return stacked panels with room for a legend in two columns below them."""
    from matplotlib.figure import Figure

    room = LEGEND_ROW * (len(labels) / 2 + 1)
    figure = Figure(figsize=(COLUMN_WIDTH, height * count + room), layout="constrained")
    return figure, list(figure.subplots(count, squeeze=False)[:, 0])


def draw_line(axes: Axes, points: pd.DataFrame, drawn: Style, label: str) -> None:
    """Draw measured points, joined by a solid line."""
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


def draw_published(axes: Axes, points: pd.DataFrame, form: str, colour: str, label: str) -> None:
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


def measured_rows(canvas: Canvas) -> pd.DataFrame:
    """Return the points measured here."""
    return canvas.table[canvas.table["origin"] == MEASURED]


def published_rows(canvas: Canvas) -> pd.DataFrame:
    """Return the published points."""
    return canvas.table[canvas.table["origin"] == PUBLISHED]


def line_names(canvas: Canvas) -> list[str]:
    """Return one name per line of the legend."""
    return [str(name) for name in dict.fromkeys(canvas.table["label"] + canvas.table["origin"])]


def image_count(rows: pd.DataFrame) -> str:
    """Return the number of images of the means: ", n = 24"."""
    counts = rows["n"].dropna()
    if not len(counts):
        return ""
    low, high = int(counts.min()), int(counts.max())
    return f", n = {low}" if low == high else f", n = {low} to {high}"


def draw_legend(figure: Figure, axes: Axes, canvas: Canvas) -> None:
    """Put two columns under the figure: measured curves, and published ones with their sources."""
    from matplotlib.lines import Line2D

    handles, labels = axes.get_legend_handles_labels()
    by_label: dict[str, Any] = dict(zip(labels, handles, strict=True))
    theirs = published_rows(canvas)
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


def save(folder: Path, name: str, figure: Figure) -> list[Path]:
    """Write a figure as PDF, SVG and PNG with reproducible bytes; return the paths."""
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
