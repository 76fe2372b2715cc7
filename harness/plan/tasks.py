"""What a plan asks: tasks, each of one codec on one image."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from harness.config.registry import CodecSpec
from harness.config.schema import Limits
from harness.data.datasets import ImageSource
from harness.metrics.plugins import PluginMetrics
from harness.plan.targets import Target
from harness.sandbox.replies import Description

DEFAULT_LIMITS = Limits()


@dataclass(frozen=True)
class Task:
    """One codec on one image, and the targets that it has there."""

    image: ImageSource
    pixels: str
    """The sha256 that the image's pixels must have."""
    codec: CodecSpec
    codec_key: str
    description: Description
    targets: tuple[Target, ...]
    metric_names: tuple[str, ...]
    plugin_metrics: PluginMetrics = ()
    """Name and place of each metric that comes from a plugin."""
    limits: Limits = DEFAULT_LIMITS
    device: str = "cpu"
    facts: Mapping[str, Any] = field(default_factory=dict)
    """Columns that every record of this task gets, known before it is measured."""
