"""A network of this project and the entropy model of its latents, as the training loop takes them.

Imports torch: import this only when used.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from harness.interface import Image
from harness.learned.bitstream import HEADER_BYTES
from harness.learned.shape import Shape
from harness.learned.trainable import Coded, Frozen, Groups, Trainable
from harness.learned.weights import Choices
from harness.models._autoencoder import Coder
from harness.models._inference import analysed, packed, parts_of
from harness.models.entropy.model import EntropyModel
from harness.models.entropy.training import ContextModel


class TrainableAutoencoder(Trainable):
    """A `Coder`, and the `ContextModel` of its latents."""

    def __init__(self, coder: Coder, context: ContextModel, choices: Choices) -> None:
        super().__init__()
        self.coder, self.context, self.choices = coder, context, choices

    @property
    def shape(self) -> Shape:
        """Return the shape of the networks."""
        return self.coder.shape

    @property
    def factor(self) -> int:
        """Return how many pixels, each way, one latent stands for."""
        return self.shape.factor

    def hold_networks(self, held: bool) -> None:
        """Hold the running means of batch normalisation."""
        self.coder.train(not held)

    def latents(self, images: Tensor) -> Tensor:
        """Return the latents of images."""
        return self.coder.latents(images)

    def images(self, latents: Tensor) -> Tensor:
        """Return the images of latents."""
        return self.coder.images(latents)

    def relaxed(self, latents: Tensor, seed: int) -> Coded:
        """Return quantised latents (straight-through gradient) and their bits."""
        decided = self.context.decide(latents)
        hard = latents + (decided - latents).detach()
        if self.choices.rate_gradient == "rounded":
            return Coded(hard, self.context.bits(hard).sum())
        return Coded(hard, self._noisy(latents, decided, seed))

    def _noisy(self, latents: Tensor, decided: Tensor, seed: int) -> Tensor:
        """Return the bits of decided latents; their gradient for the latents is that of uniform noise for rounding."""
        random = torch.Generator().manual_seed(seed)
        noise = torch.rand(latents.shape, generator=random).to(latents.device) - 0.5
        entropy_model = self.context.bits(decided).sum()
        relaxed = self.context.bits_among(latents + noise, decided).sum()
        return entropy_model + relaxed - relaxed.detach()

    def entropy_bits(self, latents: Tensor, seed: int) -> Tensor:
        """Return the bits of quantised latents, those of each image at a step that the seed decides.

        Then each image has the same share of the gradient, however many bits its step makes: as files of one ratio.
        """
        spread = self.choices.step_spread
        if not spread:
            return self.context.bits(self.context.decide(latents)).sum()
        random = torch.Generator().manual_seed(seed)
        octaves = spread * (2 * torch.rand((len(latents), 1, 1, 1), generator=random) - 1)
        step = torch.exp2(octaves).to(latents.device)
        bits = self.context.bits(self.context.decide(latents / step, step), step).sum((1, 2, 3))
        held = bits.detach().clamp_min(1)
        return (bits * held.mean() / held).sum()

    def auxiliary_loss(self) -> None:
        """Return None: the entropy model has no parameter that its bits do not train."""
        return

    @torch.no_grad()
    def coded(self, latents: Tensor, step: float) -> Coded:
        """Return latents as a file at a step holds them."""
        decided = self.context.decide(latents / step, step)
        return Coded(decided * step, self.context.bits(decided, step).sum())

    @torch.no_grad()
    def prepare(self, images: Tensor, step: float) -> None:
        """Set the gain so that step 1 is the first step."""
        if self.shape.start == "lapped":
            self.coder.gain.fill_(math.log(255 / step))
            return
        self.coder.eval()
        spread = self.coder.latents(images).std().item()
        self.coder.gain.fill_(math.log(64 / step / max(spread, 1e-6)))

    @torch.no_grad()
    def moved(self, octaves: float) -> None:
        """Make the step 2^octaves the new step 1."""
        self.coder.gain.sub_(octaves * math.log(2))
        self.coder.centre.mul_(2.0**-octaves)
        self.context.rescale(2.0**-octaves)

    def groups(self) -> Groups:
        """Return all parameters; none is auxiliary."""
        return Groups(list(self.coder.parameters()), list(self.context.parameters()), [])

    def load_arrays(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Take over the weights of another ratio."""
        tensors, entropy_model = parts_of(arrays)
        self.coder.load_state_dict(tensors)
        self.context.load_entropy_model(entropy_model)

    def frozen(self) -> Frozen:
        """Return the network with its entropy model in integers."""
        return _FrozenCoder(self.coder.eval(), self.context.entropy_model())


class _FrozenCoder(Frozen):
    def __init__(self, coder: Coder, entropy_model: EntropyModel) -> None:
        self.coder, self.entropy_model = coder, entropy_model

    def file_bytes(self, image: Image) -> int:
        return HEADER_BYTES + len(self.entropy_model.encode(analysed(self.coder, image, "cpu"), 0).data)

    @torch.inference_mode()
    def decoded(self, image: Image) -> NDArray[np.float32]:
        latents = self.entropy_model.encode(analysed(self.coder, image, "cpu"), 0).latents
        height, width, _ = image.shape
        values = self.coder.images(torch.from_numpy(latents.astype(np.float32)))[..., :height, :width]
        made: NDArray[np.float32] = values.numpy().reshape(-1, height, width).transpose(1, 2, 0)
        return made

    def arrays(self) -> Mapping[str, NDArray[Any]]:
        return packed(self.coder, self.entropy_model)
