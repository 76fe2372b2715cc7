"""Which trainings a request needs, the images for them, and one training from start to weights."""

from __future__ import annotations

import csv
import logging
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.config.registry import CodecSpec, build, load_class
from harness.config.schema import DataConfig
from harness.data import contamination
from harness.data.datasets import ImageSource, from_folder, from_set
from harness.data.images import read_image
from harness.errors import ConfigError, DataError, HarnessError, UsageError
from harness.learned.weights import LEAST_TARGET, MOST_TARGET, TrainableCodec, is_target
from harness.models._data import TrainingImage, halved, split
from harness.models._recipe import Recipe

if TYPE_CHECKING:
    from harness.models._learn import Order
    from harness.models._train import Machines

PACK_INDEX = "pack_index.csv"
"""A table in the folder of training images or above it: file, source, licence and sample_bits are read from it."""
WORK = "training"
"""The folder of checkpoints, below that of the weights."""
_ESTIMATE_STEPS = 3
_FEW_BITS_PEAK = 4095
"""The greatest sample of 12 bits: what detectors write into 16-bit files."""


@dataclass(frozen=True)
class TrainingSet:
    """Images to train on, and what a card says of them."""

    images: Sequence[TrainingImage]
    sources: Sequence[Mapping[str, str]]
    """One entry a source: name, licence."""

    def fingerprints(self) -> list[str]:
        """Return the fingerprints of all images, also at half size, which a checkpoint carries."""
        sizes = [size for image in self.images for size in (image, halved(image))]
        tiles = (contamination.fingerprint(size.pixels, size.peak, number) for number, size in enumerate(sizes))
        return sorted(tile for some in tiles for tile in some)


def read_training_set(folder: Path) -> TrainingSet:
    """Return every image below a folder, with source, licence and `sample_bits` from the folder's index.

    Raises:
        DataError: there is no such folder, no image in it, or its index says `sample_bits` that cannot be.
    """
    if not folder.is_dir():
        raise DataError(
            f"there is no folder {folder} with training images. Name one with --data, or mount it and set "
            "HARNESS_DATA to the folder that holds train/."
        )
    index = _index(folder)
    files = [replace(file, sample_bits=_declared_bits(index, file.path)) for file in from_folder(folder)]
    found = _read(files, index, {"from": folder.name})
    _warn_of_few_bits(folder, files, found.images)
    return found


def training_set_of(name: str, data: DataConfig) -> TrainingSet:
    """Return the images of a configured data set, each checked by its hash.

    Raises:
        DataError: a file is absent or is not what its hash says; the message says how to get it.
    """
    return _read(from_set(name, data), {}, {"from": name, "licence": data.licence})


def _read(
    files: Iterable[ImageSource], index: Mapping[str, Mapping[str, str]], unless: Mapping[str, str]
) -> TrainingSet:
    """Read images; what the index does not say of one is taken from `unless`."""
    images: list[TrainingImage] = []
    sources: dict[str, dict[str, str]] = {}
    for file in files:
        entry = index.get(file.path.name, {})
        source = Path(entry.get("source", file.path.name)).stem
        read = read_image(file.path, file.name, file.sample_bits)
        lossless = not any("already lossy" in note for note in read.notes)
        images.append(TrainingImage(file.name, source, read.pixels, lossless, read.sample_bits))
        named = {"name": source, "from": entry.get("source", unless["from"])}
        sources.setdefault(source, {**named, "licence": entry.get("licence", unless.get("licence", "not stated"))})
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
        raise DataError(f"{PACK_INDEX} says sample_bits = {text!r} of {path.name}; it is a whole number from 2 to 16.")
    return int(text)


def _warn_of_few_bits(folder: Path, files: Sequence[ImageSource], images: Sequence[TrainingImage]) -> None:
    """Warn where 16-bit files whose bits nobody declared look as if they held 12 bits or fewer."""
    pairs = zip(files, images, strict=True)
    unsaid = [image for file, image in pairs if not file.sample_bits and image.pixels.dtype == np.uint16]
    greatest = max((int(image.pixels.max()) for image in unsaid), default=_FEW_BITS_PEAK + 1)
    if greatest <= _FEW_BITS_PEAK:
        logging.getLogger("harness").warning(
            "no sample of the %d 16-bit images in %s is above %d, and they are taken as 16 bits: say in the column "
            "sample_bits of %s how many carry the image, or the leak check will not know them again",
            len(unsaid),
            folder,
            greatest,
            PACK_INDEX,
        )


