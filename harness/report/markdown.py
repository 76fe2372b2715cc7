"""report.md: the whole report as Markdown for GitHub, with its figures."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from harness.analysis.columns import MetricColumn, missing
from harness.analysis.problems import absent_means, lossless_count, status_counts
from harness.analysis.ratio_table import PAIRED, RULE
from harness.analysis.run import RunRecords, rows_of
from harness.analysis.tables import Tables
from harness.report import words
from harness.report.figures import Drawn
from harness.report.markdown_sweep import sweep_part
from harness.report.words import escape, markdown_table


def report_text(run: RunRecords, tables: Tables, figures: Sequence[Drawn], figure_folder: str) -> str:
    """Return report.md."""
    parts = [
        f"# Report: {escape(run.manifest.suite or 'records')}",
        _summary(run),
        _ratio_part(run, tables.ratio),
        _figure_part(figures, figure_folder),
        sweep_part(run, tables),
        _control_part(run, tables.controls),
        _problem_part(tables.problems),
        "## Rules of the comparison\n\n" + "\n".join(f"- {rule}" for rule in (RULE, *words.FAIRNESS)),
        _leak_part(run),
        _repeat_part(run),
        _difference_part(run),
        _image_part(run),
        _manifest_part(run),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _summary(run: RunRecords) -> str:
    manifest = run.manifest
    counts = status_counts(run)
    images = run.records["image"].nunique()
    lines = [
        f"**{escape(words.control_verdict(manifest))}**",
        f"{len(run.codecs)} codecs, {images} images, {sum(counts.values())} records"
        + (f", started {escape(manifest.started)}" if manifest.started else "")
        + (f", {manifest.seconds:.0f} s" if manifest.seconds is not None else "")
        + ".",
    ]
    if manifest.command:
        lines.append(f"```\n{manifest.command.replace('`', '')}\n```")
    lines.append("Records by status: " + ", ".join(f"{escape(name)} {n}" for name, n in counts.items()) + ".")
    exact = lossless_count(run)
    if exact:
        lines.append(f"{exact} of them are lossless: they are counted apart and are in no mean of PSNR.")
    if 0 < images < 10:
        lines.append(f"With {images} images there are no intervals, which need at least ten images.")
    lines += [escape(text) for text in absent_means(run)]
    return "\n\n".join(lines)


def _ratio_part(run: RunRecords, table: pd.DataFrame) -> str:
    if not len(table):
        return ""
    parts = ["## Ratio protocol", _pivot(run, table)]
    for ratio in run.ratios:
        rows = rows_of(table[table["target_ratio"] == ratio])
        parts.append(f"### {ratio:g}x")
        parts.append(_ranked(run, [row for row in rows if row["compared"]]))
        parts.append(_apart([row for row in rows if not row["compared"]]))
    return "\n\n".join(part for part in parts if part)


def _pivot(run: RunRecords, table: pd.DataFrame) -> str:
    """Return a table of mean PSNR, or of the status where there is no mean: one row per codec, one column per ratio."""
    cells: dict[str, list[str]] = {}
    standing = table.groupby("codec")["rank"].mean().fillna(float("inf"))
    for row in sorted(rows_of(table), key=lambda row: float(standing[row["codec"]])):
        partial = f" ({words.partial_mean(row)})" if words.partial_mean(row) else ""
        text = f"{words.number(row.get('psnr'), 2)}{partial}" if row["compared"] else row["status"]
        cells.setdefault(words.codec_name(row), [words.ABSENT] * len(run.ratios))
        cells[words.codec_name(row)][run.ratios.index(row["target_ratio"])] = text
    head = ["codec", *(f"{ratio:g}x" for ratio in run.ratios)]
    return "Mean PSNR in dB at each target ratio.\n\n" + markdown_table(
        head, [[name, *row] for name, row in cells.items()]
    )


def _ranked(run: RunRecords, rows: Sequence[Mapping[str, Any]]) -> str:
    if not rows:
        return "No codec meets the target on every image of this ratio, so there is no ranking."
    head = ["rank", "codec", *(metric.title for metric in run.metrics), "PSNR interpolated at the target rate (dB)"]
    head += ["ratio reached", "share of the target size", f"PSNR difference from {escape(rows[0]['anchor'])}", "note"]
    body = [
        [
            " ".join(text for text in (str(int(row["rank"])), words.rank_detail(row)) if text),
            words.codec_name(row),
            *(_mean(row, metric) for metric in run.metrics),
            words.number(row.get("psnr_at_budget"), 2),
            f"{words.number(row['ratio'], 2)}x",
            words.percent(row["share_of_target"]),
            words.difference(row),
            "; ".join(text for text in (words.rank_change(row), words.partial_mean(row), _but_reached(row)) if text),
        ]
        for row in rows
    ]
    return f"n = {rows[0]['n']} of {rows[0]['images']} images.\n\n" + markdown_table(head, body, left=2)


def _mean(row: Mapping[str, Any], metric: MetricColumn) -> str:
    """Return a mean; with its interval for the metrics of `PAIRED`, so that the table is not too wide."""
    if metric.column in PAIRED:
        return words.mean(row, metric)
    return words.number(row.get(metric.column), metric.digits)


def _but_reached(row: Mapping[str, Any]) -> str:
    return "" if row["status"] == "reached" else str(row["status"])


def _apart(rows: Sequence[Mapping[str, Any]]) -> str:
    if not rows:
        return ""
    head = [
        "not in the ranking",
        "status",
        "ratio reached",
        "share of the target size",
        "PSNR difference from the anchor",
        "images",
    ]
    body = [
        [
            words.codec_name(row),
            row["status"],
            f"{words.number(row['ratio'], 2)}x" if not missing(row["ratio"]) else words.ABSENT,
            words.percent(row["share_of_target"]),
            words.difference(row),
            int(row.get("psnr_difference_n", 0)),
        ]
        for row in rows
    ]
    return markdown_table(head, body, left=2)


def _figure_part(figures: Sequence[Drawn], folder: str) -> str:
    if not figures:
        return ""
    shown = [
        f'<img src="{folder}/{figure.name}.png" width="520" alt="{figure.name}">\n\n{escape(figure.caption)} '
        f"[SVG]({folder}/{figure.name}.svg)"
        for figure in figures
    ]
    return "## Figures\n\n" + "\n\n".join(shown)


def _control_part(run: RunRecords, table: pd.DataFrame) -> str:
    if not len(table):
        return ""
    rows = [
        [
            row["codec"],
            words.number(row["ratio"], 3),
            words.number(row["total_ratio"], 3),
            f"{row['exact']} of {row['n']}",
        ]
        for row in rows_of(table)
    ]
    head = ["lossless codec", "mean ratio", "aggregate ratio", "exact"]
    return f"## Lossless control\n\n{escape(words.control_verdict(run.manifest))}\n\n" + markdown_table(head, rows)


def _problem_part(table: pd.DataFrame) -> str:
    if not len(table):
        return "## Errors and missing results\n\nNone: every codec has a result for every image."
    rows = [[row[column] for column in table.columns] for row in rows_of(table)]
    return "## Errors and missing results\n\n" + markdown_table(list(table.columns), rows, left=6)


def _leak_part(run: RunRecords) -> str:
    known = [(codec, run.leak(codec)) for codec in run.codecs if run.leak(codec) != "none"]
    if not known:
        return "## Train/test contamination\n\nNo codec here was trained on images."
    return "## Train/test contamination\n\n" + markdown_table(["learned codec", "contamination"], known, left=2)


def _repeat_part(run: RunRecords) -> str:
    command = (run.manifest.command or "harness bench").replace("`", "")
    return (
        f"## How to repeat the run\n\n```\n{command}\n```\n\n`harness report` on this folder makes this report again "
        "from `records.csv`; `harness encode` and `harness decode` check one result by hand."
    )


def _difference_part(run: RunRecords) -> str:
    told = run.manifest.differences
    if not told:
        return ""
    return "## Differences between the merged runs\n\n" + "\n".join(f"- {escape(text)}" for text in told)


def _image_part(run: RunRecords) -> str:
    if not run.manifest.images:
        return ""
    rows = [
        [
            image.name,
            f"{image.width} x {image.height}",
            f"{image.channels} x {image.sample_bits} bits",
            "; ".join(image.notes),
        ]
        for image in run.manifest.images
    ]
    table = markdown_table(["image", "pixels", "channels", "notes"], rows, left=4)
    return f"## Images\n\n<details><summary>All {len(rows)} images</summary>\n\n{table}\n\n</details>"


def _manifest_part(run: RunRecords) -> str:
    text = json.dumps(run.manifest.facts(), indent=2, sort_keys=True, ensure_ascii=False, default=str)
    longest = max((len(ticks) for ticks in re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"## Manifest\n\n<details><summary>Show</summary>\n\n{fence}json\n{text}\n{fence}\n\n</details>"
