"""The run lock: tie a folder of checkpoints to one training, so that a run never resumes another one's checkpoints."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterable, Mapping
from pathlib import Path

from harness.system.files import write_text
from harness.training.crops import TrainingImage

CHECKPOINTS = "training"
"""The folder of checkpoints, below the folder of weights."""
RUN_LOCK = "training.json"
"""The file in a folder of checkpoints that says which training they belong to."""


def images_digest(images: Iterable[TrainingImage]) -> str:
    """Return the sha256 over the names, sources, formats and samples of all images."""
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


def lock_folder(folder: Path, training: Mapping[str, str], checkpoints: Iterable[str]) -> None:
    """Reserve a folder for a training; remove the checkpoints of any other training, with a warning.

    Args:
        folder: where the checkpoints are; it is created if it does not exist.
        training: what decides the outcome of the training, by name.
        checkpoints: the names of the files that a run would resume from.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / RUN_LOCK
    whole = json.dumps(dict(training), indent=1) + "\n"
    if path.is_file() and path.read_text() == whole:
        return
    left = [folder / name for name in checkpoints if (folder / name).is_file()]
    if left:
        log = logging.getLogger("harness")
        log.warning("the checkpoints in %s belong to another training: this one begins at its first step", folder)
    for file in left:
        file.unlink(missing_ok=True)
    write_text(path, whole)
