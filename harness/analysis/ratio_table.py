"""The ratio table: per ratio and codec, means over the same images, with intervals, counts and differences."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from harness.analysis.bootstrap import (
    DECIMALS_OF_RANK,
    MIN_IMAGES_FOR_INTERVAL,
    PairedDifference,
    bootstrap_mean,
    paired_difference,
    rank_stability,
)
from harness.analysis.run import SEED, RunRecords
from harness.records.record import AT_A_RATIO, WITH_FILE, WITHOUT_FILE

STATUSES = tuple(status.value for status in (*AT_A_RATIO, *WITHOUT_FILE))
"""The statuses that are counted, each in a column of its own."""

PAIRED = ("psnr", "ms_ssim_db")
"""The metrics, in dB, with paired differences from the anchor."""


RULE = (
    "All means at a ratio are over the same images: those on which at least half of the codecs that meet the target "
    "on any image do so. A codec that misses the target on one of these images has no mean and no rank: it is listed "
    "below the ranking, with its counts and its paired difference from the anchor over the images on which both meet "
    "the target. (Capped images are the easy ones; a mean without them would be biased by dB.) Where a mean leaves "
    "out images, it says over how many it is."
)
"""How the images and codecs of a ratio's means are chosen."""


@dataclass(frozen=True)
class Comparison:
    """The codecs and images of one ratio's means, chosen by `RULE`."""

    ratio: float
    codecs: tuple[str, ...]
    """The codecs that meet the target on every image of `images`; best mean PSNR first."""
    apart: tuple[str, ...]
    """Every other codec with a record at this ratio."""
    images: tuple[str, ...]
    left_out: tuple[str, ...]
    """The images with records at this ratio that are in no mean."""


def reached(frame: pd.DataFrame) -> NDArray[np.bool_]:
    """Return for each record whether it meets the target, with a finite PSNR."""
    found: NDArray[np.bool_] = np.isfinite(frame["psnr"].to_numpy(float)) & frame["status"].eq("reached").to_numpy(bool)
    return found


def comparison(run: RunRecords, ratio: float) -> Comparison:
    """Apply `RULE` to one ratio."""
    frame = run.at_ratio(ratio)
    every_image = sorted(frame["image"].unique())
    present = set(frame["codec"].unique())
    codecs = [codec for codec in run.codecs if codec in present]
    values = frame[reached(frame)].pivot(index="image", columns="codec", values="psnr")
    values = values.reindex(sorted(values.index))
    shared = values[values.notna().mean(axis=1) >= 0.5]
    means = shared.loc[:, shared.notna().all()].mean() if len(shared) else pd.Series(dtype=float)
    ranked = sorted((codec for codec in codecs if codec in means), key=lambda codec: -float(means[codec]))
    images = dict.fromkeys(str(image) for image in shared.index) if ranked else {}
    return Comparison(
        ratio=ratio,
        codecs=tuple(ranked),
        apart=tuple(codec for codec in codecs if codec not in ranked),
        images=tuple(images),
        left_out=tuple(image for image in every_image if image not in images),
    )


def anchor_of(run: RunRecords, comparisons: list[Comparison]) -> str | None:
    """Return the codec that others are compared with: the manifest's `anchor`.

    Without one, it is the first codec of the run among those with a mean at the most ratios; None without codecs.
    """
    if run.manifest.anchor in run.codecs:
        return run.manifest.anchor
    counts = {codec: sum(codec in found.codecs for found in comparisons) for codec in run.codecs}
    return max(run.codecs, key=lambda codec: counts[codec], default=None)


def ratio_rows(run: RunRecords) -> pd.DataFrame:
    """Return the ratio table, one row per ratio and codec: the compared codecs by rank, then the others.

    Columns: target_ratio, codec, compared, rank, rank_share (how often it has this rank when the images are
    resampled; from n = 10), rank_at_budget (by psnr_at_budget), n (images of the means), images (with a record), for
    each metric its mean and `_low`, `_high` (95 %; empty below n = 10), psnr_at_budget, ratio, bpp, share_of_target
    (means over the images of the ratio for a compared codec, over all with a file for another), one count per status,
    not_measured, status (in words), leak, anchor, and for each of `PAIRED` (say psnr) the paired difference from the
    anchor, codec - anchor, over the images on which both meet the target: psnr_difference, psnr_difference_low,
    psnr_difference_high, psnr_difference_n, psnr_wins, psnr_losses, psnr_verdict.
    """
    comparisons = [comparison(run, ratio) for ratio in run.ratios]
    anchor = anchor_of(run, comparisons)
    rows = [row for found in comparisons for row in _rows_of(run, found, run.at_ratio(found.ratio), anchor)]
    return pd.DataFrame(rows)


