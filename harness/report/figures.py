"""Rate-distortion figures, PNG and SVG, one column wide: the ratio protocol and the sweep, each on its own axes.

The same records give the same bytes. matplotlib and seaborn are loaded when a figure is drawn.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from harness.analysis.columns import MetricColumn
from harness.analysis.run import RunRecords
from harness.analysis.tables import Tables
from harness.report.drawing import (
    COLUMN_WIDTH,
    LEGEND_ROW,
    Drawn,
    by_quality,
    by_quality_at_bpp,
    draw_dots,
    draw_legend,
    draw_lines,
    image_count,
    new_axes,
    save,
    short_name,
    slug,
    style,
)
from harness.report.styles import styles_of

MAX_BARS = 8
"""With more codecs, intervals would hide each other, and are in the table and in the figure of differences alone."""

BAR_SPREAD = 0.15
"""The width, in octaves of ratio, over which the codecs' points are spread where intervals are drawn."""

FIGURE_METRICS = ("psnr", "ms_ssim_db")


def draw_figures(folder: Path, run: RunRecords, tables: Tables) -> list[Drawn]:
    """Draw every figure that the tables have data for into `folder`."""
    metrics = [metric for metric in run.metrics if metric.column in FIGURE_METRICS]
    drawn = []
    with style():
        for metric in metrics:
            drawn += _ratio_figures(folder, run, tables.ratio, metric)
        points = tables.sweep[tables.sweep["complete"].astype(bool)]
        for metric in metrics:
            known = points[points[metric.column].notna()] if len(points) else points
            if len(known):
                drawn.append(_sweep_figure(folder, run, known, metric))
    return drawn


def _ratio_figures(folder: Path, run: RunRecords, table: pd.DataFrame, metric: MetricColumn) -> list[Drawn]:
    used = table[table["compared"] & table[metric.column].notna()] if len(table) else table
    drawn = [_ratio_figure(folder, run, used, metric)] if len(used) else []
    difference = f"{metric.column}_difference"
    if len(table) and difference in table and table[difference].notna().any():
        drawn.append(_difference_figure(folder, run, table, metric))
    return drawn


def _ratio_figure(folder: Path, run: RunRecords, used: pd.DataFrame, metric: MetricColumn) -> Drawn:
    """Draw the mean of a metric over the target ratio, one line per codec."""
    figure, axes = new_axes(used["codec"].nunique())
    order = by_quality(used, metric)
    bars = len(order) <= MAX_BARS and bool(used[f"{metric.column}_low"].notna().any())
    step = BAR_SPREAD / len(order) if bars else 0.0
    shift = {codec: 2 ** (step * (place - (len(order) - 1) / 2)) for place, codec in enumerate(order)}
    points = used.assign(x=used["target_ratio"] * used["codec"].map(shift))
    if bars:
        colours = [styles_of(run.codecs)[codec].colour for codec in points["codec"]]
        low, high = points[f"{metric.column}_low"].astype(float), points[f"{metric.column}_high"].astype(float)
        axes.vlines(points["x"], low, high, color=colours, linewidth=0.6, alpha=0.55)
    draw_lines(axes, run, points, "x", metric.column)
    axes.set_xscale("log", base=2)
    axes.set_xticks(run.ratios, [f"{ratio:g}x" for ratio in run.ratios])
    axes.minorticks_off()
    axes.set_xlabel("target ratio (raw bytes / file bytes)")
    axes.set_ylabel(f"mean {metric.title}")
    axes.set_title(f"Ratio protocol, {image_count(used['n'])}")
    draw_legend(axes, run, order)
    caption = (
        f"Ratio protocol: mean {metric.title} of the largest file within each target size, over the images "
        f"of the ratio ({image_count(used['n'])}). A codec has no point where it misses the target on one of them."
        + (" Bars: 95 % bootstrap intervals over images, drawn side by side." if bars else "")
    )
    return save(folder, figure, f"ratio-{slug(metric)}", caption)


def _difference_figure(folder: Path, run: RunRecords, table: pd.DataFrame, metric: MetricColumn) -> Drawn:
    """Draw paired differences from the anchor: one panel per ratio, one row per codec, best at the top."""
    from matplotlib.figure import Figure

    shown = table[table[f"{metric.column}_difference"].notna()]
    order = by_quality(shown.rename(columns={f"{metric.column}_difference": "value"}), metric, "value")
    ratios = sorted(shown["target_ratio"].unique())
    figure = Figure(figsize=(COLUMN_WIDTH, 0.75 + 0.14 * len(order)), layout="constrained")
    panels = figure.subplots(ncols=len(ratios), sharey=True, squeeze=False)
    styles = styles_of(run.codecs)
    for axes, ratio in zip(panels[0], ratios, strict=True):
        draw_dots(axes, shown[shown["target_ratio"] == ratio], f"{metric.column}_difference", order, styles)
        axes.set_title(f"{ratio:g}x")
        axes.locator_params(axis="x", nbins=3)
        axes.margins(x=0.12)
    panels[0, 0].set_yticks(range(len(order)), [short_name(run, codec) for codec in order])
    panels[0, 0].set_ylim(len(order) - 0.4, -0.6)
    anchor = shown.iloc[0]["anchor"]
    figure.supxlabel(f"{metric.title}: difference from {short_name(run, anchor)}", fontsize=7.5)
    bars = shown[f"{metric.column}_difference_low"].notna().any()
    caption = (
        f"Ratio protocol: mean paired difference of {metric.title} from {anchor}, over the images on which both "
        "meet the target" + (", with 95 % bootstrap intervals" if bars else "") + ". Hollow: a codec that misses the "
        "target on an image of the ratio, so over fewer images."
    )
    return save(folder, figure, f"difference-{slug(metric)}", caption)


def _sweep_figure(folder: Path, run: RunRecords, points: pd.DataFrame, metric: MetricColumn) -> Drawn:
    """Draw the mean of a metric over mean bits per pixel: one line per codec, one point per setting."""
    figure, axes = new_axes(points["codec"].nunique())
    draw_lines(axes, run, points, "bpp", metric.column)
    axes.set_xlabel("mean bits per pixel")
    axes.set_ylabel(f"mean {metric.title}")
    axes.set_title(f"Sweep protocol, {image_count(points['n'])}")
    draw_legend(axes, run, by_quality_at_bpp(points, metric))
    caption = (
        f"Sweep protocol: one setting for all images; bits per pixel and {metric.title} averaged over images "
        f"({image_count(points['n'])}). Comparable with published curves, not with the ratio protocol."
    )
    return save(folder, figure, f"sweep-{slug(metric)}", caption)


__all__ = ["COLUMN_WIDTH", "LEGEND_ROW", "Drawn", "draw_figures", "style"]
