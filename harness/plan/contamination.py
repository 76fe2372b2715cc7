"""Whether images were trained on, remembered: comparing an image with all training tiles takes long."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from harness.data import contamination
from harness.data.images import read_image
from harness.plan.plan import PlannedImage
from harness.system.files import write_text
from harness.system.paths import cache_folder

VERDICTS = ("clean", "leaked", "unknown")


@dataclass
class ContaminationVerdicts:
    """Verdicts by image and training set. They are kept in a file of the user's cache, which can be deleted."""

    _tiles: dict[str, list[str]] = field(default_factory=dict, init=False)
    """Image -> its tiles."""
    _digests: dict[int, str] = field(default_factory=dict, init=False)
    """Identity of a training set -> its digest."""

    def of(self, image: PlannedImage, training: Sequence[str]) -> str:
        """Return the verdict (harness/data/contamination.py) on an image, given the tiles of the training images."""
        if id(training) not in self._digests:
            text = f"{contamination.VERSION} {' '.join(training)}"
            self._digests[id(training)] = hashlib.sha256(text.encode()).hexdigest()[:16]
        key = f"{image.pixels}-{self._digests[id(training)]}"
        if self._known.get(key) not in VERDICTS:
            self._known[key] = contamination.verdict(self._tiles_of(image), training)
        return self._known[key]

    def save(self) -> None:
        """Keep the verdicts, where the cache can be written."""
        with contextlib.suppress(OSError):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            write_text(self._path, json.dumps(self._known))

    @property
    def _path(self) -> Path:
        return cache_folder() / "leaks.json"

    @cached_property
    def _known(self) -> dict[str, str]:
        try:
            found = json.loads(self._path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}

    def _tiles_of(self, image: PlannedImage) -> list[str]:
        if image.pixels not in self._tiles:
            source = image.source
            read = read_image(source.path, source.name, source.sample_bits)
            self._tiles[image.pixels] = contamination.fingerprint(read.pixels, read.peak)
        return self._tiles[image.pixels]
