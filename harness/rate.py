"""Hit a ratio: the largest file of a ladder that fits a number of bytes, in few encodes.

The search interpolates log(bytes) between the rungs it knows, keeps the best that fits, and ends when the next rung
up is known not to fit. On a ladder whose sizes rise it finds what a full search finds. Where sizes dip now and then
(WebP), its answer still fits and the rung above it does not.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

_TYPICAL_SPAN = math.log(60)
"""How much larger a ladder's top file is than its bottom file, in log(bytes), before anything is known."""
_POINTS = 4
"""How many known rungs an interpolation goes through."""
_PATIENCE = 3
"""After so many guesses that did not halve the bracket, the next one halves it."""


def budget_bytes(raw: int, ratio: float) -> int:
    """Return floor(raw / ratio): how many bytes a file may have at a ratio of raw bytes to file bytes."""
    return math.floor(raw / ratio)


@dataclass(frozen=True)
class Choice:
    """Which rung answers a budget."""

    status: str
    """"reached": it fits and the next does not; "capped": even the top fits; "unreachable": none does."""
    index: int
    """The rung of the largest file that fits; where none does, that of the smallest file seen."""
    next_index: int | None
    """The rung above it, where there is one that does not fit."""


@dataclass
class Search:
    """Answers budgets on one ladder; every file size it asks for serves all of them."""

    length: int
    """How many rungs the ladder has."""
    size_of: Callable[[int], int]
    """Encodes at a rung and returns the file's bytes; asked once a rung."""
    sizes: dict[int, int] = field(default_factory=dict)
    """What is known: rung -> bytes."""

    def choose(self, budget: int) -> Choice:
        """Return the rung whose file is the largest within `budget` bytes."""
        self._close_bracket(budget)
        fitting = [index for index, size in self.sizes.items() if size <= budget]
        if not fitting:
            return Choice("unreachable", min(self.sizes, key=lambda index: (self.sizes[index], index)), None)
        best = max(fitting, key=lambda index: (self.sizes[index], index))
        while best + 1 < self.length and self._size(best + 1) <= budget and self.sizes[best + 1] >= self.sizes[best]:
            best += 1
        if best + 1 == self.length or max(fitting) + 1 == self.length:
            return Choice("capped", best, None)
        return Choice("reached", best, best + 1)

    def _close_bracket(self, budget: int) -> None:
        """Ask for sizes until a rung that fits lies right below one that does not, or an end is reached."""
        target = math.log(max(budget, 1))
        slow = 0
        while True:
            low, high = self._bracket(budget)
            if high - low == 1:
                return
            guess = (low + high) // 2 if slow >= _PATIENCE else self._guess(low, high, target)
            self._size(min(max(guess, low + 1), high - 1))
            new_low, new_high = self._bracket(budget)
            slow = slow + 1 if new_high - new_low > (high - low) // 2 else 0

    def _bracket(self, budget: int) -> tuple[int, int]:
        """Return the highest rung known to fit (or -1) and the lowest above it known not to (or the length)."""
        low = max((index for index, size in self.sizes.items() if size <= budget), default=-1)
        high = min((index for index in self.sizes if index > low), default=self.length)
        return low, high

    def _guess(self, low: int, high: int, target: float) -> int:
        """Return the rung that log(bytes), interpolated over what is known, says is the last that fits."""
        points = sorted((index, math.log(max(size, 1))) for index, size in self.sizes.items())
        if not points:
            return self.length // 2
        near = sorted(points, key=lambda point: abs(point[1] - target))[:_POINTS]
        if len(near) == 1:
            return math.floor(near[0][0] + (target - near[0][1]) * self.length / _TYPICAL_SPAN)
        for count in range(len(near), 1, -1):
            guess = _interpolated(near[:count], target)
            if guess is not None and low < guess + 1 and guess < high:
                return math.floor(guess)
        return (low + high) // 2

    def _size(self, index: int) -> int:
        if index not in self.sizes:
            self.sizes[index] = self.size_of(index)
        return self.sizes[index]


_Point = tuple[int, float]


def _interpolated(points: list[_Point], target: float) -> float | None:
    """Return the rung at `target`: Newton's polynomial of rung over log(bytes) through all points; None if they tie."""
    sizes = [size for _, size in points]
    if len(set(sizes)) < len(sizes):
        return None
    differences = [float(index) for index, _ in points]
    for order in range(1, len(points)):
        for place in range(len(points) - 1, order - 1, -1):
            differences[place] = (differences[place] - differences[place - 1]) / (sizes[place] - sizes[place - order])
    value = 0.0
    for difference, size in zip(reversed(differences), reversed(sizes), strict=True):
        value = value * (target - size) + difference
    return value
