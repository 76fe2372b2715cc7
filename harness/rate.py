"""Hit a ratio: the largest file of a ladder that fits a number of bytes, in few encodes.

The search predicts log(bytes) of every rung: the codec's own prediction where it makes one, else a mean of other
images' curves, of which those count most that fit what is known or are of images as busy as this one; moved to go
through what is known of this one. It keeps the best file that fits,
and ends when the next rung up is known not to fit. On a ladder whose sizes rise it finds what a full search finds.
Where sizes dip now and then (WebP), its answer still fits, and the rung above it does not or makes a smaller file.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

_TYPICAL_SPAN = math.log(60)
"""How much larger a ladder's top file is than its bottom file, in log(bytes), before anything is known."""
_TREND = 0.5
"""How much of the trend of what is known is believed beyond it."""
_NEAR = 0.03
"""How far another image's curve may lie off, in log(bytes), and still count about as much as one that fits exactly."""
_ALIKE = 0.2
"""How far another image's activity may lie off and still count at least half as much as that of an equal one."""
_APART = 0.05
"""How far apart, as a share of the ladder, rungs must be to show a trend."""


def budget_bytes(raw: int, ratio: float) -> int:
    """Return floor(raw / ratio): how many bytes a file may have at a ratio of raw bytes to file bytes."""
    return math.floor(raw / ratio)


def psnr_at(budget: int, sizes: tuple[int, int], psnrs: tuple[float | None, float | None]) -> float | None:
    """Return PSNR in dB at exactly `budget` bytes, on the line in log(bytes) between two files around it.

    None where the larger one is exact: its PSNR is infinite.
    """
    low, high = psnrs
    if low is None or high is None or math.isinf(high):
        return None
    share = math.log(budget / sizes[0]) / math.log(sizes[1] / sizes[0])
    return low + (high - low) * share


@dataclass(frozen=True)
class Hint:
    """What another image needed; it changes the speed of a search alone."""

    sizes: Mapping[int, float]
    """Rung -> bytes, scaled to the pixels of the image that is searched for."""
    apart: float = 0.0
    """How far its activity lies from that image's."""


@dataclass(frozen=True)
class Choice:
    """Which rung answers a budget."""

    status: str
    """"reached": it fits and the next does not; "capped": even the top fits; "unreachable": none does."""
    index: int
    """The rung of the largest file that fits; where none does, that of the smallest file seen."""
    next_index: int | None
    """The lowest rung above all that fit; right above `index` unless sizes dip there. None unless reached."""


@dataclass
class Search:
    """Answers budgets on one ladder; every file size it asks for serves all of them."""

    length: int
    """How many rungs the ladder has."""
    size_of: Callable[[int], int]
    """Encodes at a rung and returns the file's bytes; asked once a rung."""
    sizes: dict[int, int] = field(default_factory=dict)
    """What is known: rung -> bytes."""
    hints: Sequence[Hint] = ()
    predicted: Sequence[float] = ()
    """About how many bytes every rung has, as the codec says of this image; empty where it does not. Hints then do not
    count."""
    off: float = 0.0
    """log(bytes / predicted bytes) of other images."""

    def __post_init__(self) -> None:
        hints = [hint for hint in self.hints if hint.sizes] or [Hint({})]
        if self.predicted:
            hints = [Hint({rung: size * math.exp(self.off) for rung, size in enumerate(self.predicted)})]
        self._clueless = not hints[0].sizes
        self._curves = np.array([self._through(hint.sizes) for hint in hints])
        self._likeness = 1 / (np.square([hint.apart / _ALIKE for hint in hints]) + 1)

    def _through(self, known_sizes: Mapping[int, float]) -> NDArray[np.float64]:
        """Return log(bytes) at every rung, on lines between another image's."""
        rungs = np.arange(self.length)
        slope = _TYPICAL_SPAN / self.length
        if not known_sizes:
            return slope * rungs
        known, sizes = zip(*sorted(known_sizes.items()), strict=True)
        outside = slope * (rungs - np.clip(rungs, known[0], known[-1]))
        return np.asarray(np.interp(rungs, known, np.log(np.maximum(sizes, 1.0))) + outside)

    @property
    def found_off(self) -> float | None:
        """Return the mean log(bytes / predicted bytes) of what is known; None where nothing is, or is predicted."""
        if not self.predicted or not self.sizes:
            return None
        return math.fsum(math.log(max(size, 1) / self.predicted[rung]) for rung, size in self.sizes.items()) / len(
            self.sizes
        )

    def choose(self, budget: int) -> Choice:
        """Return the rung whose file is the largest within `budget` bytes."""
        self._close_bracket(budget)
        fitting = [index for index, size in self.sizes.items() if size <= budget]
        if not fitting:
            return Choice("unreachable", min(self.sizes, key=lambda index: (self.sizes[index], index)), None)
        top = max(fitting)
        best = max(fitting, key=lambda index: (self.sizes[index], index))
        while best < top and self._size(best + 1) <= budget and self.sizes[best + 1] >= self.sizes[best]:
            best += 1
        if top + 1 == self.length:
            return Choice("capped", best, None)
        return Choice("reached", best, top + 1)

    def _close_bracket(self, budget: int) -> None:
        """Ask for sizes until a rung that fits lies right below one that does not, or an end is reached.

        Each further miss on the same side steps further over the guess. Where guesses have not closed the bracket
        after as many steps as halving it would take, it is halved: never more than twice those steps.
        """
        low, high = self._bracket(budget)
        guesses = (high - low).bit_length()
        run, side = 0, 0
        while high - low > 1:
            guess = self._guess(low, high, budget) + side * (2**run - 1) if guesses > 0 else (low + high) // 2
            now = 1 if self._size(min(max(guess, low + 1), high - 1)) <= budget else -1
            run, side = (run + 1 if now == side else 0), now
            low, high = self._bracket(budget)
            guesses -= 1

    def _bracket(self, budget: int) -> tuple[int, int]:
        """Return the highest rung known to fit (or -1) and the lowest above it known not to (or the length)."""
        low = max((index for index, size in self.sizes.items() if size <= budget), default=-1)
        high = min((index for index in self.sizes if index > low), default=self.length)
        return low, high

    def _guess(self, low: int, high: int, budget: int) -> int:
        """Return the last rung of the bracket that is predicted to fit."""
        if not self.sizes and self._clueless:
            return self.length // 2
        predicted = self._predicted()
        inside = predicted[low + 1 : high]
        return low + int(np.searchsorted(np.maximum.accumulate(inside), math.log(max(budget, 1)), side="right"))

    def _predicted(self) -> NDArray[np.float64]:
        """Return log(bytes) at every rung as it is expected, through what is known."""
        rungs = np.arange(self.length)
        known = sorted(self.sizes)
        if not known:
            return np.asarray(np.average(self._curves, axis=0, weights=self._likeness))
        logs = np.log([max(self.sizes[rung], 1) for rung in known])
        off = np.square(self._curves[:, known] - logs).mean(axis=1)
        curve = np.average(self._curves, axis=0, weights=self._likeness / (off + _NEAR**2))
        moves = logs - curve[known]
        moved = np.interp(rungs, known, moves)
        if (span := known[-1] - known[0]) > _APART * self.length:
            trend = _TREND * (moves[-1] - moves[0]) / span
            moved += trend * (np.minimum(rungs - known[0], 0) + np.maximum(rungs - known[-1], 0))
        return np.asarray(curve + moved)

    def _size(self, index: int) -> int:
        if index not in self.sizes:
            self.sizes[index] = self.size_of(index)
        return self.sizes[index]
