"""Which trainings a request needs, and one training from start to weights."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.config.registry import CodecSpec, build, load_class
from harness.errors import ConfigError, HarnessError, UsageError
from harness.learned.weights import LEAST_TARGET, MOST_TARGET, TrainableCodec, is_target
from harness.training.crops import split
from harness.training.images import TrainingSet
from harness.training.recipe import Recipe

if TYPE_CHECKING:
    from harness.training.job import Order
    from harness.training.loop import Machines

WORK = "training"
"""The folder of checkpoints, below that of the weights."""
_ESTIMATE_STEPS = 3


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
    from harness.training.job import Order

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
    from harness.training.job import start_of, started, trial_step

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
    from harness.training.job import Origin, learn
    from harness.training.loop import Job

    origin = Origin(images.sources, images.fingerprints)
    job = Job(order.ratio, weights / WORK / order.name, machines, bar)
    return learn(order, images.images, origin, job, weights)
