"""The fingerprints of records: the sha256 of all that decides what is measured."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache

from harness.metrics.plugins import PluginMetrics, known_metrics
from harness.plan.plan import DIGITS, PlannedCodec, PlannedImage
from harness.plan.targets import Target


@lru_cache(maxsize=16)
def metrics_key(names: tuple[str, ...], plugin_metrics: PluginMetrics = ()) -> str:
    """Return the names and versions of metrics as one text."""
    return json.dumps({name: known_metrics(plugin_metrics)[name].version for name in names})


@dataclass(frozen=True)
class CodecTargets:
    """The targets of one codec, which are the same on every image but for their fingerprints."""

    codec: PlannedCodec
    metrics: str
    """The `metrics_key` of the run."""
    targets: Sequence[Target]
    _endings: dict[int, list[bytes]] = field(default_factory=dict, init=False, repr=False)
    """Sample bits -> the end of what each target's fingerprint covers."""

    def on(self, image: PlannedImage, circumstances: Iterable[str]) -> tuple[Target, ...]:
        """Return the targets with their fingerprints on an image.

        A fingerprint is `plan.digest` of pixels, image, codec, versions, metrics, what a radar image means, other
        circumstances, protocol and numbers. Only the last two differ between the targets, so the others are hashed
        once: a run may have a million images.
        """
        if image.sample_bits not in self._endings:
            self._endings[image.sample_bits] = [_ending(target, image.sample_bits) for target in self.targets]
        source = image.source
        parts = [image.pixels, source.name, self.codec.spec.id, self.codec.key, self.metrics]
        if source.radar:
            parts.append(source.radar.model_dump_json())
        shared = hashlib.sha256("\n".join([*parts, *circumstances]).encode())
        found = []
        for target, ending in zip(self.targets, self._endings[image.sample_bits], strict=True):
            whole = shared.copy()
            whole.update(ending)
            found.append(replace(target, fingerprint=whole.hexdigest()[:DIGITS]))
        return tuple(found)


def _ending(target: Target, sample_bits: int) -> bytes:
    numbers = (sample_bits, target.target_ratio, target.setting)
    told = [None if number is None else float(number) for number in numbers]
    return f"\n{target.protocol}\n{told!r}".encode()
