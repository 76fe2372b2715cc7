"""Confidence intervals for means over images, paired differences, and ranks under resampling.

Values are per image, then averaged over images. Every interval is a seeded bootstrap over images.
BD-rate and BD-PSNR are in `harness.analysis.bd_rate`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from harness.errors import UsageError

MIN_IMAGES_FOR_INTERVAL = 10
"""The least number of images for an interval."""
CONFIDENCE = 0.95
RESAMPLES = 10_000

_MAX_DRAWS = 5_000_000
"""With very many images fewer resamples are drawn, at least 1000: their means scatter less."""
DECIMALS_OF_RANK = 9
"""Means are rounded to this many decimals before ranking, so that the order of a sum breaks no tie."""


@dataclass(frozen=True)
class Interval:
    """A mean over images and, from `MIN_IMAGES_FOR_INTERVAL` images on, its bootstrap interval."""

    mean: float
    low: float | None
    high: float | None
    n: int
    """Number of images."""
    method: Literal["BCa", "percentile", "none"]
    """BCa (Efron 1987); percentile where BCa is degenerate; none with too few images."""
    confidence: float = CONFIDENCE
    resamples: int = RESAMPLES


@dataclass(frozen=True)
class PairedDifference:
    """The differences a - b of two codecs, image by image."""

    interval: Interval
    wins: int
    """Number of images on which a is larger."""
    losses: int
    ties: int

    @property
    def mean(self) -> float:
        """Mean of a - b."""
        return self.interval.mean

    @property
    def low(self) -> float | None:
        """Lower end of the interval; None with too few images."""
        return self.interval.low

    @property
    def high(self) -> float | None:
        """Upper end of the interval; None with too few images."""
        return self.interval.high

    @property
    def n(self) -> int:
        """Number of images."""
        return self.interval.n

    @property
    def significant(self) -> bool:
        """Whether there is an interval that does not contain 0."""
        return self.low is not None and self.high is not None and not self.low <= 0 <= self.high

    def in_words(self, unit: str = "") -> str:
        """Return a sentence such as "higher by 0.48 dB (95 % interval 0.35 to 0.61, n = 24)"."""
        unit = f" {unit}" if unit else ""
        if self.low is None or self.high is None:
            least = MIN_IMAGES_FOR_INTERVAL
            return f"mean difference {self.mean:+.3g}{unit}, no interval (n = {self.n}, at least {least} are needed)"
        limits = f"{100 * self.interval.confidence:g} % interval {self.low:.3g} to {self.high:.3g}, n = {self.n}"
        if not self.significant:
            return f"not significant: mean difference {self.mean:+.3g}{unit} ({limits})"
        return f"{'higher' if self.mean > 0 else 'lower'} by {abs(self.mean):.3g}{unit} ({limits})"


@dataclass(frozen=True)
class RankStability:
    """How often each codec has each rank when the images are resampled."""

    probability: NDArray[np.float64]
    """(codecs, ranks), rank 1 first; rows sum to 1. Tied codecs share their ranks equally."""
    n: int
    """Number of images."""


def bootstrap_mean(
    values: ArrayLike, seed: int, confidence: float = CONFIDENCE, resamples: int = RESAMPLES
) -> Interval:
    """Return the mean of one value per image, with its bootstrap interval over images.

    Raises:
        UsageError: there is no value, or one is infinite or not a number (lossless records are counted apart).
    """
    data = _finite(values)
    count, mean = len(data), float(data.mean())
    resamples = min(resamples, max(1000, _MAX_DRAWS // count))
    if count < MIN_IMAGES_FOR_INTERVAL:
        return Interval(mean, None, None, count, "none", confidence, resamples)
    deviations = data - mean
    offsets = _resampling(count, seed, resamples) @ deviations / count
    tails = (1 - confidence) / 2, (1 + confidence) / 2
    accelerated = _accelerated(deviations, offsets, tails)
    low, high = (mean + float(end) for end in np.quantile(offsets, accelerated or tails))
    return Interval(mean, low, high, count, "BCa" if accelerated else "percentile", confidence, resamples)


def _finite(values: ArrayLike) -> NDArray[np.float64]:
    data = np.asarray(values, dtype=np.float64)
    if not data.size or not np.isfinite(data).all():
        raise UsageError(
            f"an interval needs finite values, one per image; found {data.size} values, "
            f"{int((~np.isfinite(data)).sum())} of them infinite or missing."
        )
    return data


@lru_cache(maxsize=8)
def _resampling(count: int, seed: int, resamples: int) -> NDArray[np.float64]:
    """Return how often each resample draws each image, (resamples, count); the same for every codec and metric."""
    drawn = np.random.default_rng(seed).integers(0, count, (resamples, count))
    places = drawn + count * np.arange(resamples)[:, None]
    times = np.bincount(places.ravel(), minlength=resamples * count).reshape(resamples, count).astype(np.float64)
    times.setflags(write=False)
    return times


def _accelerated(
    deviations: NDArray[np.float64], offsets: NDArray[np.float64], tails: tuple[float, float]
) -> tuple[float, float] | None:
    """Return BCa's quantiles instead of `tails` (Efron 1987, section 4); None where it is degenerate.

    `deviations` are the values, `offsets` the means of the resamples, both minus the mean of the values.
    """
    from scipy.special import ndtr, ndtri

    largest = float(np.abs(deviations).max())
    if largest == 0:
        return None
    below = float((offsets < -1e-12 * largest).mean() + (np.abs(offsets) <= 1e-12 * largest).mean() / 2)
    if not 0 < below < 1:
        return None
    bias = ndtri(below)
    scaled = deviations / largest
    acceleration = float((scaled**3).sum() / (6 * (scaled**2).sum() ** 1.5))
    normal = bias + ndtri(np.array(tails))
    if (acceleration * normal >= 1).any():
        return None
    low, high = ndtr(bias + normal / (1 - acceleration * normal))
    return float(low), float(high)


def paired_difference(a: ArrayLike, b: ArrayLike, seed: int) -> PairedDifference:
    """Return the differences a - b; a and b have one value per image, in the same order of images.

    Raises:
        UsageError: they differ in length, are empty, or a value is infinite or not a number.
    """
    first, second = _finite(a), _finite(b)
    if first.shape != second.shape:
        raise UsageError(f"paired values must be of the same images; found {first.shape} and {second.shape} values.")
    differences = first - second
    wins, losses = int((differences > 0).sum()), int((differences < 0).sum())
    ties = len(differences) - wins - losses
    return PairedDifference(bootstrap_mean(differences, seed), wins, losses, ties)


def rank_stability(table: ArrayLike, seed: int, resamples: int = RESAMPLES) -> RankStability:
    """Return the probability of each rank of each codec, by its mean over resampled images.

    `table` is (images, codecs); the highest mean has rank 1. Negate a metric whose lower values are better.

    Raises:
        UsageError: it is empty, not of two dimensions, or a value is infinite or not a number.
    """
    values = _finite(table)
    if values.ndim != 2:
        raise UsageError(f"ranks need a table of images x codecs; found {values.ndim} dimension(s).")
    count, codecs = values.shape
    resamples = min(resamples, max(1000, _MAX_DRAWS // count))
    means = _resampling(count, seed, resamples) @ values / count
    means = np.round(means, DECIMALS_OF_RANK)
    probability = np.zeros((codecs, codecs))
    for codec in range(codecs):
        better = (means > means[:, codec : codec + 1]).sum(axis=1)
        equal = (means == means[:, codec : codec + 1]).sum(axis=1)  # itself among them
        for rank in range(codecs):
            shared = (better <= rank) & (rank < better + equal)
            probability[codec, rank] = (shared / equal).mean()
    return RankStability(probability, count)


def similarity_db(similarities: ArrayLike) -> NDArray[np.float64]:
    """Return -10 log10(1 - x) of each value: SSIM or MS-SSIM in decibels; infinite at 1."""
    with np.errstate(divide="ignore"):
        decibels: NDArray[np.float64] = -10 * np.log10(1 - np.asarray(similarities, dtype=np.float64))
    return decibels
