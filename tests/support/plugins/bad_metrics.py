"""Metrics that misbehave, each in one way."""

from __future__ import annotations

import math

from harness import Metric, Pair


def raise_error(pair: Pair) -> float:
    raise ZeroDivisionError("by nothing")


metric_raises = Metric("metric-raises", "", "lower", raise_error)
metric_nan = Metric("metric-nan", "", "lower", lambda pair: math.nan)
metric_text = Metric("metric-text", "", "lower", lambda pair: "low")  # type: ignore[arg-type,return-value]
