"""Reach a ratio: find, in few encodes, the largest file on a codec's ladder that fits a number of bytes.

The ladder's settings are numbered from 0, smallest files first; that number is the index of a setting.

The search predicts log(bytes) at every index. It starts from the codec's own prediction where there is one, else from
a weighted mean of the size curves of other images: curves that agree with the sizes known so far, or come from images
that are about as busy as this one, weigh more. It then shifts that curve through the sizes known so far. It keeps the
largest file that fits, and ends when the next index up is known not to fit.

On a ladder whose sizes rise it finds what a full search finds. Where sizes dip now and then (WebP), its answer still
fits, and the file at the next index is too large or no larger than the answer.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

_TYPICAL_SPAN = math.log(60)
"""log(largest file / smallest file) of a ladder, assumed before anything is known."""
_TREND = 0.5
"""The share of the trend within the known sizes that is assumed to continue beyond them."""
_CLOSE_FIT = 0.03
"""A mean distance in log(bytes) from the known sizes; a curve within it weighs about as much as an exact fit."""
_SIMILAR_ACTIVITY = 0.2
"""An image whose activity differs by this much weighs half as much as one of equal activity."""
_TREND_SPAN = 0.05
"""The share of the ladder that the known sizes must span to show a trend."""


def target_bytes(raw: int, ratio: float) -> int:
    """Return the target size in bytes, floor(raw / ratio), for a ratio of raw bytes to file bytes."""
    return math.floor(raw / ratio)


def psnr_at(target_size: int, sizes: tuple[int, int], psnrs: tuple[float | None, float | None]) -> float | None:
    """Return the PSNR in dB at exactly `target_size` bytes, interpolated linearly in log(bytes) between two files.

    None where the larger file is exact: its PSNR is infinite.
    """
    low, high = psnrs
    if low is None or high is None or math.isinf(high):
        return None
    share = math.log(target_size / sizes[0]) / math.log(sizes[1] / sizes[0])
    return low + (high - low) * share


@dataclass(frozen=True)
class SizeCurve:
    """File sizes of the same codec on another image. It changes how many encodes a search takes, and nothing else."""

    sizes: Mapping[int, float]
    """Index -> bytes, scaled to the number of pixels of the image that is searched for."""
    activity_difference: float = 0.0
    """The other image's activity minus this image's (harness/data/activity.py)."""


@dataclass(frozen=True)
class Choice:
    """Which index answers a target size."""

    status: str
    """"reached": it fits and the next does not; "capped": even the top fits; "unreachable": none fits."""
    index: int
    """The index of the largest file that fits; where none fits, of the smallest file seen."""
    next_index: int | None
    """The lowest index above all that fit: `index` + 1 unless sizes dip there. None unless reached."""


@dataclass
class Search:
    """Answers target sizes on one ladder; every file size that it asks for serves all of them."""

    length: int
    """How many settings the ladder has."""
    size_of: Callable[[int], int]
    """Encodes at an index and returns the file's bytes; called once for each index."""
    sizes: dict[int, int] = field(default_factory=dict)
    """What is known: index -> bytes."""
    other_images: Sequence[SizeCurve] = ()
    predicted: Sequence[float] = ()
    """The bytes that the codec predicts for this image at every index; empty where it predicts none. Where it does,
    other images are not used."""
    prediction_bias: float = 0.0
    """log(bytes / predicted bytes), as other images had it."""

    def __post_init__(self) -> None:
        curves = [curve for curve in self.other_images if curve.sizes] or [SizeCurve({})]
        if self.predicted:
            factor = math.exp(self.prediction_bias)
            curves = [SizeCurve({index: size * factor for index, size in enumerate(self.predicted)})]
        self._nothing_known = not curves[0].sizes
        self._curves = np.array([self._log_curve(curve.sizes) for curve in curves])
        differences = [curve.activity_difference / _SIMILAR_ACTIVITY for curve in curves]
        self._similarity = 1 / (np.square(differences) + 1)

    def _log_curve(self, known_sizes: Mapping[int, float]) -> NDArray[np.float64]:
        """Return log(bytes) at every index, interpolated between the known sizes of another image."""
        indices = np.arange(self.length)
        slope = _TYPICAL_SPAN / self.length
        if not known_sizes:
            return slope * indices
        known, sizes = zip(*sorted(known_sizes.items()), strict=True)
        outside = slope * (indices - np.clip(indices, known[0], known[-1]))
        return np.asarray(np.interp(indices, known, np.log(np.maximum(sizes, 1.0))) + outside)

    @property
    def measured_bias(self) -> float | None:
        """Return the mean log(bytes / predicted bytes) of the known sizes; None without sizes or predictions."""
        if not self.predicted or not self.sizes:
            return None
        logs = (math.log(max(size, 1) / self.predicted[index]) for index, size in self.sizes.items())
        return math.fsum(logs) / len(self.sizes)

    def choose(self, target_size: int) -> Choice:
        """Return the index whose file is the largest within `target_size` bytes."""
        self._close_bracket(target_size)
        fitting = [index for index, size in self.sizes.items() if size <= target_size]
        if not fitting:
            return Choice("unreachable", min(self.sizes, key=lambda index: (self.sizes[index], index)), None)
        top = max(fitting)
        best = max(fitting, key=lambda index: (self.sizes[index], index))
        while best < top and self._size(best + 1) <= target_size and self.sizes[best + 1] >= self.sizes[best]:
            best += 1
        if top + 1 == self.length:
            return Choice("capped", best, None)
        return Choice("reached", best, top + 1)

    def _close_bracket(self, target_size: int) -> None:
        """Ask for sizes until an index that fits is next to one that does not, or an end of the ladder is reached.

        Each guess that lands on the same side as the one before steps further past the prediction. After as many
        guesses as bisection would take, it bisects: it never takes more than twice the steps of bisection.
        """
        low, high = self._bracket(target_size)
        guesses = (high - low).bit_length()
        repeats, side = 0, 0
        while high - low > 1:
            overshoot = side * (2**repeats - 1)
            guess = self._guess(low, high, target_size) + overshoot if guesses > 0 else (low + high) // 2
            now = 1 if self._size(min(max(guess, low + 1), high - 1)) <= target_size else -1
            repeats, side = (repeats + 1 if now == side else 0), now
            low, high = self._bracket(target_size)
            guesses -= 1

    def _bracket(self, target_size: int) -> tuple[int, int]:
        """Return the highest index known to fit (or -1) and the lowest above it known not to (or the length)."""
        low = max((index for index, size in self.sizes.items() if size <= target_size), default=-1)
        high = min((index for index in self.sizes if index > low), default=self.length)
        return low, high

    def _guess(self, low: int, high: int, target_size: int) -> int:
        """Return the last index of the bracket that is predicted to fit."""
        if not self.sizes and self._nothing_known:
            return self.length // 2
        inside = self._expected()[low + 1 : high]
        return low + int(np.searchsorted(np.maximum.accumulate(inside), math.log(max(target_size, 1)), side="right"))

    def _expected(self) -> NDArray[np.float64]:
        """Return the expected log(bytes) at every index; the curve goes through the known sizes."""
        indices = np.arange(self.length)
        known = sorted(self.sizes)
        if not known:
            return np.asarray(np.average(self._curves, axis=0, weights=self._similarity))
        logs = np.log([max(self.sizes[index], 1) for index in known])
        mismatch = np.square(self._curves[:, known] - logs).mean(axis=1)
        curve = np.average(self._curves, axis=0, weights=self._similarity / (mismatch + _CLOSE_FIT**2))
        shifts = logs - curve[known]
        shift = np.interp(indices, known, shifts)
        if (span := known[-1] - known[0]) > _TREND_SPAN * self.length:
            trend = _TREND * (shifts[-1] - shifts[0]) / span
            shift += trend * (np.minimum(indices - known[0], 0) + np.maximum(indices - known[-1], 0))
        return np.asarray(curve + shift)

    def _size(self, index: int) -> int:
        if index not in self.sizes:
            self.sizes[index] = self.size_of(index)
        return self.sizes[index]
