"""Training jobs: what to train, and which jobs a request needs. Light: torch is imported only by the networks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.config.registry import CodecSpec, build, load_class
from harness.errors import ConfigError, HarnessError, UsageError
from harness.learned.shape import AnyShape
from harness.learned.weights import LEAST_TARGET, MOST_TARGET, Choices, TrainableCodec, is_target
from harness.training.recipe import TrainingRecipe

if TYPE_CHECKING:
    from harness.learned.trainable import Trainable


@dataclass(frozen=True)
class TrainingJob:
    """One training: an architecture, a recipe and a target ratio."""

    architecture: str
    recipe_name: str
    recipe: TrainingRecipe
    ratio: float
    """The target: raw bytes / file bytes."""
    trainable: Callable[[AnyShape, Choices], Trainable]
    """Makes fresh networks of the architecture, with their entropy model."""

    @property
    def name(self) -> str:
        """Return a name for folders and messages, such as "baseline-rate-16x"."""
        return f"{self.architecture}-{self.recipe_name}-{self.ratio:g}x"

    @property
    def sort_key(self) -> tuple[str, bool, str, float]:
        """Return a key that sorts a job behind the jobs whose weights it starts from."""
        return self.architecture, bool(self.recipe.start_recipe), self.recipe_name, -self.ratio

    def starts_from(self, other: TrainingJob) -> bool:
        """Return whether this job starts from the weights that another job makes."""
        recipe = self.recipe
        return (other.architecture, other.recipe_name, other.ratio) == (
            self.architecture,
            recipe.start_recipe or self.recipe_name,
            recipe.start_from.get(f"{self.ratio:g}"),
        )

    @property
    def colours(self) -> int:
        """Return the number of channels of the images that the networks take: 1 or 3."""
        return self.recipe.shape(self.architecture, self.ratio).image_channels


def missing_jobs(
    specs: Iterable[CodecSpec], ratios: Sequence[float], recipes: Mapping[str, Mapping[str, Any]]
) -> list[TrainingJob]:
    """Return the jobs to run before learned codecs can run at these ratios, in the order in which to run them.

    Args:
        specs: codecs; those that cannot be trained here are skipped.
        ratios: targets, raw bytes / file bytes.
        recipes: the `recipes` tables of the configuration.
    """
    found: dict[str, TrainingJob] = {}
    for spec in specs:
        for ratio in ratios:
            at_ratio = spec.at_ratio(ratio)
            if issubclass(load_class(spec.target), TrainableCodec) and quick_fault(at_ratio) is not None:
                job = job_for(at_ratio, recipes)
                found.setdefault(job.name, job)
    return sorted(found.values(), key=lambda job: job.sort_key)


def job_for(spec: CodecSpec, recipes: Mapping[str, Mapping[str, Any]]) -> TrainingJob:
    """Return the job that makes the weights of a codec at its ratio.

    Raises:
        ConfigError: the codec cannot be trained here, or its recipe is absent or wrong.
        UsageError: its ratio is outside the range of targets.
    """
    cls = load_class(spec.target)
    if not issubclass(cls, TrainableCodec):
        raise ConfigError(f"the codec {spec.id!r} cannot be trained here.")
    ratio = float(spec.parameters["ratio"])
    if not is_target(ratio):
        raise UsageError(
            f"the codec {spec.id!r} cannot be trained to {ratio:g}x: "
            f"targets are from {LEAST_TARGET:g}x to {MOST_TARGET:g}x."
        )
    name = str(spec.parameters.get("recipe", "rate"))
    if name not in recipes:
        raise ConfigError(f"the codec {spec.id!r} asks for the recipe {name!r}; there are: {', '.join(recipes)}.")
    recipe = TrainingRecipe.from_table(name, recipes[name])
    return TrainingJob(cls.name, name, recipe, ratio, cls.trainable)


def quick_fault(spec: CodecSpec) -> str | None:
    """Return what is wrong with the weights of a learned codec, or None if they encode and decode a small image."""
    image = np.arange(24 * 40 * 3, dtype=np.uint32).reshape(24, 40, 3).astype(np.uint8)
    try:
        codec = build(spec)
        if not isinstance(codec, TrainableCodec):
            return f"the codec {spec.id!r} cannot be trained here."
        fault = codec.missing()
        if fault is None:
            decoded = build(spec).decode(codec.encode(image, codec.ladder[len(codec.ladder) // 2]))
            fault = None if decoded.shape == image.shape else f"it decodes {decoded.shape} from {image.shape}"
    except HarnessError as error:
        return str(error)
    return fault
