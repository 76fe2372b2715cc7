"""Let a codec with a rate control of its own reach a target size, and find the next setting above."""

from __future__ import annotations

from harness.errors import BudgetError
from harness.interface import Setting
from harness.run.encodes import EncodeCache
from harness.run.rate_search import ChosenSetting

_FILLED = 0.99
"""Below this share of the target size, also try the codec's highest setting."""


def by_rate_control(cache: EncodeCache, target_size: int) -> ChosenSetting:
    """Return the setting that the codec's own rate control chooses for a target size in bytes."""
    try:
        encoded = cache.encode_to_size(target_size)
    except BudgetError:
        lowest = cache.task.description.ladder[0]
        cache.size_at(lowest)
        return ChosenSetting("unreachable", lowest)
    return _climb(cache, encoded.setting, target_size)


def _climb(cache: EncodeCache, best: Setting, target_size: int) -> ChosenSetting:
    """Go up the ladder from a setting that fits to the first one that does not."""
    ladder = cache.task.description.ladder
    if cache.size_at(best) < _FILLED * target_size and cache.size_at(ladder[-1]) <= target_size:
        return ChosenSetting("capped", ladder[-1])
    rising = ladder[-1] > ladder[0]
    for setting in [one for one in ladder if (one > best if rising else one < best)]:
        if cache.size_at(setting) > target_size:
            return ChosenSetting("reached", best, setting)
        best = max(best, setting, key=cache.size_at)
    return ChosenSetting("capped", best)
