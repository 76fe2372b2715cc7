"""Codecs whose weights `harness train` makes: what such a codec offers, and where its weights are.

torch is imported only by what makes networks.
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
"""The target ratios, ends included, that training is for: half the least and four times the greatest for which the
packaged recipes say a first step. Farther out those do not tell where to begin."""


def is_target(ratio: float) -> bool:
    """Tell whether networks can be trained to a target ratio (raw bytes / file bytes)."""
    return LEAST_TARGET <= ratio <= MOST_TARGET


@dataclass(frozen=True)
class Choices:
    """What a recipe says to the network that it trains, beside its shape."""

    loss: Literal["rate", "study"]
    rate_gradient: Literal["rounded", "noise"]
    levels: int
    """Halvings of the coding order of the entropy model's coding passes."""
    entropy_width: int = 0
    """Channels between the layers of the entropy model's network; 0: no network."""
    step_spread: float = 0
    """By how many octaves, each way, the step varies while the entropy model alone is trained."""


class TrainableCodec(LearnedCodec):
    """A learned codec whose weights are made here, a file of weights for each recipe and target ratio."""

    @classmethod
    @abstractmethod
    def trainable(cls, shape: AnyShape, choices: Choices) -> Trainable:
        """Return fresh networks and a fresh entropy model, ready to be trained.

        Raises:
            ConfigError: the recipe does not fit this architecture.
        """


class Weights(NamedTuple):
    """A card, and the path of the weights that it stands beside."""

    card: Card
    path: Path


@dataclass(frozen=True)
class WeightsRepository:
    """The weights of one architecture that were trained here, in some folders."""

    architecture: str
    recipe: str
    ratio: float
    codec_id: str
    """The id in benchmarks.toml whose training makes the weights of this recipe."""
    folders: Sequence[Path]

    def found(self) -> Weights:
        """Return the weights for the recipe and ratio: the first by name in the first folder that has any.

        Raises:
            DataError: there are none, and the message says how to train them, or why that cannot be; or their card
                cannot be read.
        """
        wanted = {"architecture": self.architecture, "recipe_name": self.recipe, "ratio": self.ratio}
        for found in checkpoint.cards(self.folders, wanted):
            return Weights(*found)
        advice = (
            f"Train them: harness train --models {self.codec_id} --ratios {self.ratio:g}, with training images below "
            "$HARNESS_DATA/train or named by --data."
            if is_target(self.ratio)
            else f"None are trained for that: targets are from {LEAST_TARGET:g}x to {MOST_TARGET:g}x."
        )
        raise DataError(
            f"no weights of {self.architecture} (recipe {self.recipe}) for {self.ratio:g}x in "
            f"{', '.join(str(folder) for folder in self.folders)}. {advice}"
        )

    def named(self, weights_id: str) -> Weights:
        """Return the weights that a file names, of whatever recipe and ratio.

        Raises:
            BadStreamError: they are not here.
            DataError: their card cannot be read.
        """
        for path in (folder / f"{weights_id}.json" for folder in self.folders):
            if path.is_file():
                card = checkpoint.read_card(path)
                if (card.architecture, card.id) == (self.architecture, weights_id):
                    return Weights(card, path.with_suffix(".safetensors"))
        raise BadStreamError(
            f"the file was made with the weights {weights_id}, which are not among those of {self.architecture} in "
            f"{', '.join(str(folder) for folder in self.folders)}. Put {weights_id}.safetensors and its card there."
        )

    def missing(self) -> str | None:
        """Return None when the weights are here, else what to do."""
        try:
            self.found()
        except DataError as error:
            return str(error)
        return None

    def fingerprints(self) -> Sequence[str] | None:
        """Return the fingerprints that stand beside the weights; None without weights, or of another version."""
        if self.missing() is not None:
            return None
        card, path = self.found()
        return checkpoint.fingerprints(card, path)

    def provenance(self) -> Mapping[str, Any]:
        """Return the weights' sha256, how long they were trained and on what."""
        if self.missing() is not None:
            return {"weights": None}
        card, _ = self.found()
        return {"weights": card.sha256, "steps": card.steps, "hardware": card.hardware}
