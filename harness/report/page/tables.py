"""The tables of the page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from harness.analysis.columns import MetricColumn, missing
from harness.analysis.run import RunRecords, rows_of
from harness.analysis.tables import Tables
from harness.report import words
from harness.report.page.bd import bd_grid, bd_matrix_grid, rate_match_grid
from harness.report.page.cells import Cell, Grid, Row, number_cell, share_cell


def page_tables(run: RunRecords, tables: Tables) -> dict[str, Grid]:
    """Return every table of the page by its name in the template."""
    return {
        "ratio_table": _ratio_grid(run, tables),
        "bd_matrix": bd_matrix_grid(tables.bd_matrix),
        "bd_table": bd_grid(tables.bd),
        "rate_match_table": rate_match_grid(tables.rate_match),
        "speed_table": _speed_grid(tables.speed),
        "problem_table": _problem_grid(tables.problems),
        "control_table": _control_grid(tables.controls),
        "codec_table": _codec_grid(run),
        "image_table": _image_grid(run),
    }


def _ratio_grid(run: RunRecords, tables: Tables) -> Grid:
    first, *others = run.metrics
    head = ["codec", "ratio", "status", "rank", first.title, "PSNR interpolated at the target rate (dB)"]
    head += [f"PSNR difference from {tables.anchor} (dB)", "ratio reached", "share of the target size", "n"]
    head += [metric.title for metric in others]
    rows: list[Row] = []
    for ratio in run.ratios:
        mine = rows_of(tables.ratio[tables.ratio["target_ratio"] == ratio])
        rows += [_ratio_row(run.metrics, row, mine) for row in mine]
    return Grid("ratio-table", "Ratio protocol: means over the images of each ratio", head, rows)


def _ratio_row(metrics: Sequence[MetricColumn], row: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> Row:
    if not row["compared"]:
        return _apart_row(metrics, row)
    first, *others = metrics
    cells = [
        Cell(row["codec"], words.leak_note(row)),
        _target_cell(row),
        Cell(str(row["status"]), "; ".join(filter(None, (words.partial_mean(row), words.rank_change(row))))),
        number_cell(row["rank"], 0, words.rank_detail(row)),
        _metric_cell(first, row, rows),
        number_cell(row.get("psnr_at_budget"), 2),
        *_size_cells(row),
        *(_metric_cell(metric, row, rows) for metric in others),
    ]
    return Row(cells, f"{row['target_ratio']:g}")


def _apart_row(metrics: Sequence[MetricColumn], row: Mapping[str, Any]) -> Row:
    """Return the row of a codec without means: its status takes their place, or all of the row where it has no file."""
    status, note = str(row["status"]), words.leak_note(row)
    if missing(row["ratio"]):
        told = "; ".join(text for text in (status, note) if text)
        cells = [Cell(row["codec"]), _target_cell(row), Cell(told, span=7 + len(metrics))]
    else:
        dashes = [Cell(words.ABSENT) for _ in metrics[1:]]
        cells = [Cell(row["codec"], note), _target_cell(row), Cell(status, span=4), *_size_cells(row), *dashes]
    return Row(cells, f"{row['target_ratio']:g}", "apart")


def _target_cell(row: Mapping[str, Any]) -> Cell:
    return Cell(f"{row['target_ratio']:g}x", value=float(row["target_ratio"]))


def _size_cells(row: Mapping[str, Any]) -> list[Cell]:
    """Return the cells that a codec outside the ranking has too: difference, ratio, share of target size, images."""
    return [
        _difference_cell(row),
        number_cell(row["ratio"], 2),
        share_cell(row["share_of_target"]),
        Cell(str(row["n"]), value=row["n"]),
    ]


def _difference_cell(row: Mapping[str, Any]) -> Cell:
    value = row.get("psnr_difference")
    text = "anchor" if row["codec"] == row["anchor"] else words.signed(value)
    return Cell(text, words.difference_detail(row), None if value is None or missing(value) else float(value))


def _metric_cell(metric: MetricColumn, row: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> Cell:
    value = row.get(metric.column)
    values = [other.get(metric.column) for other in rows]
    scores = [metric.score(float(other)) for other in values if other is not None and not missing(other)]
    shade = None
    if value is not None and not missing(value) and max(scores) > min(scores):
        shade = round((metric.score(float(value)) - min(scores)) / (max(scores) - min(scores)), 3)
    return number_cell(value, metric.digits, words.interval(row, metric.column, metric.digits), shade)


def _speed_grid(table: pd.DataFrame) -> Grid:
    head = [
        "codec",
        "ratio",
        "direction",
        "megapixels per second",
        "mean PSNR (dB)",
        "images",
        "machine busy (%)",
        "no faster codec is better",
    ]
    rows = [
        Row(
            [
                Cell(row["codec"]),
                Cell(f"{row['target_ratio']:g}x", value=row["target_ratio"]),
                Cell(row["direction"]),
                number_cell(row["mp_s"], 3),
                number_cell(row["psnr"], 2),
                number_cell(row["n"], 0),
                number_cell(row["busy"], 0),
                Cell("yes" if row["best"] else ""),
            ]
        )
        for row in rows_of(table)
    ]
    return Grid("speed-table", "Speed, from the timing pass: one thread, or all where named", head, rows)


def _problem_grid(table: pd.DataFrame) -> Grid:
    head = ["codec", "reason", "status", "protocol", "images"]
    rows = [Row([*(Cell(str(row[name])) for name in head), number_cell(row["records"], 0)]) for row in rows_of(table)]
    return Grid("problem-table", "Missing results, by reason", [*head, "records"], rows)


def _control_grid(table: pd.DataFrame) -> Grid:
    rows = [
        Row(
            [
                Cell(row["codec"]),
                number_cell(row["ratio"], 3),
                number_cell(row["total_ratio"], 3),
                Cell(f"{row['exact']} of {row['n']}", value=row["exact"]),
            ]
        )
        for row in rows_of(table)
    ]
    head = ["lossless codec", "mean ratio", "aggregate ratio", "exact"]
    return Grid("control-table", "Lossless control: lossless codecs; they are in no table of ratios", head, rows)


def _codec_grid(run: RunRecords) -> Grid:
    rows = [
        Row(
            [
                Cell(entry.id),
                Cell("not learned" if entry.leak in (None, "none") else str(entry.leak)),
                Cell("; ".join(f"{key}: {value}" for key, value in entry.provenance.items())),
            ]
        )
        for entry in run.manifest.codecs
    ]
    return Grid("codec-table", "Codecs", ["codec", "train/test contamination", "versions and parameters"], rows)


def _image_grid(run: RunRecords) -> Grid:
    rows = [
        Row(
            [
                Cell(image.name),
                Cell(f"{image.width} x {image.height}"),
                number_cell(image.channels, 0),
                number_cell(image.sample_bits, 0),
                Cell("; ".join(image.notes)),
            ]
        )
        for image in run.manifest.images
    ]
    return Grid("image-table", "Images", ["image", "size (pixels)", "channels", "bits per sample", "notes"], rows)
