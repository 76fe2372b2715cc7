"""The sweep protocol's part of report.md: data-set rate match, BD-rate, every point."""

from __future__ import annotations

import pandas as pd

from harness.analysis.columns import missing, swept
from harness.analysis.run import RunRecords, rows_of
from harness.analysis.tables import Tables
from harness.report import words
from harness.report.words import escape, markdown_table


def sweep_part(run: RunRecords, tables: Tables) -> str:
    """Return the part of the sweep protocol; empty without a sweep."""
    if not len(tables.sweep):
        return ""
    rows = [
        [row["codec"], swept(row), words.number(row["bpp"], 4)]
        + [words.number(row.get(metric.column), metric.digits) for metric in run.metrics]
        + [words.number(row.get("ms_ssim_db_of_mean"), 2), f"{row['n']}{'' if row['complete'] else ' (incomplete)'}"]
        for row in rows_of(tables.sweep)
    ]
    head = ["codec", "setting", "mean bpp", *(metric.title for metric in run.metrics)]
    head += ["dB of mean MS-SSIM", "n"]
    text = "## Sweep protocol\n\nOne setting for all images; bpp and metrics averaged over images."
    text += _rate_match(tables.rate_match) + _bd(tables.bd)
    table = markdown_table(head, rows)
    return text + f"\n\n<details><summary>All {len(rows)} points</summary>\n\n{table}\n\n</details>"


def _rate_match(table: pd.DataFrame) -> str:
    if not len(table):
        return ""
    rows = [
        [f"{row['target_ratio']:g}x", row["codec"], "nothing fits"]
        if missing(row.get("setting"))
        else [
            f"{row['target_ratio']:g}x",
            row["codec"],
            swept(row),
            words.number(row["ratio"], 2),
            words.number(row["psnr"], 2),
            words.number(row.get("ms_ssim_db"), 2),
        ]
        for row in rows_of(table)
    ]
    head = ["target ratio", "codec", "setting", "aggregate ratio", "PSNR (dB)", "MS-SSIM (dB)"]
    rows = [[*row, *[words.ABSENT] * (len(head) - len(row))] for row in rows]
    return (
        "\n\n### Data-set rate match\n\nOne setting for all images: the largest total of file bytes within "
        "sum(raw bytes) / ratio.\n\n" + markdown_table(head, rows, left=2)
    )


def _bd(table: pd.DataFrame) -> str:
    if not len(table):
        return ""
    rows = [
        [
            row["codec"],
            row["metric"],
            words.bd_rate(row),
            words.number(row.get("bd_rate_akima"), 1),
            words.number(row.get("bd_rate_cubic"), 1),
            words.number(row.get("bd_quality"), 2),
            words.percent(row["overlap"]),
            row["n"],
            row["refused"],
            row["note"],
        ]
        for row in rows_of(table)
    ]
    head = ["codec", "on", "BD-rate (pchip)", "akima (%)", "cubic (%)", "BD-quality (dB)", "smallest overlap", "n"]
    return (
        f"\n\n### BD-rate compared with {escape(table.iloc[0]['anchor'])}\n\nPer image, then averaged "
        "(BD-rate in the log of the byte ratio), with a 95 % bootstrap interval over images; "
        "negative is fewer bytes at the same quality.\n\n" + markdown_table([*head, "refused", "note"], rows, left=2)
    )
