"""Bjontegaard deltas between two rate-distortion curves, per image and then over images.

BD-rate (VCEG-M33, 2001) is the mean horizontal gap between two curves in log rate, over their common range of quality;
BD-PSNR is the mean vertical gap over their common range of rates. Both work for any quality in dB, such as MS-SSIM in
dB. The gap depends on the interpolation, so all three usual ones are computed; reports quote `pchip` (JVET-T2010).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from harness.analysis.bootstrap import Interval, bootstrap_mean
from harness.errors import UsageError

METHODS = ("pchip", "akima", "cubic")
MIN_POINTS = 4
"""The least number of non-dominated points of a curve."""
MIN_OVERLAP = 0.25
"""The least common range of two curves, as a share of the range of both together."""

Axis = Literal["rate", "quality"]


@dataclass(frozen=True)
class Curve:
    """One codec on one image: rates (bits per pixel, or bytes) and qualities (dB), in any order."""

    rates: tuple[float, ...]
    qualities: tuple[float, ...]

    def __post_init__(self) -> None:
        if len(self.rates) != len(self.qualities) or any(not 0 < rate < math.inf for rate in self.rates):
            raise UsageError(
                f"a curve has as many rates as qualities, and its rates are above 0; found {len(self.rates)} "
                f"rates from {min(self.rates, default=math.nan):g} and {len(self.qualities)} qualities."
            )

    @classmethod
    def of(cls, rates: ArrayLike, qualities: ArrayLike) -> Curve:
        """Return the curve through points in arrays."""
        return cls(*(tuple(np.asarray(axis, float).tolist()) for axis in (rates, qualities)))


@dataclass(frozen=True)
class Delta:
    """The gap between a test and an anchor curve; negative BD-rate means that the test needs fewer bytes."""

    by_method: Mapping[str, float]
    """Method -> gap, in percent for BD-rate and in dB for BD-PSNR; empty when refused."""
    overlap: float | None
    """The common range as a share of the range of both together, 0 to 1; None with too few points."""
    points: tuple[int, int]
    """The number of points used of the anchor and of the test."""
    notes: tuple[str, ...] = ()
    """The points that were left out, and why."""
    refused: str | None = None
    """Why there is no value."""

    @property
    def value(self) -> float | None:
        """The gap to quote (pchip); None when refused."""
        return self.by_method.get(METHODS[0])


@dataclass(frozen=True)
class DeltaOverImages:
    """Gaps per image and their mean; images whose gap was refused are named."""

    by_method: Mapping[str, Interval]
    """Method -> mean over images with its interval; empty where every image was refused."""
    per_image: Mapping[str, Delta]
    refused: Mapping[str, str] = field(default_factory=dict)
    """Image -> why it has no gap."""

    @property
    def interval(self) -> Interval | None:
        """The mean to quote (pchip); None where every image was refused."""
        return self.by_method.get(METHODS[0])

    @property
    def overlap(self) -> float | None:
        """The smallest overlap among the images in the mean."""
        used = [delta.overlap for delta in self.per_image.values() if delta.refused is None]
        return min((overlap for overlap in used if overlap is not None), default=None)

    @property
    def notes(self) -> tuple[str, ...]:
        """The notes and refusals of every image, each with the image's name."""
        notes = [f"{image}: {note}" for image, delta in self.per_image.items() for note in delta.notes]
        return (*notes, *(f"{image}: refused, {reason}" for image, reason in self.refused.items()))


def bd_rate(anchor: Curve, test: Curve, methods: Sequence[str] = METHODS) -> Delta:
    """Return the BD-rate in percent, by each method: how far the test's rate is above the anchor's at equal quality."""
    return _delta(anchor, test, "rate", methods)


def bd_quality(anchor: Curve, test: Curve) -> Delta:
    """Return the BD-quality in dB: how far the test's quality is above the anchor's at equal rate."""
    return _delta(anchor, test, "quality")


def mean_percent(values: ArrayLike, seed: int) -> Interval:
    """Return the geometric mean of ratios, with its interval; values and result are in percent above a ratio of 1.

    Where half of the images take twice the bytes and the other half take half, the two codecs are equally good: the
    geometric mean says so, the arithmetic mean does not.
    """
    logs = bootstrap_mean(np.log1p(np.asarray(values, dtype=np.float64) / 100), seed)
    low, high = (None if end is None else 100 * math.expm1(end) for end in (logs.low, logs.high))
    return replace(logs, mean=100 * math.expm1(logs.mean), low=low, high=high)


