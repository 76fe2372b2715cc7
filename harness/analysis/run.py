"""One run as every part of a report sees it: records with all columns, and what the manifest adds to them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from harness.analysis.bootstrap import similarity_db
from harness.analysis.columns import Metric, metrics_in
from harness.errors import UsageError
from harness.records.manifest import Manifest
from harness.records.record import NUMBER_COLUMNS, TEXT_COLUMNS

SEED = 20240601
"""Seed of every bootstrap in a report: the same records give the same report."""


@dataclass(frozen=True)
class Run:
    """Records (the columns of records.csv and more), and the manifest that belongs to them."""

    records: pd.DataFrame
    manifest: Manifest
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
        """Return "clean", "leaked" or "unknown" for a learned codec, "none" for one that learns nothing."""
        entry = self.manifest.codec(codec)
        if entry is None:
            return "none"
        return entry.leak or ("unknown" if entry.learned else "none")


def prepare(records: pd.DataFrame, manifest: Manifest) -> Run:
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
    for column in TEXT_COLUMNS:
        frame[column] = frame[column].fillna("").astype(str) if column in frame else ""
    for column in NUMBER_COLUMNS:
        frame[column] = pd.to_numeric(frame[column]).astype(float) if column in frame else np.nan
    _check_once(frame)
    # One order for all: sums of numbers depend on theirs.
    frame = frame.sort_values(["protocol", "codec", "image", "target_ratio", "setting"], ignore_index=True)
    frame["ms_ssim_db"] = similarity_db(frame["ms_ssim"])
    budget = frame["raw_bytes"] // frame["target_ratio"]
    frame["budget_used"] = frame["size_bytes"] / budget.where(budget > 0)  # of 0 bytes no share is used
    present = set(frame.loc[frame["protocol"] != "control", "codec"])
    named = dict.fromkeys(entry.id for entry in manifest.codecs if entry.id in present)
    return Run(frame, manifest, (*named, *sorted(present - set(named))), metrics_in(frame, manifest))


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
