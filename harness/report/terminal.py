"""The table that `harness bench` prints at the end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd

from harness.analysis.columns import MetricColumn
from harness.analysis.problems import control_rows, problem_rows
from harness.analysis.ratio_table import ratio_rows
from harness.analysis.run import RunRecords, prepare, rows_of
from harness.analysis.sweep_table import sweep_points
from harness.records.manifest import Manifest
from harness.report import words

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

SHOWN = ("psnr", "ms_ssim", "ms_ssim_db", "ssimulacra2")
SHOWN_NARROW = ("psnr", "ms_ssim")
WIDE = 100
"""A terminal of at least so many characters has room for `SHOWN`."""
WITH_INTERVAL = "psnr"
NAME_WIDTH = 20
"""The least width of the column of names, where a name is as long."""


def print_table(records: pd.DataFrame, manifest: Manifest, console: Console) -> None:
    """Print the ratio table, then controls, problems and the lossless control's verdict."""
    from rich.text import Text

    run = prepare(records, manifest)
    table = ratio_rows(run)
    shown = SHOWN if console.width >= WIDE else SHOWN_NARROW
    for ratio in run.ratios:
        console.print(_ratio_table(run, ratio, table[table["target_ratio"] == ratio], shown))
    points = sweep_points(run)
    if len(points):
        console.print(f"Sweep protocol: {len(points)} points of {points['codec'].nunique()} codecs, in the report.")
    for row in control_rows(run).to_dict("records"):
        exact = f"exact on {row['exact']} of {row['n']}"
        console.print(Text(f"lossless: {row['codec']} {row['total_ratio']:.2f}x, {exact}"))
    for row in problem_rows(run).to_dict("records"):
        text = f"{row['status']}: {row['codec']} on {row['images']}: {row['reason']}"
        console.print(Text(text, style="red" if row["status"] == "failed" else "yellow"))
    valid = manifest.lossless_control is not None and manifest.lossless_control.valid
    console.print(Text(words.control_verdict(manifest), style="green" if valid else "bold red"))


def _ratio_table(run: RunRecords, ratio: float, rows: pd.DataFrame, shown: Sequence[str]) -> Table:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    metrics = [metric for metric in run.metrics if metric.column in shown]
    n = int(rows["n"].max())
    title = f"{ratio:g}x, means over n = {n} of {rows['images'].max()} images"
    if rows["psnr_low"].notna().any():
        title += "; the 95 % interval is below PSNR"
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("codec", overflow="fold", min_width=min(NAME_WIDTH, max(map(len, rows["codec"]))))
    for metric in metrics:
        table.add_column(f"{metric.label}\n{metric.unit}", justify="right", no_wrap=True)
    for name in ("at target\nrate", "ratio", "share of\ntarget"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("status", min_width=12)
    for row in rows_of(rows):
        cells = _cells(row, metrics)
        table.add_row(*(Text(cell) for cell in cells), style=None if row["compared"] else "dim")
    return table


def _cells(row: Mapping[str, Any], metrics: list[MetricColumn]) -> list[str]:
    notes = [text for text in (str(row["status"]), words.partial_mean(row), words.rank_change(row)) if text]
    return [
        words.codec_name(row),
        *(_mean(row, metric) for metric in metrics),
        words.number(row.get("psnr_at_budget"), 2),
        words.number(row["ratio"], 2),
        words.percent(row["share_of_target"]),
        "; ".join(notes),
    ]


def _mean(row: Mapping[str, Any], metric: MetricColumn) -> str:
    """Return a mean and, for `WITH_INTERVAL`, its interval on a second line: "38.95–40.52"."""
    text = words.number(row.get(metric.column), metric.digits)
    inside = words.interval(row, metric.column, metric.digits) if metric.column == WITH_INTERVAL else ""
    return f"{text}\n{inside.replace(' to ', '–')}" if inside else text
