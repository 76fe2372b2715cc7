"""Codecs whose weights `harness train` makes: their interface, and where their weights are.

Nothing here imports torch.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from harness.errors import BadStreamError, DataError
from harness.interface import LearnedCodec
from harness.learned import checkpoint
from harness.learned.checkpoint import Card
from harness.learned.shape import AnyShape

if TYPE_CHECKING:
    from harness.learned.trainable import Trainable

LEAST_TARGET, MOST_TARGET = 2.0, 64.0
"""The least and the greatest target ratio of training, both included: half the least and four times the greatest ratio
that the packaged recipes have a first step for. Outside this range those steps are no guide."""


def is_target(ratio: float) -> bool:
    """Return whether networks can be trained to a target ratio (raw bytes / file bytes)."""
    return LEAST_TARGET <= ratio <= MOST_TARGET


@dataclass(frozen=True)
class Choices:
    """What a network must know of the recipe that trains it, besides its shape."""

    loss: Literal["rate", "study"]
    rate_gradient: Literal["rounded", "noise"]
    levels: int
    """Levels of the coding order, coarse to fine."""
    entropy_width: int = 0
    """Hidden channels of the network that corrects the entropy model's scales; 0: no network."""
    step_spread: float = 0
    """While the entropy model alone is trained, the step varies by this many octaves up and down."""


class TrainableCodec(LearnedCodec):
    """A learned codec whose weights `harness train` makes, one weights file per recipe and target ratio."""

    @classmethod
    @abstractmethod
    def trainable(cls, shape: AnyShape, choices: Choices) -> Trainable:
        """Return fresh networks and a fresh entropy model, ready to be trained.

        Raises:
            ConfigError: the recipe does not fit this architecture.
        """


class Weights(NamedTuple):
    """A model card, and the path of its weights."""

    card: Card
    path: Path


@dataclass(frozen=True)
class WeightsRepository:
    """The weights of one architecture, in some folders."""

    architecture: str
    recipe: str
    ratio: float
    codec_id: str
    """The codec id of benchmarks.toml to train for weights of this recipe."""
    folders: Sequence[Path]

    def found(self) -> Weights:
        """Return the weights for the recipe and ratio: the first by name in the first folder that has any.

        Raises:
            DataError: there are none, or their card cannot be read. The message says how to train them, if possible.
        """
        wanted = {"architecture": self.architecture, "recipe_name": self.recipe, "ratio": self.ratio}
        for found in checkpoint.cards(self.folders, wanted):
            return Weights(*found)
        advice = (
            f"Train them: harness train --models {self.codec_id} --ratios {self.ratio:g}, with training images in "
            "$HARNESS_DATA/train or named by --data."
            if is_target(self.ratio)
            else f"They cannot be trained: targets are from {LEAST_TARGET:g}x to {MOST_TARGET:g}x."
        )
        raise DataError(
            f"no weights of {self.architecture} (recipe {self.recipe}) for {self.ratio:g}x in "
            f"{', '.join(str(folder) for folder in self.folders)}. {advice}"
        )

    def named(self, weights_id: str) -> Weights:
        """Return the weights that a file names, of any recipe and ratio.

        Raises:
            BadStreamError: they are in none of the folders.
            DataError: their card cannot be read.
        """
        for path in (folder / f"{weights_id}.json" for folder in self.folders):
            if path.is_file():
                card = checkpoint.read_card(path)
                if (card.architecture, card.id) == (self.architecture, weights_id):
                    return Weights(card, path.with_suffix(".safetensors"))
        raise BadStreamError(
            f"the file was made with the weights {weights_id} of {self.architecture}, which are in none of "
            f"{', '.join(str(folder) for folder in self.folders)}. Put {weights_id}.safetensors and its card there."
        )

    def missing(self) -> str | None:
        """Return None if the weights are here, else what to do."""
        try:
            self.found()
        except DataError as error:
            return str(error)
        return None

    def fingerprints(self) -> Sequence[str] | None:
        """Return the fingerprints of the training images; None without weights or if they are of another version."""
        if self.missing() is not None:
            return None
        card, path = self.found()
        return checkpoint.fingerprints(card, path)

    def provenance(self) -> Mapping[str, Any]:
        """Return the weights' sha256, number of training steps and training hardware."""
        if self.missing() is not None:
            return {"weights": None}
        card, _ = self.found()
        return {"weights": card.sha256, "steps": card.steps, "hardware": card.hardware}
