"""A training recipe: data, so that it can be printed, compared and stored in a checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt, ValidationError

from harness.errors import ConfigError
from harness.learned.shape import AnyShape, Shape, Widths
from harness.learned.weights import Choices
from harness.models.entropy.coding_order import LEVELS, MOST_LEVELS
from harness.models.entropy.scale_network import MOST_WIDTH


class Recipe(BaseModel):
    """One `[recipes.NAME]` table of benchmarks.toml."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    description: str = ""
    loss: Literal["rate", "study"]
    """rate: bits + lambda x squared error; study: `mse_weight` x MSE + `ssim_weight` x (1 - SSIM), no rate."""
    data: str = ""
    """The data set to train on unless another is named; empty: the images below $HARNESS_DATA/train."""
    shapes: Mapping[str, Mapping[str, Any]]
    """Architecture -> its `Shape`, or the `Widths` of a network of CompressAI; a number may be a table by ratio."""
    rate_gradient: Literal["rounded", "noise"] = "rounded"
    """How the analysis learns what latents cost: by the rounded ones, or with uniform noise in place of rounding. Where
    most latents are 0, rounded ones tell it nothing of what those nearly cost, and they grow."""
    mse_weight: Annotated[float, Field(ge=0)] = 0.5
    ssim_weight: Annotated[float, Field(ge=0)] = 0.5

    steps: PositiveInt | Mapping[str, PositiveInt]
    """Optimiser steps of networks and entropy model together, at most; for all architectures or by architecture."""
    entropy_steps: Annotated[int, Field(ge=0)] = 200
    """Steps of the entropy model alone: before (rate) and after (both) those, the networks held."""
    steps_from_neighbour: Annotated[int | None, Field(ge=1)] = None
    """The same where training starts from another ratio's weights; absent: no fewer."""
    entropy_steps_from_neighbour: Annotated[int | None, Field(ge=0)] = None
    validate_every: Annotated[int, Field(ge=1)] = 250
    patience: Annotated[int, Field(ge=1)] = 12
    """Validations without progress before training ends early."""
    batch: PositiveInt | Mapping[str, PositiveInt] = 8
    """Crops in one step, for all architectures or by architecture."""
    crop: Annotated[int, Field(ge=16)] = 256
    """Height and width of a crop, in pixels."""
    subset: Annotated[float, Field(gt=0, le=1)] = 1.0
    """The share of the training images that is used."""
    halves: bool = False
    """Train on lossless images at half size too, where pixels hold more detail."""
    lossless_below: Annotated[float, Field(ge=0)] = 0
    """At target ratios below this, train on lossless files only."""
    validation_images: Annotated[int, Field(ge=1)] = 4
    """How many whole images, each of its own source, are kept for validation."""

    learning_rate: PositiveFloat | Mapping[str, PositiveFloat] = 1e-4
    """Of the networks; for all architectures or by architecture."""
    entropy_learning_rate: Annotated[float, Field(gt=0)] = 5e-3
    weight_decay: Annotated[float, Field(ge=0)] = 1e-5
    schedule: Literal["plateau", "cosine"] = "plateau"
    plateau_patience: Annotated[int, Field(ge=0)] = 10
    clip: Annotated[float, Field(gt=0)] = 1.0
    """Greatest norm of all gradients."""
    seed: int = 0

    levels: Annotated[int, Field(ge=0, le=MOST_LEVELS)] = LEVELS
    """Halvings of the coding order of the entropy model's coding passes; 0: each channel has one scale (factorised)."""
    entropy_width: Annotated[int, Field(ge=0, le=MOST_WIDTH)] = 0
    """Channels between the layers of the network that corrects the entropy model's scales; 0: no such network."""
    step_spread: Annotated[float, Field(ge=0, le=4)] = 0
    """By how many octaves, each way, the step varies while the entropy model alone is trained: images of one ratio
    differ in their step."""
    first_step: Mapping[str, float] = {}
    """Target ratio -> the first quantisation step, in gray levels of 8 bits; between them in proportion."""
    start_from: Mapping[str, float] = {}
    """Target ratio -> the ratio whose trained weights are the start."""
    start_recipe: str = ""
    """The recipe of those weights, which may be shipped ones; empty: this one."""

    def shape(self, architecture: str, ratio: float) -> AnyShape:
        """Return the architecture's numbers at a target ratio.

        Raises:
            ConfigError: the recipe does not say them.
        """
        table = dict(self.shapes.get(architecture, {}))
        if not table:
            known = ", ".join(sorted(self.shapes))
            raise ConfigError(f"the recipe has no shape for {architecture!r}; it has: {known}.")
        for key, numbers in table.items():
            if isinstance(numbers, Mapping):
                if f"{ratio:g}" not in numbers:
                    raise ConfigError(
                        f"the recipe has no {key} for {architecture!r} at {ratio:g}x; it has: {', '.join(numbers)}."
                    )
                table[key] = numbers[f"{ratio:g}"]
        return Widths(**table) if "N" in table else Shape(**table)

    @property
    def choices(self) -> Choices:
        """Return what the network that is trained must know."""
        return Choices(self.loss, self.rate_gradient, self.levels, self.entropy_width, self.step_spread)

    def from_neighbour(self) -> Recipe:
        """Return the recipe with the steps that are left to do where training starts from another ratio's weights."""
        steps = self.steps_from_neighbour or self.steps
        entropy_steps = (
            self.entropy_steps if self.entropy_steps_from_neighbour is None else self.entropy_steps_from_neighbour
        )
        return self.model_copy(update={"steps": steps, "entropy_steps": entropy_steps})

    def steps_for(self, architecture: str) -> int:
        """Return how many steps networks and entropy model take together, at most."""
        return int(_for("steps", self.steps, architecture))

    def batch_for(self, architecture: str) -> int:
        """Return how many crops one step takes."""
        return int(_for("batch", self.batch, architecture))

    def learning_rate_for(self, architecture: str) -> float:
        """Return the peak learning rate of the networks."""
        return _for("learning_rate", self.learning_rate, architecture)

    def first_step_for(self, ratio: float) -> float:
        """Return the quantisation step to start from, in gray levels of 8 bits."""
        import numpy as np

        known = sorted((float(key), value) for key, value in self.first_step.items()) or [(16.0, 12.0)]
        ratios, steps = zip(*known, strict=True)
        return float(np.exp(np.interp(np.log(ratio), np.log(ratios), np.log(steps))))

    @staticmethod
    def from_table(name: str, table: Mapping[str, Any]) -> Recipe:
        """Return a recipe from its table, checked whole.

        Raises:
            ConfigError: a key is unknown, missing or out of range.
        """
        try:
            recipe = Recipe(**table)
            for architecture in recipe.shapes:
                tables = [value for value in recipe.shapes[architecture].values() if isinstance(value, Mapping)]
                ratios = tables[0] if tables else ("16",)
                for ratio in ratios:
                    recipe.shape(architecture, float(ratio))
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"])
            raise ConfigError(f"recipes.{name}.{where}: {first['msg']}") from error
        return recipe


def _for(key: str, value: float | Mapping[str, float], architecture: str) -> float:
    """Return a number that a recipe has for all architectures or by architecture.

    Raises:
        ConfigError: it has none for this one.
    """
    if not isinstance(value, Mapping):
        return value
    if architecture not in value:
        raise ConfigError(f"the recipe's {key} has no number for {architecture!r}; it has: {', '.join(value)}.")
    return value[architecture]