def missing_orders(
    specs: Iterable[CodecSpec], ratios: Sequence[float], recipes: Mapping[str, Mapping[str, Any]]
) -> list[Order]:
    """Return what must be trained before learned codecs can run at these ratios, neighbours first.

    Args:
        specs: codecs; those that are not trained here are passed over.
        ratios: targets, raw bytes / file bytes.
        recipes: the `recipes` tables of the configuration.
    """
    found: dict[str, Order] = {}
    for spec in specs:
        for ratio in ratios:
            at_ratio = spec.at_ratio(ratio)
            if issubclass(load_class(spec.target), TrainableCodec) and quick_fault(at_ratio) is not None:
                order = order_for(at_ratio, recipes)
                found.setdefault(order.name, order)
    return sorted(found.values(), key=lambda order: order.turn)


def order_for(spec: CodecSpec, recipes: Mapping[str, Mapping[str, Any]]) -> Order:
    """Return the training that makes the weights of a codec at its ratio.

    Raises:
        ConfigError: the codec is not trained here, or its recipe is not there or is wrong.
        UsageError: no training gets to its ratio.
    """
    from harness.models._learn import Order

    cls = load_class(spec.target)
    if not issubclass(cls, TrainableCodec):
        raise ConfigError(f"the codec {spec.id!r} is not trained here.")
    ratio = float(spec.parameters["ratio"])
    if not is_target(ratio):
        raise UsageError(
            f"the codec {spec.id!r} cannot be trained to {ratio:g}x: "
            f"targets are from {LEAST_TARGET:g}x to {MOST_TARGET:g}x."
        )
    name = str(spec.parameters.get("recipe", "rate"))
    if name not in recipes:
        raise ConfigError(f"the codec {spec.id!r} asks for the recipe {name!r}; there are: {', '.join(recipes)}.")
    recipe = Recipe.from_table(name, recipes[name])
    return Order(cls.name, name, recipe, ratio, cls.trainable)


def quick_fault(spec: CodecSpec) -> str | None:
    """Return what is wrong with a learned codec's weights, or None after one small image went through them."""
    image = np.arange(24 * 40 * 3, dtype=np.uint32).reshape(24, 40, 3).astype(np.uint8)
    try:
        codec = build(spec)
        if not isinstance(codec, TrainableCodec):
            return f"the codec {spec.id!r} is not trained here."
        fault = codec.missing()
        if fault is None:
            decoded = build(spec).decode(codec.encode(image, codec.ladder[len(codec.ladder) // 2]))
            fault = None if decoded.shape == image.shape else f"it decodes {decoded.shape} from {image.shape}"
    except HarnessError as error:
        return str(error)
    return fault


def estimate_seconds(order: Order, images: TrainingSet, weights: Path, whole: bool = True) -> float:
    """Return about how long a training takes here: some real steps, without validation, times their number.

    Args:
        order: the training.
        images: what it trains on.
        weights: the folder of weights, where those to start from are looked for.
        whole: False where the weights to start from will be there before it, though they are not yet.
    """
    from harness.models._learn import start_of, started, trial_step

    if not whole:
        order = replace(order, recipe=order.recipe.from_neighbour())

    parts = split(images.images, order.recipe, order.ratio, order.colours)
    module = started(order, parts, start_of(order, weights))
    trial_step(module)
    start = time.perf_counter()
    for _ in range(_ESTIMATE_STEPS):
        trial_step(module)
    return (time.perf_counter() - start) / _ESTIMATE_STEPS * module.last_step


def train(order: Order, images: TrainingSet, weights: Path, machines: Machines, bar: bool) -> Path:
    """Train, or go on with what was interrupted, and return the path of the finished weights.

    Args:
        order: what to train.
        images: what to train and to validate on.
        weights: the folder of weights and cards; checkpoints and curves lie below it while training runs.
        machines: where it runs.
        bar: whether to show a progress bar.

    Raises:
        DataError: too few images, or training failed; the message says how.
    """
    from harness.models._learn import Origin, learn
    from harness.models._train import Job

    origin = Origin(images.sources, images.fingerprints)
    job = Job(order.ratio, weights / WORK / order.name, machines, bar)
    return learn(order, images.images, origin, job, weights)
