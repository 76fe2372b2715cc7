"""The interface between the training loop and a network. Imports torch: import this only when used.

Latents are in quantisation steps: files at the target ratio are coded with step 1.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from harness.interface import Image


class Quantised(NamedTuple):
    """Quantised latents, and their cost."""

    latents: Tensor
    """The input of the synthesis transform, in units of step 1."""
    bits: Tensor
    """The information in all latents together, in bits."""


class Groups(NamedTuple):
    """The parameters of a trainable; each is in one list."""

    networks: list[nn.Parameter]
    entropy_model: list[nn.Parameter]
    auxiliary: list[nn.Parameter]
    """Parameters that only the auxiliary loss trains, at the entropy model's learning rate and without clipping."""


class Frozen(ABC):
    """A trained network that makes real files at step 1, on the CPU."""

    @abstractmethod
    def file_bytes(self, image: Image) -> int:
        """Return the length of an image's file, header included."""

    @abstractmethod
    def decoded(self, image: Image) -> NDArray[np.float32]:
        """Return the decoded image, (height, width, channels) in 0..1, neither clipped nor rounded."""

    @abstractmethod
    def arrays(self) -> Mapping[str, NDArray[Any]]:
        """Return the arrays for the weights file."""


class Trainable(nn.Module, ABC):
    """An analysis transform, a synthesis transform and an entropy model in training.

    Images are (images, channels, height, width) in 0..1.
    """

    @property
    @abstractmethod
    def shape(self) -> Any:
        """Return the shape of the networks, as the model card holds it."""

    @property
    @abstractmethod
    def factor(self) -> int:
        """Return the number that the sides of images must be multiples of."""

    @abstractmethod
    def freeze_statistics(self, frozen: bool) -> None:
        """Freeze the statistics that networks keep of their input (running means), or update them again."""

    @abstractmethod
    def latents(self, images: Tensor) -> Tensor:
        """Return the latents of images."""

    @abstractmethod
    def images(self, latents: Tensor) -> Tensor:
        """Return the images of latents; nothing is clipped or rounded."""

    @abstractmethod
    def with_noise(self, latents: Tensor, seed: int) -> Quantised:
        """Return latents quantised as in training, with gradients for latents and bits; the seed decides the noise."""

    @abstractmethod
    def entropy_bits(self, latents: Tensor, seed: int) -> Tensor:
        """Return the bits of latents, with gradients for the entropy model."""

    @abstractmethod
    def auxiliary_loss(self) -> Tensor | None:
        """Return the loss of the auxiliary parameters, or None if there are none."""

    @abstractmethod
    def quantised(self, latents: Tensor, step: float) -> Quantised:
        """Return latents quantised as in a file, without gradients; their bits are an estimate."""

    @abstractmethod
    def prepare(self, images: Tensor, step: float) -> None:
        """Scale the latents of fresh networks so that step 1 is the recipe's first step.

        Args:
            images: some crops.
            step: the first step, in gray levels of 8 bits.
        """

    @abstractmethod
    def rescale(self, octaves: float) -> None:
        """Make the step 2^octaves the new step 1, in place: only the unit of the latents changes."""

    @abstractmethod
    def groups(self) -> Groups:
        """Return all parameters."""

    @abstractmethod
    def load_arrays(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Load the arrays of a weights file of the same shape."""

    @abstractmethod
    def frozen(self) -> Frozen:
        """Return the network in its present state, ready to make files; it must be on the CPU."""
