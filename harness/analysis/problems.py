"""The further tables of a report: errors with reasons, absent values, the lossless control."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd

from harness.analysis.run import RunRecords
from harness.metrics.table import METRICS
from harness.records.record import WITH_FILE, WITHOUT_FILE

SHOWN_IMAGES = 3


def problem_rows(run: RunRecords) -> pd.DataFrame:
    """Return the records without a file, one row per codec, status and reason.

    Columns: codec, status, reason, protocol, records (how many), images (the first few names).
    """
    columns = ["codec", "status", "reason", "protocol", "records", "images"]
    found = run.records[run.records["status"].isin(WITHOUT_FILE)]
    if not len(found):
        return pd.DataFrame(columns=columns)
    groups = found.groupby(["codec", "status", "reason", "protocol"], sort=True)
    rows = groups.agg(records=("image", "size"), images=("image", some)).reset_index()
    return rows[columns]


def some(values: Iterable[str]) -> str:
    """Return the first few names: "a, b, c and 5 more"."""
    names = sorted(set(values))
    more = f" and {len(names) - SHOWN_IMAGES} more" if len(names) > SHOWN_IMAGES else ""
    return ", ".join(names[:SHOWN_IMAGES]) + more


def absent_means(run: RunRecords) -> list[str]:
    """Return a sentence for each metric without a value on some images."""
    measured = run.records[run.records["status"].isin(WITH_FILE) & (run.records["protocol"] != "control")]
    said = {}
    for metric in run.metrics:
        values = measured.groupby("image")[metric.column].count()
        images = values[values == 0].index.to_series()
        if len(images):
            known = METRICS.get(metric.column.removesuffix("_db"))
            needs = (
                f" (it takes {', '.join(known.formats)} images of at least {known.smallest_side} pixels per side)"
                if known
                else ""
            )
            said[metric.label] = (
                f"{metric.label} has no value on {some(images)}{needs}: means over these images are left out."
            )
    return list(said.values())


def control_rows(run: RunRecords) -> pd.DataFrame:
    """Return the lossless control, one row per lossless codec, best ratio first.

    Columns: codec, n (images measured), exact (images with infinite PSNR), ratio (mean over images of raw bytes
    / file bytes), total_ratio (sum of raw bytes / sum of file bytes).
    """
    controls = run.protocol("control")
    frame = controls[controls["size_bytes"].notna()]
    if not len(frame):
        return pd.DataFrame(columns=["codec", "n", "exact", "ratio", "total_ratio"])
    groups = frame.assign(exact=np.isinf(frame["psnr"])).groupby("codec", sort=True)
    rows = groups.agg(n=("image", "size"), exact=("exact", "sum"), ratio=("ratio", "mean"))
    totals = groups[["raw_bytes", "size_bytes"]].sum()
    rows["total_ratio"] = totals["raw_bytes"] / totals["size_bytes"]
    return rows.reset_index().sort_values(["total_ratio", "codec"], ascending=[False, True])


def status_counts(run: RunRecords) -> dict[str, int]:
    """Return the number of records of each status outside the lossless control, the most frequent first."""
    counts = run.records.loc[run.records["protocol"] != "control", "status"].value_counts()
    return dict(
        sorted(((str(name), int(count)) for name, count in counts.items()), key=lambda pair: (-pair[1], pair[0]))
    )


def lossless_count(run: RunRecords) -> int:
    """Return the number of lossless records outside the lossless control, which are in no mean of PSNR."""
    return status_counts(run).get("lossless", 0)
