"""What the training loop asks of a network and its entropy model. Imports torch: import this only when used.

Latents are in quantisation steps: step 1 is what files are coded with at the target ratio.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from harness.interface import Image


class Coded(NamedTuple):
    """Latents as the synthesis gets them, and what they cost."""

    latents: Tensor
    """In units of step 1."""
    bits: Tensor
    """The information in all of them together, in bits."""


class Groups(NamedTuple):
    """The parameters of a trainable, each in one list."""

    networks: list[nn.Parameter]
    entropy_model: list[nn.Parameter]
    auxiliary: list[nn.Parameter]
    """What the auxiliary loss alone trains, at the entropy model's rate; not clipped with the others."""


class Frozen(ABC):
    """A trained network with the tables that files are made with, at step 1, on the CPU."""

    @abstractmethod
    def file_bytes(self, image: Image) -> int:
        """Return the length of an image's file, header included."""

    @abstractmethod
    def decoded(self, image: Image) -> NDArray[np.float32]:
        """Return what an image's file decodes to, (height, width, channels) in 0..1, neither clipped nor rounded."""

    @abstractmethod
    def arrays(self) -> Mapping[str, NDArray[Any]]:
        """Return the arrays of the weights' file, from which the codec is built."""


class Trainable(nn.Module, ABC):
    """An analysis, a synthesis and an entropy model of latents, while they are trained.

    Images are (images, channels, height, width) in 0..1.
    """

    @property
    @abstractmethod
    def shape(self) -> Any:
        """Return the free numbers of its networks, as its card holds them."""

    @property
    @abstractmethod
    def factor(self) -> int:
        """Return of what the sides of images must be multiples."""

    @abstractmethod
    def hold_networks(self, held: bool) -> None:
        """Hold what networks keep of the images that pass (running means), or let it follow again."""

    @abstractmethod
    def latents(self, images: Tensor) -> Tensor:
        """Return the latents of images."""

    @abstractmethod
    def images(self, latents: Tensor) -> Tensor:
        """Return the images of latents; nothing is clipped or rounded."""

    @abstractmethod
    def relaxed(self, latents: Tensor, seed: int) -> Coded:
        """Return latents as quantised in training, with gradients for both; a seed decides noise."""

    @abstractmethod
    def entropy_bits(self, latents: Tensor, seed: int) -> Tensor:
        """Return the bits of latents, with gradients for the entropy model."""

    @abstractmethod
    def auxiliary_loss(self) -> Tensor | None:
        """Return what the auxiliary parameters lower, or None without any."""

    @abstractmethod
    def coded(self, latents: Tensor, step: float) -> Coded:
        """Return latents as a file at a step holds them, without gradients; their bits are an estimate."""

    @abstractmethod
    def prepare(self, images: Tensor, step: float) -> None:
        """Set the unit of fresh networks' latents to a first step, in gray levels of 8 bits.

        Args:
            images: some crops.
            step: what the recipe starts with.
        """

    @abstractmethod
    def moved(self, octaves: float) -> None:
        """Make the step 2^octaves the new step 1, in place: nothing changes but the unit of latents."""

    @abstractmethod
    def groups(self) -> Groups:
        """Return all parameters."""

    @abstractmethod
    def load_arrays(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Take over the arrays of a weights' file of the same shape."""

    @abstractmethod
    def frozen(self) -> Frozen:
        """Return what it is now, ready to code; it must be on the CPU."""
