"""Training recipes: plain data that can be printed, compared and stored in a model card."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, PositiveFloat, PositiveInt, ValidationError

from harness.errors import ConfigError
from harness.learned.shape import AnyShape, Shape, Widths
from harness.learned.weights import Choices
from harness.models.entropy.coding_order import LEVELS, MOST_LEVELS
from harness.models.entropy.scale_network import MOST_WIDTH
from harness.system.strict import WHOLE_TABLE, StrictModel, explain


class TrainingRecipe(StrictModel):
    """One `[recipes.NAME]` table of benchmarks.toml."""

    description: str = ""
    loss: Literal["rate", "study"]
    """rate: bits + lambda x squared error; study: `mse_weight` x MSE + `ssim_weight` x (1 - SSIM), without a rate."""
    data: str = ""
    """The data set to train on [default: the images below $HARNESS_DATA/train]."""
    shapes: Mapping[str, Mapping[str, Any]]
    """Architecture -> its `Shape`, or `Widths` for a network of CompressAI; a number may be a table by ratio."""
    rate_gradient: Literal["rounded", "noise"] = "rounded"
    """Where the rate's gradient for the analysis transform comes from: rounded latents, or latents with uniform noise
    instead of rounding. If most latents round to 0, rounded ones give no gradient that keeps them small, and they
    grow."""
    mse_weight: Annotated[float, Field(ge=0)] = 0.5
    ssim_weight: Annotated[float, Field(ge=0)] = 0.5

    steps: PositiveInt | Mapping[str, PositiveInt]
    """The most optimiser steps of networks and entropy model together; for all architectures or by architecture."""
    entropy_steps: Annotated[int, Field(ge=0)] = 200
    """Steps of the entropy model alone, with frozen networks: before those (loss rate only) and after them."""
    steps_from_neighbour: Annotated[int | None, Field(ge=1)] = None
    """`steps` when training starts from another ratio's weights [default: `steps`]."""
    entropy_steps_from_neighbour: Annotated[int | None, Field(ge=0)] = None
    """`entropy_steps` when training starts from another ratio's weights [default: `entropy_steps`]."""
    validate_every: Annotated[int, Field(ge=1)] = 250
    patience: Annotated[int, Field(ge=1)] = 12
    """The networks' phase ends after this many validations without progress."""
    batch: PositiveInt | Mapping[str, PositiveInt] = 8
    """Crops per step, for all architectures or by architecture."""
    crop: Annotated[int, Field(ge=16)] = 256
    """Height and width of a crop, in pixels."""
    subset: Annotated[float, Field(gt=0, le=1)] = 1.0
    """The share of the training images that is used."""
    halves: bool = False
    """Also train on lossless images at half size, whose pixels hold more detail."""
    lossless_below: Annotated[float, Field(ge=0)] = 0
    """At target ratios below this, train on lossless files only."""
    validation_images: Annotated[int, Field(ge=1)] = 4
    """The number of whole images, each from its own source, that are used for validation."""

    learning_rate: PositiveFloat | Mapping[str, PositiveFloat] = 1e-4
    """The networks' learning rate, for all architectures or by architecture."""
    entropy_learning_rate: Annotated[float, Field(gt=0)] = 5e-3
    weight_decay: Annotated[float, Field(ge=0)] = 1e-5
    schedule: Literal["plateau", "cosine"] = "plateau"
    plateau_patience: Annotated[int, Field(ge=0)] = 10
    clip: Annotated[float, Field(gt=0)] = 1.0
    """The norm that gradients are clipped to."""
    seed: int = 0

    levels: Annotated[int, Field(ge=0, le=MOST_LEVELS)] = LEVELS
    """Levels of the coding order, coarse to fine; 0: one scale per channel (a factorised entropy model)."""
    entropy_width: Annotated[int, Field(ge=0, le=MOST_WIDTH)] = 0
    """Hidden channels of the network that corrects the entropy model's scales; 0: no such network."""
    step_spread: Annotated[float, Field(ge=0, le=4)] = 0
    """While the entropy model alone is trained, the step varies by this many octaves up and down: images compressed to
    one ratio differ in their step."""
    first_step: Mapping[str, float] = {}
    """Target ratio -> the first quantisation step, in gray levels of 8 bits; interpolated in between."""
    start_from: Mapping[str, float] = {}
    """Target ratio -> the ratio whose trained weights training starts from."""
    start_recipe: str = ""
    """The recipe of those weights, which may be shipped ones [default: this recipe]."""

    def shape(self, architecture: str, ratio: float) -> AnyShape:
        """Return the shape of an architecture at a target ratio.

        Raises:
            ConfigError: the recipe has none.
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
        """Return what the network must know of the recipe."""
        return Choices(self.loss, self.rate_gradient, self.levels, self.entropy_width, self.step_spread)

    def from_neighbour(self) -> TrainingRecipe:
        """Return the recipe with the numbers of steps for a training that starts from another ratio's weights."""
        steps = self.steps_from_neighbour or self.steps
        entropy_steps = (
            self.entropy_steps if self.entropy_steps_from_neighbour is None else self.entropy_steps_from_neighbour
        )
        return self.model_copy(update={"steps": steps, "entropy_steps": entropy_steps})

    def steps_for(self, architecture: str) -> int:
        """Return the most steps of networks and entropy model together."""
        return int(_for("steps", self.steps, architecture))

    def batch_for(self, architecture: str) -> int:
        """Return the number of crops per step."""
        return int(_for("batch", self.batch, architecture))

    def learning_rate_for(self, architecture: str) -> float:
        """Return the peak learning rate of the networks."""
        return _for("learning_rate", self.learning_rate, architecture)

    def first_step_for(self, ratio: float) -> float:
        """Return the first quantisation step, in gray levels of 8 bits."""
        import numpy as np

        known = sorted((float(key), value) for key, value in self.first_step.items()) or [(16.0, 12.0)]
        ratios, steps = zip(*known, strict=True)
        return float(np.exp(np.interp(np.log(ratio), np.log(ratios), np.log(steps))))

    @staticmethod
    def from_table(name: str, table: Mapping[str, Any]) -> TrainingRecipe:
        """Return the recipe in a table, with every shape checked.

        Raises:
            ConfigError: a key is unknown, missing or out of range.
        """
        try:
            recipe = TrainingRecipe(**table)
            for architecture in recipe.shapes:
                tables = [value for value in recipe.shapes[architecture].values() if isinstance(value, Mapping)]
                ratios = tables[0] if tables else ("16",)
                for ratio in ratios:
                    recipe.shape(architecture, float(ratio))
        except ValidationError as error:
            raise ConfigError(explain(error, f"recipes.{name}.", WHOLE_TABLE)) from error
        return recipe


def _for(key: str, value: float | Mapping[str, float], architecture: str) -> float:
    """Return a number that a recipe gives for all architectures or by architecture.

    Raises:
        ConfigError: it gives none for this architecture.
    """
    if not isinstance(value, Mapping):
        return value
    if architecture not in value:
        raise ConfigError(f"the recipe's {key} has no number for {architecture!r}; it has: {', '.join(value)}.")
    return value[architecture]
