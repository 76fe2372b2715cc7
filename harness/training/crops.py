"""Split training images by source, and cut random crops: a pure function of seed and step."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.errors import DataError
from harness.interface import LUMA, Image
from harness.learned.tensors import normalised
from harness.training.recipe import TrainingRecipe


@dataclass(frozen=True)
class TrainingImage:
    """One image to train on."""

    name: str
    source: str
    """The picture it was cut from. Images of one source are never on both sides of the split."""
    pixels: Image
    lossless: bool
    """False if it was read from a lossy file (a JPEG)."""
    sample_bits: int
    """The number of bits of each sample that carry the image."""

    @property
    def peak(self) -> int:
        """Return the largest value that a sample can have."""
        return int(2**self.sample_bits - 1)


@dataclass(frozen=True)
class Split:
    """Images to train on, and whole images to validate on; no source is in both."""

    training: list[TrainingImage]
    validation: list[TrainingImage]


def usable(images: Sequence[TrainingImage], recipe: TrainingRecipe, ratio: float) -> Sequence[TrainingImage]:
    """Return the images that a recipe uses at a target ratio, for training and validation.

    Raises:
        DataError: they come from too few sources.
    """
    lossless = ratio < recipe.lossless_below
    found = [image for image in images if image.lossless or not lossless]
    kept, sources = recipe.validation_images, len({image.source for image in found})
    if sources <= kept:
        raise DataError(
            f"training to {ratio:g}x takes {'lossless images (no JPEGs)' if lossless else 'images'} from {kept + 1} "
            f"sources or more, {kept} of them for validation; found {sources}. Each file is a source of its own "
            "unless pack_index.csv names one."
        )
    return found


def split(images: Sequence[TrainingImage], recipe: TrainingRecipe, ratio: float, colours: int) -> Split:
    """Split images into training and validation as a recipe asks at a target ratio.

    A hash of the seed and the source's name decides which sources validate; sources with a lossless image come first.

    Raises:
        DataError: too few images.
    """
    in_order = sorted(
        usable(images, recipe, ratio),
        key=lambda image: (not image.lossless, _draw(recipe.seed, image.source), image.name),
    )
    validation: dict[str, TrainingImage] = {}
    for image in in_order:
        if len(validation) < recipe.validation_images:
            validation.setdefault(image.source, image)
    rest = [image for image in in_order if image.source not in validation]
    rest.sort(key=lambda image: _draw(recipe.seed + 1, image.name))
    training = rest[: int(np.ceil(len(rest) * recipe.subset))]
    training = [_coloured(image, colours) for image in training]
    if recipe.halves:
        training += [halved(image) for image in training if image.lossless]
    return Split(training, [_coloured(image, colours) for image in validation.values()])


def _draw(seed: int, name: str) -> str:
    return hashlib.sha256(f"{seed}:{name}".encode()).hexdigest()


def _coloured(image: TrainingImage, colours: int) -> TrainingImage:
    """Return an image with 1 or 3 channels; 16-bit samples are stretched to their full range."""
    pixels: Any = image.pixels
    if pixels.shape[2] > colours:
        pixels = np.rint(pixels @ np.array(LUMA)).astype(pixels.dtype)[:, :, None]
    elif pixels.shape[2] < colours:
        pixels = np.repeat(pixels, colours, axis=2)
    if pixels.dtype == np.uint16:
        pixels = np.rint(normalised(pixels)[0] * 65535).astype(np.uint16)
    return replace(image, pixels=np.ascontiguousarray(pixels), sample_bits=8 * pixels.dtype.itemsize)


def halved(image: TrainingImage) -> TrainingImage:
    """Return an image at half its size: means over 2x2 pixels, rounded."""
    height, width, channels = (image.pixels.shape[0] // 2 * 2, image.pixels.shape[1] // 2 * 2, image.pixels.shape[2])
    if not height * width:
        return image
    blocks = image.pixels[:height, :width].reshape(height // 2, 2, width // 2, 2, channels)
    small = np.rint(blocks.mean((1, 3))).astype(image.pixels.dtype)
    return replace(image, name=f"{image.name} at half size", pixels=small)


class Crops:
    """Batches of crops, which depend on the seed, step and rank alone."""

    def __init__(self, images: Sequence[TrainingImage], recipe: TrainingRecipe) -> None:
        self.images = images
        self.size = recipe.crop
        self.seed = recipe.seed
        areas = np.array([image.pixels.shape[0] * image.pixels.shape[1] for image in images], np.float64)
        self.shares = areas / areas.sum()

    def batch(self, count: int, step: int, rank: int = 0) -> NDArray[np.float32]:
        """Return (count, channels, size, size) in 0..1: random places, flips and quarter turns."""
        random = np.random.default_rng([self.seed, step, rank])
        chosen = random.choice(len(self.images), count, p=self.shares)
        return np.stack([self._crop(self.images[number], random) for number in chosen])

    def _crop(self, image: TrainingImage, random: np.random.Generator) -> NDArray[np.float32]:
        height, width, _ = image.pixels.shape
        top = int(random.integers(max(height - self.size, 0) + 1))
        left = int(random.integers(max(width - self.size, 0) + 1))
        piece = image.pixels[top : top + self.size, left : left + self.size]
        missing = [(0, self.size - length) for length in piece.shape[:2]]
        values = np.pad(piece, [*missing, (0, 0)], "symmetric") / np.float32(np.iinfo(piece.dtype).max)
        turned = np.rot90(values, int(random.integers(4)))
        flipped = turned[:, ::-1] if random.integers(2) else turned
        return np.ascontiguousarray(flipped.transpose(2, 0, 1))