def _rows_of(run: RunRecords, found: Comparison, frame: pd.DataFrame, anchor: str | None) -> list[dict[str, Any]]:
    used = frame[frame["image"].isin(found.images)]
    ranks, shares = _ranks_at_budget(found, used), _rank_shares(found, used)
    by_codec, used_by_codec = dict(list(frame.groupby("codec", sort=False))), dict(list(used.groupby("codec")))
    total = frame["image"].nunique()
    paired = [metric.column for metric in run.metrics if metric.column in PAIRED]
    values = frame[reached(frame)].pivot(index="image", columns="codec", values=paired).sort_index()
    rows = []
    for position, codec in enumerate((*found.codecs, *found.apart)):
        compared = codec in found.codecs
        rows.append(
            {
                "target_ratio": found.ratio,
                "codec": codec,
                "compared": compared,
                "rank": position + 1 if compared else None,
                "rank_share": shares.get(codec),
                "rank_at_budget": ranks.get(codec),
                **_means(run, used_by_codec[codec] if compared else by_codec[codec], compared),
                **_counts(by_codec[codec], total),
                "leak": run.leak(codec),
                "anchor": anchor,
                **{key: value for name in paired for key, value in _difference(values, name, codec, anchor).items()},
            }
        )
    return rows


def _rank_shares(found: Comparison, used: pd.DataFrame) -> dict[str, float]:
    """Return how often each compared codec keeps its rank by mean PSNR when the images are resampled."""
    if len(found.images) < MIN_IMAGES_FOR_INTERVAL:
        return {}
    values = used.pivot(index="image", columns="codec", values="psnr").sort_index()
    stability = rank_stability(values[list(found.codecs)].to_numpy(), SEED)
    return {codec: float(stability.probability[place, place]) for place, codec in enumerate(found.codecs)}


def _ranks_at_budget(found: Comparison, used: pd.DataFrame) -> dict[str, int]:
    """Return the rank of each compared codec by mean `psnr_at_budget`; empty where one of them lacks a value."""
    used = used[used["codec"].isin(found.codecs)]
    if not len(used) or used["psnr_at_budget"].isna().any():
        return {}
    means = used.groupby("codec")["psnr_at_budget"].mean().round(DECIMALS_OF_RANK)
    ordered = sorted(found.codecs, key=lambda codec: (-float(means[codec]), found.codecs.index(codec)))
    return {codec: place + 1 for place, codec in enumerate(ordered)}


def _means(run: RunRecords, used: pd.DataFrame, compared: bool) -> dict[str, Any]:
    """Return means and intervals over records; for a codec outside the ranking, sizes of the records with a file."""
    if not compared:
        used = used[used["status"].isin(WITH_FILE) & used["size_bytes"].notna()]
    row: dict[str, Any] = {"n": len(used) if compared else 0}
    for metric in run.metrics:
        values = used[metric.column].to_numpy(float)
        known = compared and len(values) > 0 and bool(np.isfinite(values).all())
        interval = bootstrap_mean(values, SEED) if known else None
        row[metric.column] = interval.mean if interval else None
        row[f"{metric.column}_low"] = interval.low if interval else None
        row[f"{metric.column}_high"] = interval.high if interval else None
    at_budget = used["psnr_at_budget"]
    row["psnr_at_budget"] = at_budget.mean() if compared and at_budget.notna().all() else None
    for column in ("ratio", "bpp", "share_of_target"):
        row[column] = used[column].mean() if len(used) else None
    return row


def _counts(frame: pd.DataFrame, total: int) -> dict[str, Any]:
    counts = frame["status"].value_counts()
    row: dict[str, Any] = {status: int(counts.get(status, 0)) for status in STATUSES}
    row["images"] = total
    row["not_measured"] = total - len(frame)
    row["status"] = status_text(row)
    return row


def status_text(counts: Mapping[str, Any]) -> str:
    """Return a codec's statuses in words: "capped on 8 of 24"; "reached" where all are."""
    total = counts["images"]
    if counts["reached"] == total:
        return "reached"
    parts = [(name, counts[name]) for name in STATUSES if name != "reached"]
    parts.append(("not measured", counts["not_measured"]))
    return ", ".join(f"{name} on {count} of {total}" for name, count in parts if count)


def _difference(values: pd.DataFrame, metric: str, codec: str, anchor: str | None) -> dict[str, Any]:
    """Return the paired difference of a metric; `values` has one row per image and columns (metric, codec)."""
    if anchor is None or codec == anchor or not {(metric, codec), (metric, anchor)} <= set(values.columns):
        return {f"{metric}_difference_n": 0}
    both = values[metric][[codec, anchor]].replace(np.inf, np.nan).dropna()
    if not len(both):
        return {f"{metric}_difference_n": 0}
    found = paired_difference(both[codec].to_numpy(), both[anchor].to_numpy(), SEED)
    return {
        f"{metric}_difference": found.mean,
        f"{metric}_difference_low": found.low,
        f"{metric}_difference_high": found.high,
        f"{metric}_difference_n": found.n,
        f"{metric}_wins": found.wins,
        f"{metric}_losses": found.losses,
        f"{metric}_verdict": verdict(found),
    }


def verdict(found: PairedDifference) -> str:
    """Return the verdict on a difference: "better", "worse", "not significant"."""
    if found.low is None:
        return f"no interval at n = {found.n}"
    if not found.significant:
        return "not significant"
    return "better" if found.mean > 0 else "worse"
