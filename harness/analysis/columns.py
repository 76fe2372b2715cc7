"""The columns of records.csv in a report: which are metrics, and how each is printed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from harness.metrics.table import METRICS
from harness.records.manifest import Manifest

FIRST = ("psnr", "ms_ssim", "ms_ssim_db", "ssim", "psnr_y")
"""The base metrics, in the order of a report."""

LABELS = {
    "psnr": "PSNR",
    "psnr_y": "PSNR-Y",
    "ssim": "SSIM",
    "ms_ssim": "MS-SSIM",
    "ms_ssim_db": "MS-SSIM",
    "ssimulacra2": "SSIMULACRA2",
    "vmaf": "VMAF",
    "psnr_hvs_m": "PSNR-HVS-M",
    "lpips": "LPIPS",
    "enl_ratio": "ENL ratio",
    "epi": "EPI",
}
DIGITS = {"dB": 2, "points": 2, "": 5}
"""Decimals by unit."""


@dataclass(frozen=True)
class MetricColumn:
    """The name, format and direction of a metric."""

    column: str
    label: str
    unit: str = ""
    direction: str = "higher"
    """"higher", "lower" or "nearer 1": which values are better."""

    @property
    def digits(self) -> int:
        """The number of decimals to print."""
        return DIGITS.get(self.unit, 3)

    @property
    def title(self) -> str:
        """Its label with its unit, for an axis."""
        return f"{self.label} ({self.unit})" if self.unit else self.label

    def score(self, value: float) -> float:
        """Return a number that is larger for a better value."""
        return {"higher": value, "lower": -value}.get(self.direction, -abs(value - 1))


def missing(value: Any) -> bool:
    """Return whether a cell is empty: None or NaN."""
    return value is None or bool(pd.isna(value))


def swept(row: Mapping[str, Any]) -> str:
    """Return the setting of a sweep's point, for a learned codec with the ratio that its weights were trained for."""
    weights = "" if missing(row.get("weights")) else f" (weights for {row['weights']:g}x)"
    return f"{row['setting']:g}{weights}"


def describe(column: str, manifest: Manifest | None = None) -> MetricColumn:
    """Return the format of a metric of METRICS, of the manifest, or `ms_ssim_db`; any other is a plain number."""
    if column == "ms_ssim_db":
        return MetricColumn(column, LABELS[column], "dB")
    label = LABELS.get(column, column)
    if known := METRICS.get(column):
        return MetricColumn(column, label, known.unit, known.direction)
    entry = manifest.metrics_of_others.get(column) if manifest else None
    return MetricColumn(column, label, entry.unit, entry.direction) if entry else MetricColumn(column, label)


def metrics_in(records: pd.DataFrame, manifest: Manifest) -> tuple[MetricColumn, ...]:
    """Return the metrics with values in the records: the base ones, then others of METRICS or of the manifest."""
    named = {*METRICS, *manifest.metric_versions}
    more = [str(column) for column in records.columns if column in named and column not in FIRST]
    shown = (column for column in (*FIRST, *more) if column == FIRST[0] or records[column].notna().any())
    return tuple(describe(column, manifest) for column in shown)
