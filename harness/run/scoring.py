"""Score decodes with the metrics of a run; a decode that has the same scores already is not scored again."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

from harness.config.radar import RadarScale
from harness.data.images import TestImage, pixels_sha256
from harness.interface import Image, Setting
from harness.metrics import table
from harness.metrics.plugins import PluginMetrics, known_metrics
from harness.plan.fingerprints import metrics_key
from harness.plan.tasks import Task
from harness.records.artifacts import keep_picture
from harness.records.record import Encode
from harness.run.encodes import EncodeCache

Scores = Mapping[str, float | None]


@dataclass
class Scorer:
    """Scores the decodes of one codec on one image."""

    task: Task
    image: TestImage
    cache: EncodeCache
    pictures_folder: Path | None = None
    """Where the image and its decodes are kept, as PNG; None: they are not kept."""
    seconds: float = 0.0
    """The time spent in metrics."""

    def scored(self, setting: Setting, names: tuple[str, ...]) -> Encode:
        """Return the encode at a setting with these metrics of its decode."""
        task = self.task
        key = scores_key(names, task.plugin_metrics, self.image.sample_bits, task.image.radar, task.device)
        known = self.cache.encodes.get(setting)
        if known and answers(known.metrics_key, key):
            return known
        pixels = self.cache.decode_at(setting)
        scores = self.scores(pixels, names)
        if self.pictures_folder and names == task.metric_names:
            for picture in (self.image.pixels, pixels):
                keep_picture(picture, self.pictures_folder)
        digest = pixels_sha256(pixels)
        found = replace(self.cache.encodes[setting], pixels_sha256=digest, metrics_key=key, metrics=scores)
        self.cache.encodes[setting] = found
        return found

    def scores(self, decoded: Image, names: tuple[str, ...]) -> Scores:
        """Return the metrics of a decode against the image."""
        start = time.perf_counter()
        scores = table.measure(
            self.image.pixels,
            decoded,
            self.image.peak,
            names,
            self.task.device,
            table=known_metrics(self.task.plugin_metrics),
            radar=self.task.image.radar,
        )
        self.seconds += time.perf_counter() - start
        return scores


@lru_cache(maxsize=16)
def scores_key(
    names: tuple[str, ...],
    plugin_metrics: PluginMetrics,
    sample_bits: int,
    radar: RadarScale | None,
    device: str = "cpu",
) -> str:
    """Return as one text all that decides a score besides the pixels.

    Names and versions of the metrics, the image's sample bits, what the samples of a radar image stand for, and the
    device unless it is the CPU.
    """
    further = {"radar": radar.model_dump_json()} if radar else {}
    further |= {} if device == "cpu" else {"device": device}
    return json.dumps({**json.loads(metrics_key(names, plugin_metrics)), "sample_bits": sample_bits, **further})


def answers(known: str, wanted: str) -> bool:
    """Return whether scores with the key `known` include those with the key `wanted`, made the same way."""
    there, asked = json.loads(known or "{}"), json.loads(wanted)
    alike = all(there.get(name) == asked.get(name) for name in ("radar", "device"))
    return alike and asked.items() <= there.items()
