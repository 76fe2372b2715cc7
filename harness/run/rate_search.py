"""Search a codec's ladder for the largest file that fits a target size."""

from __future__ import annotations

from dataclasses import dataclass, field

from harness.interface import Setting
from harness.rate import Search
from harness.run.assignment import Assignment
from harness.run.encodes import EncodeCache


@dataclass(frozen=True)
class ChosenSetting:
    """Which setting answers a target size."""

    status: str
    """"reached", "capped" or "unreachable", as `harness.rate.Choice`."""
    setting: Setting
    next_setting: Setting | None = None
    """The setting above it, whose file does not fit; None unless reached."""


@dataclass
class RateSearch:
    """The search of one codec on one image; all its target sizes share the file sizes."""

    assignment: Assignment
    cache: EncodeCache
    _search: Search | None = field(default=None, init=False)

    def choose(self, target_size: int) -> ChosenSetting:
        """Return the setting whose file is the largest within `target_size` bytes."""
        if self._search is None:  # made late: the codec is asked for predictions only where it is searched
            self._search = self._begin()
        ladder = self.assignment.task.description.ladder
        choice = self._search.choose(target_size)
        above = None if choice.next_index is None else ladder[choice.next_index]
        return ChosenSetting(choice.status, ladder[choice.index], above)

    @property
    def prediction_bias(self) -> float | None:
        """Mean log(bytes / bytes that the codec predicted); None where it predicted none."""
        return self._search.measured_bias if self._search else None

    def _begin(self) -> Search:
        ladder, cache = self.assignment.task.description.ladder, self.cache
        indices = {setting: index for index, setting in enumerate(ladder)}
        return Search(
            length=len(ladder),
            size_of=lambda index: cache.size_at(ladder[index]),
            sizes={i: known.size_bytes for i, setting in enumerate(ladder) if (known := cache.encodes.get(setting))},
            other_images=[other.curve(indices, cache.image) for other in self.assignment.other_images],
            predicted=cache.predicted_sizes(),
            prediction_bias=self.assignment.prediction_bias,
        )
