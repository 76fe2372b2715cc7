"""Metrics of others: found by the registry, checked, and put beside the table of metrics."""

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

Targets = tuple[tuple[str, str], ...]
"""(name, where it is) of each metric of others."""


@lru_cache(maxsize=16)
def known_metrics(targets: Targets) -> Mapping[str, Metric]:
    """Return the metrics of harness and these of others, by name.

    Raises:
        UsageError: one cannot be imported, is no metric, or has a name of harness's own.
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
    """Return the function with whatever goes wrong in it as an error of ours: it costs its records, with the reason."""

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
