"""A run as every part of a report sees it: records with all columns, and the manifest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from harness.analysis.bootstrap import similarity_db
from harness.analysis.columns import MetricColumn, metrics_in
from harness.errors import UsageError
from harness.records.manifest import Manifest
from harness.records.record import NUMBER_COLUMNS, TEXT_COLUMNS

SEED = 20240601
"""The seed of every bootstrap of a report, so that the same records give the same report."""


@dataclass(frozen=True)
class RunRecords:
    """Records (the columns of records.csv and more) with their manifest."""

    records: pd.DataFrame
    manifest: Manifest
    codecs: tuple[str, ...]
    """Every codec but the lossless control, in the manifest's order; codecs that it lacks follow by name."""
    metrics: tuple[MetricColumn, ...]
    """Every metric of the records: PSNR and MS-SSIM first."""

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
        """Return the train/test contamination of a learned codec: "clean", "leaked" or "unknown"; "none" for others."""
        entry = self.manifest.codec(codec)
        if entry is None:
            return "none"
        return entry.leak or ("unknown" if entry.learned else "none")


def prepare(records: pd.DataFrame, manifest: Manifest) -> RunRecords:
    """Check records and add the derived columns `ms_ssim_db` and `share_of_target`.

    Raises:
        UsageError: a column is absent, or a record occurs twice.
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
    # A fixed order of records: sums of floats depend on it.
    frame = frame.sort_values(["protocol", "codec", "image", "target_ratio", "setting"], ignore_index=True)
    frame["ms_ssim_db"] = similarity_db(frame["ms_ssim"])
    target_size = frame["raw_bytes"] // frame["target_ratio"]
    frame["share_of_target"] = frame["size_bytes"] / target_size.where(target_size > 0)
    present = set(frame.loc[frame["protocol"] != "control", "codec"])
    named = dict.fromkeys(entry.id for entry in manifest.codecs if entry.id in present)
    return RunRecords(frame, manifest, (*named, *sorted(present - set(named))), metrics_in(frame, manifest))


def rows_of(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the rows of a table, each as column -> value."""
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
            f"{len(twice)} records occur twice, the first for image {first['image']!r}, codec "
            f"{first['codec']!r}, protocol {first['protocol']!r}, ratio {first['target_ratio']:g}. "
            "To make one report of several runs: `harness report A B`."
        )
