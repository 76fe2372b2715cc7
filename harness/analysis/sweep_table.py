"""The sweep protocol's tables: one setting for all images, bpp and metrics averaged over images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from harness.analysis.bootstrap import similarity_db
from harness.analysis.run import RunRecords, rows_of
from harness.records.record import WITH_FILE


def sweep_points(run: RunRecords) -> pd.DataFrame:
    """Return one row per codec, weights and setting, smallest mean bpp first within a codec.

    Columns: codec, weights (the target ratio that a learned codec was trained for; absent for others), setting, n,
    complete (measured on every image of the sweep, with a finite PSNR), bpp, ratio (sum of raw bytes / sum of file
    bytes), size_bytes and raw_bytes (sums), the mean of each metric (empty where one of the n images has no value), and
    `ms_ssim_db_of_mean`, the mean MS-SSIM in dB, which is not the mean of dB. A curve has complete points only: means
    over fewer images are not comparable.
    """
    frame = run.protocol("sweep")
    frame = frame[frame["status"].isin(WITH_FILE)]
    if not len(frame):
        return pd.DataFrame(columns=["codec", "weights", "setting", "n", "complete", "bpp", "ratio"])
    images = run.protocol("sweep")["image"].nunique()
    columns = [metric.column for metric in run.metrics]
    frame = frame.rename(columns={"target_ratio": "weights"})
    groups = frame.groupby(["codec", "weights", "setting"], sort=True, dropna=False)
    values = groups[["bpp", *columns]]
    points = values.mean().where(values.count().eq(groups.size(), axis=0))
    points[["size_bytes", "raw_bytes"]] = groups[["size_bytes", "raw_bytes"]].sum()
    points["n"] = groups.size()
    points["ratio"] = points["raw_bytes"] / points["size_bytes"]
    points["complete"] = (points["n"] == images) & np.isfinite(points[["bpp", "psnr"]]).all(axis=1)
    points["ms_ssim_db_of_mean"] = similarity_db(points["ms_ssim"]) if "ms_ssim" in columns else np.nan
    points = points.reset_index()
    place = {codec: index for index, codec in enumerate(run.codecs)}
    return (
        points.assign(place=points["codec"].map(place))
        .sort_values(["place", "bpp"], kind="stable")
        .drop(columns="place")
        .reset_index(drop=True)
    )


def rate_match_rows(run: RunRecords, ratios: Sequence[float]) -> pd.DataFrame:
    """Return, per ratio and codec, the setting with the largest total of bytes within sum(raw bytes) / ratio.

    Columns as `sweep_points`, and target_ratio; a codec without a complete setting that fits has only its name.
    """
    points = sweep_points(run)
    points = points[points["complete"].astype(bool)]
    rows: list[dict[str, Any]] = []
    for ratio in ratios:
        for codec, mine in points.groupby("codec", sort=False):
            fitting = mine[mine["size_bytes"] <= mine["raw_bytes"] / ratio]
            if len(fitting):
                rows.append({"target_ratio": ratio, **rows_of(fitting.nlargest(1, "size_bytes"))[0]})
            else:
                rows.append({"target_ratio": ratio, "codec": codec})
    return pd.DataFrame(rows)
