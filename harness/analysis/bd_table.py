"""BD-rate and BD-quality of a run's sweep: each codec compared with the anchor, and each with every other."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from harness.analysis.bd_rate import (
    METHODS,
    Curve,
    DeltaOverImages,
    bd_quality_over_images,
    bd_rate,
    bd_rate_over_images,
    mean_percent,
)
from harness.analysis.columns import describe
from harness.analysis.run import SEED, RunRecords

METRICS = ("psnr", "ms_ssim_db")
"""The metrics, in dB, of the deltas."""

MAX_DELTAS = 20_000
"""The most deltas of single images in one table; with more images, every k-th is used, and n says how many."""

Curves = Mapping[str, Mapping[str, Curve]]
"""Codec -> image -> curve."""


def curves_of(run: RunRecords, metric: str, protocol: str = "sweep") -> Curves:
    """Return the curve of each codec on each image: a metric over bits per pixel."""
    frame = run.protocol(protocol)
    frame = frame[frame["bpp"].notna() & frame[metric].notna()].sort_values("bpp", kind="stable")
    found: dict[str, dict[str, Curve]] = {}
    for (codec, image), mine in frame.groupby(["codec", "image"], sort=True):
        found.setdefault(str(codec), {})[str(image)] = Curve.of(mine["bpp"].to_numpy(), mine[metric].to_numpy())
    return {codec: found[codec] for codec in run.codecs if codec in found}


def bd_rows(run: RunRecords, anchor: str | None) -> pd.DataFrame:
    """Return one row per metric and codec other than the anchor (or, if it was not swept, the first codec that was).

    Columns: codec, anchor, column (of the metric), metric, bd_rate with bd_rate_low, bd_rate_high (percent, pchip),
    bd_rate_akima, bd_rate_cubic, bd_quality with its limits (dB, pchip), overlap (the smallest of an image), n (images
    in the means), refused (images without a value), note (the first reason, or the first point left out).
    """
    rows: list[dict[str, Any]] = []
    for metric in (metric for metric in METRICS if run.records[metric].notna().any()):
        curves = curves_of(run, metric)
        base = anchor if anchor is not None and anchor in curves else next(iter(curves), "")
        others = [codec for codec in curves if codec != base]
        for codec in others:
            pairs = _pairs(curves[base], curves[codec], MAX_DELTAS // (2 * len(others)))
            rate, quality = bd_rate_over_images(pairs, SEED), bd_quality_over_images(pairs, SEED)
            row = {"codec": codec, "anchor": base, "column": metric, "metric": describe(metric).title}
            rows.append({**row, **_values("bd_rate", rate), **_values("bd_quality", quality), **_facts(rate)})
    return pd.DataFrame(rows)


def _pairs(base: Mapping[str, Curve], test: Mapping[str, Curve], limit: int) -> dict[str, tuple[Curve, Curve]]:
    """Return the curves of the common images, or of every k-th where there are more than `limit`."""
    shared = [image for image in base if image in test]
    step = max(1, math.ceil(len(shared) / max(1, limit)))
    return {image: (base[image], test[image]) for image in shared[::step]}


def _values(name: str, found: DeltaOverImages) -> dict[str, Any]:
    if found.interval is None:
        return {}
    values = {f"{name}_{method}": found.by_method[method].mean for method in METHODS[1:]}
    return {name: found.interval.mean, f"{name}_low": found.interval.low, f"{name}_high": found.interval.high, **values}


def _facts(found: DeltaOverImages) -> dict[str, Any]:
    n = len(found.per_image) - len(found.refused)
    notes = [*(f"{image}: {reason}" for image, reason in found.refused.items()), *found.notes]
    more = f" (and {len(found.notes) - 1} more notes)" if len(found.notes) > 1 else ""
    return {
        "overlap": found.overlap,
        "n": n,
        "refused": len(found.refused),
        "note": f"{notes[0]}{more}" if notes else "",
    }


def bd_matrix(run: RunRecords, codecs: Sequence[str] | None = None) -> pd.DataFrame:
    """Return the mean BD-rate (percent, pchip, PSNR) of each codec compared with each other, one row per pair.

    The mean is geometric, so (a, b) is the inverse of (b, a).
    Columns: codec, anchor, bd_rate, bd_rate_low, bd_rate_high, n. Pairs without a value on any image are absent.
    """
    curves = curves_of(run, "psnr")
    names = [codec for codec in codecs or curves if codec in curves]
    pairs = [(test, base) for place, base in enumerate(names) for test in names[place + 1 :]]
    rows: list[dict[str, Any]] = []
    for test, base in pairs:
        shared = _pairs(curves[base], curves[test], MAX_DELTAS // len(pairs)).values()
        deltas = [bd_rate(*both, methods=METHODS[:1]).value for both in shared]
        gaps = [delta for delta in deltas if delta is not None]
        if gaps:
            rows.append(_pair_row(test, base, gaps))
            # The gap is a mean of log rates, so the reverse comparison is exactly the inverse of each image's ratio.
            rows.append(_pair_row(base, test, [100 * (1 / (1 + gap / 100) - 1) for gap in gaps]))
    return pd.DataFrame(rows, columns=["codec", "anchor", "bd_rate", "bd_rate_low", "bd_rate_high", "n"])


def _pair_row(codec: str, anchor: str, gaps: Sequence[float]) -> dict[str, Any]:
    interval = mean_percent(gaps, SEED)
    limits = {"bd_rate_low": interval.low, "bd_rate_high": interval.high}
    return {"codec": codec, "anchor": anchor, "bd_rate": interval.mean, **limits, "n": interval.n}
