"""One run as every part of a report sees it: records with all columns, and what the manifest adds to them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from harness.analysis.columns import NUMBERS, TEXT, Metric, metrics_in
from harness.errors import UsageError

SEED = 20240601
"""Seed of every bootstrap in a report: the same records give the same report."""

MEASURED = ("reached", "capped", "unreachable", "lossless", "measured")
"""Statuses of records that have a file; the others have a reason instead."""

PROBLEMS = ("failed", "unsupported", "missing", "leaked")


@dataclass(frozen=True)
class Run:
    """Records (columns of `columns.BASE` and more), and the manifest that belongs to them."""

    records: pd.DataFrame
    manifest: Mapping[str, Any]
    codecs: tuple[str, ...]
    """Every codec that is no control, in the manifest's order; those it does not name follow by name."""
    metrics: tuple[Metric, ...]
    """Every metric that the records have: PSNR and MS-SSIM first."""

    @property
    def ratios(self) -> tuple[float, ...]:
        """The target ratios (raw bytes / file bytes) of the ratio protocol, smallest first."""
        found = self.protocol("ratio")["target_ratio"].dropna().unique()
        return tuple(sorted(float(ratio) for ratio in found))

    def protocol(self, name: str) -> pd.DataFrame:
        """Return the records of one protocol: "ratio", "sweep" or "control"."""
        return self.records[self.records["protocol"] == name]

    def at_ratio(self, ratio: float) -> pd.DataFrame:
        """Return the ratio protocol's records at one target ratio."""
        found = self.protocol("ratio")
        return found[found["target_ratio"] == ratio]

    def leak(self, codec: str) -> str:
        """Return "clean", "leaked" or "unknown" for a learned codec, "none" for one that learns nothing.

        A learned codec of which the manifest does not say is unknown.
        """
        entry = self.about(codec)
        return str(entry.get("leak") or ("unknown" if entry.get("learned") else "none"))

    def about(self, codec: str) -> Mapping[str, Any]:
        """Return the manifest's entry of a codec; empty where it has none."""
        entries = self.manifest.get("codecs") or ()
        return next((entry for entry in entries if entry.get("id") == codec), {})


def prepare(records: pd.DataFrame, manifest: Mapping[str, Any]) -> Run:
    """Check records and add what a report derives from them: `ms_ssim_db` and `budget_used`.

    Raises:
        UsageError: a column is absent, or a record is there twice.
    """
    absent = [column for column in ("image", "codec", "protocol", "status") if column not in records]
    if absent:
        raise UsageError(
            f"the records have no column {', '.join(absent)}; found: {', '.join(map(str, records.columns))}."
        )
    frame = records.copy()
    for column in TEXT:
        frame[column] = frame[column].fillna("").astype(str) if column in frame else ""
    for column in NUMBERS:
        frame[column] = pd.to_numeric(frame[column]).astype(float) if column in frame else np.nan
    _check_once(frame)
    # One order for all: sums of numbers depend on theirs.
    frame = frame.sort_values(["protocol", "codec", "image", "target_ratio", "setting"], ignore_index=True)
    frame["ms_ssim_db"] = decibels(frame["ms_ssim"])
    budget = frame["raw_bytes"] // frame["target_ratio"]
    frame["budget_used"] = frame["size_bytes"] / budget.where(budget > 0)  # of 0 bytes no share is used
    return Run(frame, manifest, _codec_order(frame, manifest), metrics_in(frame, manifest))


def decibels(values: pd.Series[float]) -> pd.Series[float]:
    """Return -10 log10(1 - x) of each value of MS-SSIM, in dB; infinite where x is 1."""
    with np.errstate(divide="ignore"):
        return pd.Series(-10 * np.log10(1 - values.to_numpy(float)), values.index)


def rows_of(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Return a table's rows, each as column -> value."""
    names = [str(name) for name in table.columns]
    return [dict(zip(names, row, strict=True)) for row in table.itertuples(index=False, name=None)]


def _check_once(frame: pd.DataFrame) -> None:
    """Raise UsageError where two records have the same image, codec, protocol and target."""
    setting = frame["setting"].where(frame["protocol"] != "ratio")
    key = frame[["image", "codec", "protocol", "target_ratio"]].assign(setting=setting)
    twice = frame[key.duplicated()]
    if len(twice):
        first = twice.iloc[0]
        raise UsageError(
            f"{len(twice)} records are there twice, the first for image {first['image']!r}, codec "
            f"{first['codec']!r}, protocol {first['protocol']!r}, ratio {first['target_ratio']:g}. "
            "One report of several runs: `harness report A B`."
        )


def _codec_order(frame: pd.DataFrame, manifest: Mapping[str, Any]) -> tuple[str, ...]:
    present = set(frame.loc[frame["protocol"] != "control", "codec"])
    named = [str(entry["id"]) for entry in manifest.get("codecs") or () if entry.get("id") in present]
    return (*dict.fromkeys(named), *sorted(present - set(named)))
