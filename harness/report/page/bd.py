"""The page's tables of the sweep protocol: BD-rate of each pair, BD-rate to the anchor, the data-set rate match."""

from __future__ import annotations

import pandas as pd

from harness.analysis.columns import missing, swept
from harness.analysis.run import rows_of
from harness.report import words
from harness.report.page.cells import Cell, Grid, Row, number_cell, share_cell

NOT_SIGNIFICANT = "n.s."


def bd_matrix_grid(table: pd.DataFrame) -> Grid:
    """Return the matrix: one row per codec, one column per codec that it is compared with."""
    names = list(dict.fromkeys([*table["anchor"], *table["codec"]]))
    by_pair = {(row["codec"], row["anchor"]): row for row in rows_of(table)}
    worst = max((abs(row["bd_rate"]) for row in by_pair.values()), default=0) or 1
    rows = []
    for codec in names:
        cells = [Cell(codec)]
        for anchor in names:
            row = by_pair.get((codec, anchor))
            if row is None:
                cells.append(Cell("" if codec == anchor else "refused"))
                continue
            shade = round(max(0.0, -row["bd_rate"] / worst), 3)
            finding = NOT_SIGNIFICANT if words.bd_rate(row).endswith("not significant") else ""
            cells.append(Cell(words.signed(row["bd_rate"], 1), finding, float(row["bd_rate"]), shade))
        rows.append(Row(cells))
    caption = (
        "BD-rate in % on PSNR (pchip, geometric mean over images): the bytes of the row's codec compared with the "
        f"column's at equal PSNR; negative is fewer. {NOT_SIGNIFICANT} (not significant): the 95 % interval over "
        "images contains 0"
    )
    return Grid("bd-matrix", caption, ["codec", *names], rows)


def bd_grid(table: pd.DataFrame) -> Grid:
    """Return BD-rate and BD-quality compared with the anchor, by all three interpolations."""
    head = ["codec", "on", "BD-rate, pchip (%)", "akima (%)", "cubic (%)", "BD-quality (dB)", "smallest overlap", "n"]
    rows = [
        Row(
            [
                Cell(row["codec"]),
                Cell(row["metric"]),
                _rate_cell(row),
                number_cell(row.get("bd_rate_akima"), 1),
                number_cell(row.get("bd_rate_cubic"), 1),
                number_cell(row.get("bd_quality"), 2, words.interval(row, "bd_quality", 2)),
                share_cell(row["overlap"]),
                number_cell(row["n"], 0),
                number_cell(row["refused"], 0),
                Cell(row["note"]),
            ]
        )
        for row in rows_of(table)
    ]
    anchor = f" compared with {table.iloc[0]['anchor']}" if len(table) else ""
    caption = (
        f"BD-rate{anchor}: per image, then averaged (BD-rate in the log of the byte ratio), with 95 % bootstrap "
        "intervals over images"
    )
    return Grid("bd-table", caption, [*head, "images refused", "first note"], rows)


def _rate_cell(row: dict[str, object]) -> Cell:
    value, _, detail = words.bd_rate(row).partition(" % ")
    known = row.get("bd_rate")
    return Cell(value.removesuffix(" %"), detail, None if missing(known) else float(str(known)))


def rate_match_grid(table: pd.DataFrame) -> Grid:
    """Return, for each ratio, the setting whose files are, in total, the largest that fit."""
    head = ["codec", "ratio", "setting", "aggregate ratio", "mean bpp", "PSNR (dB)", "MS-SSIM (dB)"]
    rows = [
        Row(
            [
                Cell(row["codec"]),
                Cell(f"{row['target_ratio']:g}x", value=row["target_ratio"]),
                Cell("nothing fits") if missing(row.get("setting")) else Cell(swept(row), value=row["setting"]),
                number_cell(row.get("ratio"), 2),
                number_cell(row.get("bpp"), 4),
                number_cell(row.get("psnr"), 2),
                number_cell(row.get("ms_ssim_db"), 2),
            ]
        )
        for row in rows_of(table)
    ]
    caption = "Data-set rate match: the setting whose files are, in total, the largest within sum(raw bytes) / ratio"
    return Grid("rate-match-table", caption, head, rows)
