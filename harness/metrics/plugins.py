"""Plugin metrics: the registry finds them; here they are checked and added to the table of metrics."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import lru_cache

from harness.config import registry
from harness.config.code_digest import source_of
from harness.errors import UsageError
from harness.metrics.pair import Pair
from harness.metrics.table import METRICS, Metric

PluginMetrics = tuple[tuple[str, str], ...]
"""(name, target) of each plugin metric."""


@lru_cache(maxsize=16)
def known_metrics(targets: PluginMetrics) -> Mapping[str, Metric]:
    """Return the metrics of harness and these plugin metrics, by name.

    Raises:
        UsageError: a plugin cannot be imported, is not a metric, or has the name of a metric of harness.
    """
    return {**METRICS, **{name: _loaded(name, target) for name, target in targets}}


def _loaded(name: str, target: str) -> Metric:
    metric = registry.load(target)
    if not isinstance(metric, Metric) or metric.name != name:
        raise UsageError(f"{target} is not the metric {name!r}: it must be a harness.Metric of that name.")
    if name in METRICS:
        raise UsageError(f"the metric {target} is called {name!r}, as is one of harness. Rename it.")
    source = source_of(target, registry.METRIC_ENTRY_POINT_GROUP)
    return replace(metric, source=source, compute=_guarded(name, metric.compute))


def _guarded(name: str, compute: Callable[[Pair], float | None]) -> Callable[[Pair], float | None]:
    """Return the function with every exception turned into a UsageError: it then costs only its records."""

    def guarded(pair: Pair) -> float | None:
        try:
            value = compute(pair)
            number = None if value is None else float(value)
        except Exception as error:
            raise UsageError(f"the metric {name!r} failed: {type(error).__name__}: {error}") from error
        if number is not None and math.isnan(number):
            raise UsageError(f"the metric {name!r} returned NaN; where it does not apply it returns None.")
        return number

    return guarded
