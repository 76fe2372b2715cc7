"""Read training images from a folder or a data set, with their sources and licences."""

from __future__ import annotations

import csv
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from harness.config.schema import DataConfig
from harness.data import contamination
from harness.data.datasets import MIRROR_VARIABLE, ImageSource, from_folder, from_set
from harness.data.images import read_image
from harness.errors import DataError
from harness.training.crops import TrainingImage, halved

PACK_INDEX = "pack_index.csv"
"""A table in the folder of training images or its parent, with the columns file, source, licence, sample_bits."""
_FEW_BITS_PEAK = 4095
"""The greatest sample of 12 bits; many detectors write 12 bits into 16-bit files."""


@dataclass(frozen=True)
class TrainingSet:
    """Images to train on, and their sources as the model card lists them."""

    images: Sequence[TrainingImage]
    sources: Sequence[Mapping[str, str]]
    """One entry per source: name, licence."""

    def fingerprints(self) -> list[str]:
        """Return the fingerprints of all images, at full and half size, that are stored beside the weights."""
        sizes = [size for image in self.images for size in (image, halved(image))]
        tiles = (contamination.fingerprint(size.pixels, size.peak, number) for number, size in enumerate(sizes))
        return sorted(tile for some in tiles for tile in some)


def read_training_set(folder: Path) -> TrainingSet:
    """Return every image below a folder, with source, licence and `sample_bits` from the folder's index.

    Raises:
        DataError: there is no such folder, no image in it, or `sample_bits` in its index is out of range.
    """
    if not folder.is_dir():
        raise DataError(
            f"there is no folder {folder} with training images. Name one with --data, or set {MIRROR_VARIABLE} to a "
            "folder that holds train/."
        )
    index = _index(folder)
    files = [replace(file, sample_bits=_declared_bits(index, file.path)) for file in from_folder(folder)]
    found = _read(files, index, {"from": folder.name})
    _warn_of_few_bits(folder, files, found.images)
    return found


def training_set_of(name: str, data: DataConfig) -> TrainingSet:
    """Return the images of a configured data set; the hash of each file is checked.

    Raises:
        DataError: a file is absent or has another hash; the message says how to get it.
    """
    return _read(from_set(name, data), {}, {"from": name, "licence": data.licence})


def _read(
    files: Iterable[ImageSource], index: Mapping[str, Mapping[str, str]], defaults: Mapping[str, str]
) -> TrainingSet:
    """Read images; `defaults` fills in what the index does not say."""
    images: list[TrainingImage] = []
    sources: dict[str, dict[str, str]] = {}
    for file in files:
        entry = index.get(file.path.name, {})
        source = Path(entry.get("source", file.path.name)).stem
        read = read_image(file.path, file.name, file.sample_bits)
        lossless = not any("already lossy" in note for note in read.notes)
        images.append(TrainingImage(file.name, source, read.pixels, lossless, read.sample_bits))
        named = {"name": source, "from": entry.get("source", defaults["from"])}
        sources.setdefault(source, {**named, "licence": entry.get("licence", defaults.get("licence", "not stated"))})
    return TrainingSet(images, [sources[name] for name in sorted(sources)])


def _index(folder: Path) -> dict[str, dict[str, str]]:
    path = next((place / PACK_INDEX for place in (folder, folder.parent) if (place / PACK_INDEX).is_file()), None)
    if path is None:
        return {}
    with path.open(newline="", encoding="utf-8") as file:
        return {row["file"]: row for row in csv.DictReader(file)}


def _declared_bits(index: Mapping[str, Mapping[str, str]], path: Path) -> int | None:
    text = index.get(path.name, {}).get("sample_bits") or ""
    if not text:
        return None
    if not (text.isdecimal() and 2 <= int(text) <= 16):
        raise DataError(
            f"{PACK_INDEX}: sample_bits of {path.name} is {text!r}; it must be a whole number from 2 to 16."
        )
    return int(text)


def _warn_of_few_bits(folder: Path, files: Sequence[ImageSource], images: Sequence[TrainingImage]) -> None:
    """Warn if 16-bit files without declared `sample_bits` look as if they held 12 bits or fewer."""
    pairs = zip(files, images, strict=True)
    undeclared = [image for file, image in pairs if not file.sample_bits and image.pixels.dtype == np.uint16]
    greatest = max((int(image.pixels.max()) for image in undeclared), default=_FEW_BITS_PEAK + 1)
    if greatest <= _FEW_BITS_PEAK:
        logging.getLogger("harness").warning(
            "no sample of the %d 16-bit images in %s is above %d, but they are read as 16 bits. Give the number of "
            "bits in use in the column sample_bits of %s; without it, the check for contamination misses them",
            len(undeclared),
            folder,
            greatest,
            PACK_INDEX,
        )
