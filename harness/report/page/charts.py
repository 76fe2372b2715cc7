"""The data of the page's charts: tables and records as JSON, safe inside a <script> element, of bounded size."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pandas as pd

from harness.analysis.run import RunRecords
from harness.analysis.tables import Tables
from harness.records.record import WITH_FILE
from harness.report.styles import styles_of

MAX_RECORDS = 40_000
"""The most records that the page holds; with more, it has every k-th image, and says so."""

DIGITS = 7
"""Significant digits of numbers on the page."""


def page_data(run: RunRecords, tables: Tables) -> dict[str, Any]:
    """Return the object that page.js reads: names, styles, tables, and the records of each image."""
    styles = styles_of(run.codecs)
    images, records = _records(run)
    return {
        "codecs": [
            {
                "id": codec,
                "colour": styles[codec].colour,
                "symbol": styles[codec].symbol,
                "dash": styles[codec].dash_name,
            }
            for codec in run.codecs
        ],
        "metrics": [
            {
                "column": metric.column,
                "title": metric.title,
                "digits": metric.digits,
                "direction": metric.direction,
            }
            for metric in run.metrics
        ],
        "ratios": list(run.ratios),
        "opening": opening_ratio(run, tables.ratio),
        "anchor": tables.anchor,
        "images": images,
        "images_total": int(run.records["image"].nunique()),
        "ratio": columns_of(_without_words(tables.ratio)),
        "sweep": columns_of(tables.sweep),
        "speed": columns_of(tables.speed),
        "records": records,
    }


def opening_ratio(run: RunRecords, table: pd.DataFrame) -> float | None:
    """Return the ratio that the page shows first: the largest at which two codecs have a mean, else one, else any."""
    if not run.ratios:
        return None
    counts = table.groupby("target_ratio")["compared"].sum().clip(upper=2)
    return max(run.ratios, key=lambda ratio: (counts[ratio], ratio))


def _without_words(table: pd.DataFrame) -> pd.DataFrame:
    return table.drop(columns=[name for name in ("status", "leak", "anchor") if name in table])


def _records(run: RunRecords) -> tuple[list[str], dict[str, list[Any]]]:
    """Return the images shown, and their records as columns; image and codec are indices into lists."""
    frame = run.records[run.records["status"].isin(WITH_FILE) & (run.records["protocol"] != "control")]
    names = sorted(frame["image"].unique())
    step = max(1, math.ceil(len(frame) / MAX_RECORDS))
    shown = names[::step]
    frame = frame[frame["image"].isin(shown)].sort_values(["protocol", "codec", "image", "bpp"], kind="stable")
    columns = ["target_ratio", "setting", "size_bytes", "ratio", "bpp", *(metric.column for metric in run.metrics)]
    data = columns_of(frame[columns])
    place = {image: index for index, image in enumerate(shown)}
    codec = {name: index for index, name in enumerate(run.codecs)}
    data["image"] = [place[name] for name in frame["image"]]
    data["codec"] = [codec[name] for name in frame["codec"]]
    data["sweep"] = [int(name == "sweep") for name in frame["protocol"]]
    data["status"] = list(frame["status"])
    return shown, data


def columns_of(table: pd.DataFrame) -> dict[str, list[Any]]:
    """Return a table as lists of JSON values: numbers rounded; None where a value is absent or infinite."""
    return {str(name): [_plain(value) for value in table[name].tolist()] for name in table.columns}


def _plain(value: Any) -> Any:
    if isinstance(value, float | np.floating):
        return float(f"{value:.{DIGITS}g}") if math.isfinite(value) else None
    return value


def script_json(data: object) -> str:
    """Return JSON that no HTML parser reads as markup: `<`, `>`, `&` and line separators are escaped.

    Raises:
        ValueError: a number is not finite.
    """
    text = json.dumps(data, separators=(",", ":"), allow_nan=False)
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text
