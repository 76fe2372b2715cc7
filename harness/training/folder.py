"""Whose checkpoints a folder holds: a training goes on with its own alone, so that its card tells the truth."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterable, Mapping
from pathlib import Path

from harness.system.files import write_text
from harness.training.crops import TrainingImage

CLAIM = "training.json"
"""The file that says which training a folder of checkpoints is of."""


def images_digest(images: Iterable[TrainingImage]) -> str:
    """Return the sha256 of all images: names, sources, samples, and what those stand for."""
    digest = hashlib.sha256()
    for image in images:
        about = [
            image.name,
            image.source,
            image.pixels.dtype.str,
            image.pixels.shape,
            image.lossless,
            image.sample_bits,
        ]
        digest.update(json.dumps(about).encode())
        digest.update(image.pixels.tobytes())
    return digest.hexdigest()


def claim(folder: Path, training: Mapping[str, str], checkpoints: Iterable[str]) -> None:
    """Make a folder that of a training: what another one left there is removed, with a warning.

    Args:
        folder: where the checkpoints lie; it is made.
        training: what decides it, by name.
        checkpoints: the files there that would be gone on with.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / CLAIM
    whole = json.dumps(dict(training), indent=1) + "\n"
    if path.is_file() and path.read_text() == whole:
        return
    left = [folder / name for name in checkpoints if (folder / name).is_file()]
    if left:
        log = logging.getLogger("harness")
        log.warning("what is in %s is of another training: this one begins at its first step", folder)
    for file in left:
        file.unlink(missing_ok=True)
    write_text(path, whole)