def bd_rate_over_images(curves: Mapping[str, tuple[Curve, Curve]], seed: int) -> DeltaOverImages:
    """Return the mean BD-rate (`mean_percent`) with its interval; `curves` maps an image to (anchor, test)."""
    return _over_images(curves, seed, bd_rate, mean_percent)


def bd_quality_over_images(curves: Mapping[str, tuple[Curve, Curve]], seed: int) -> DeltaOverImages:
    """Return the mean BD-quality with its interval; `curves` maps an image to (anchor, test)."""
    return _over_images(curves, seed, bd_quality, bootstrap_mean)


def _over_images(
    curves: Mapping[str, tuple[Curve, Curve]],
    seed: int,
    delta: Callable[[Curve, Curve], Delta],
    mean: Callable[[ArrayLike, int], Interval],
) -> DeltaOverImages:
    per_image = {image: delta(anchor, test) for image, (anchor, test) in curves.items()}
    used = [found.by_method for found in per_image.values() if found.refused is None]
    means = {method: mean([found[method] for found in used], seed) for method in METHODS} if used else {}
    refused = {image: found.refused for image, found in per_image.items() if found.refused is not None}
    return DeltaOverImages(means, per_image, refused)


@dataclass(frozen=True)
class _Points:
    """The points of a curve that are used; both axes increase."""

    log_rates: NDArray[np.float64]
    qualities: NDArray[np.float64]
    notes: tuple[str, ...]


def _non_dominated(curve: Curve, name: str) -> _Points:
    """Leave out lossless points, and points for which another is no larger and no worse."""
    kept: list[tuple[float, float]] = []
    notes = []
    for rate, quality in sorted(
        zip(curve.rates, curve.qualities, strict=True), key=lambda point: (point[0], -point[1])
    ):
        point = f"{name}: the point at rate {rate:g} and quality {quality:g}"
        if not math.isfinite(quality):
            notes.append(f"{point} is left out: its quality is not finite")
        elif kept and quality <= kept[-1][1]:
            notes.append(f"{point} is left out: {kept[-1][0]:g} already gives {kept[-1][1]:g}")
        else:
            kept.append((rate, quality))
    rates, qualities = np.array(kept, dtype=np.float64).reshape(-1, 2).T
    return _Points(np.log(rates), qualities, tuple(notes))


def _delta(anchor: Curve, test: Curve, axis: Axis, methods: Sequence[str] = METHODS) -> Delta:
    used = _non_dominated(anchor, "anchor"), _non_dominated(test, "test")
    counts = len(used[0].qualities), len(used[1].qualities)
    notes = used[0].notes + used[1].notes
    if min(counts) < MIN_POINTS:
        reason = f"{MIN_POINTS} non-dominated points per curve are needed, found {counts[0]} and {counts[1]}"
        return Delta({}, None, counts, notes, reason)
    along = [points.qualities if axis == "rate" else points.log_rates for points in used]
    gaps = [points.log_rates if axis == "rate" else points.qualities for points in used]
    low, high = max(each[0] for each in along), min(each[-1] for each in along)
    overlap = max(high - low, 0.0) / (max(each[-1] for each in along) - min(each[0] for each in along))
    if overlap < MIN_OVERLAP:
        reason = f"the curves have {100 * overlap:.0f} % of their range in common, {100 * MIN_OVERLAP:.0f} % are needed"
        return Delta({}, float(overlap), counts, notes, reason)
    means = {
        method: [_mean_between(x, y, low, high, method) for x, y in zip(along, gaps, strict=True)] for method in methods
    }
    by_method = {method: tested - base for method, (base, tested) in means.items()}
    if axis == "rate":
        by_method = {method: 100 * math.expm1(gap) for method, gap in by_method.items()}
    return Delta(by_method, float(overlap), counts, notes)


def _mean_between(x: NDArray[np.float64], y: NDArray[np.float64], low: float, high: float, method: str) -> float:
    """Return the mean over low <= x <= high of the curve through the points (cubic: of the least-squares fit)."""
    from scipy.interpolate import Akima1DInterpolator, PchipInterpolator

    if method == "cubic":
        integral = np.polyint(np.polyfit(x - low, y, 3))
        return float(np.polyval(integral, high - low) / (high - low))
    joined = (PchipInterpolator if method == "pchip" else Akima1DInterpolator)(x, y)
    return float(joined.integrate(low, high) / (high - low))
