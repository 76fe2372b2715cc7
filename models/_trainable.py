"""An autoencoder and its entropy model in training: the training loop's view of them.

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
from harness.learned.state import state_of
from harness.learned.trainable import Frozen, Groups, Quantised, Trainable
from harness.learned.weights import Choices
from harness.models._autoencoder import Autoencoder
from harness.models._inference import analysed, entropy_model_of, packed
from harness.models.entropy.model import EntropyModel
from harness.models.entropy.training import ContextModel


class TrainableAutoencoder(Trainable):
    """An `Autoencoder`, and the `ContextModel` of its latents."""

    def __init__(self, autoencoder: Autoencoder, context: ContextModel, choices: Choices) -> None:
        super().__init__()
        self.autoencoder, self.context, self.choices = autoencoder, context, choices

    @property
    def shape(self) -> Shape:
        """Return the shape of the networks."""
        return self.autoencoder.shape

    @property
    def factor(self) -> int:
        """Return the number of pixels per latent, in height and in width."""
        return self.shape.factor

    def freeze_statistics(self, frozen: bool) -> None:
        """Freeze the running means of batch normalisation, or update them again."""
        self.autoencoder.train(not frozen)

    def latents(self, images: Tensor) -> Tensor:
        """Return the latents of images."""
        return self.autoencoder.latents(images)

    def images(self, latents: Tensor) -> Tensor:
        """Return the images of latents."""
        return self.autoencoder.images(latents)

    def with_noise(self, latents: Tensor, seed: int) -> Quantised:
        """Return quantised latents (straight-through gradient) and their bits, with gradients as the recipe says."""
        decided = self.context.decide(latents)
        hard = latents + (decided - latents).detach()
        if self.choices.rate_gradient == "rounded":
            return Quantised(hard, self.context.bits(hard).sum())
        return Quantised(hard, self._bits_with_noise(latents, decided, seed))

    def _bits_with_noise(self, latents: Tensor, decided: Tensor, seed: int) -> Tensor:
        """Return the bits of decided latents, with the gradient that uniform noise instead of rounding gives."""
        random = torch.Generator().manual_seed(seed)
        noise = torch.rand(latents.shape, generator=random).to(latents.device) - 0.5
        bits = self.context.bits(decided).sum()
        noisy = self.context.bits_among(latents + noise, decided).sum()
        return bits + noisy - noisy.detach()

    def entropy_bits(self, latents: Tensor, seed: int) -> Tensor:
        """Return the bits of quantised latents, each image at a random step that the seed decides.

        Random steps give images different numbers of bits; the weights give them equal shares of the gradient, as if
        they were files of one ratio.
        """
        spread = self.choices.step_spread
        if not spread:
            return self.context.bits(self.context.decide(latents)).sum()
        random = torch.Generator().manual_seed(seed)
        octaves = spread * (2 * torch.rand((len(latents), 1, 1, 1), generator=random) - 1)
        step = torch.exp2(octaves).to(latents.device)
        bits = self.context.bits(self.context.decide(latents / step, step), step).sum((1, 2, 3))
        fixed = bits.detach().clamp_min(1)
        return (bits * fixed.mean() / fixed).sum()

    def auxiliary_loss(self) -> None:
        """Return None: the entropy model has no parameter that its bits do not train."""
        return

    @torch.no_grad()
    def quantised(self, latents: Tensor, step: float) -> Quantised:
        """Return latents quantised as in a file at a step."""
        decided = self.context.decide(latents / step, step)
        return Quantised(decided * step, self.context.bits(decided, step).sum())

    @torch.no_grad()
    def prepare(self, images: Tensor, step: float) -> None:
        """Set the gain so that step 1 is the first step, in gray levels of 8 bits."""
        if self.shape.start == "lapped":
            self.autoencoder.gain.fill_(math.log(255 / step))
            return
        self.autoencoder.eval()
        spread = self.autoencoder.latents(images).std().item()
        self.autoencoder.gain.fill_(math.log(64 / step / max(spread, 1e-6)))

    @torch.no_grad()
    def rescale(self, octaves: float) -> None:
        """Make the step 2^octaves the new step 1."""
        self.autoencoder.gain.sub_(octaves * math.log(2))
        self.autoencoder.centre.mul_(2.0**-octaves)
        self.context.rescale(2.0**-octaves)

    def groups(self) -> Groups:
        """Return all parameters; none is auxiliary."""
        return Groups(list(self.autoencoder.parameters()), list(self.context.parameters()), [])

    def load_arrays(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Load the weights of another training."""
        entropy_model = entropy_model_of(arrays)
        self.autoencoder.load_state_dict(state_of(arrays))
        self.context.load_entropy_model(entropy_model)

    def frozen(self) -> Frozen:
        """Return the networks and their entropy model in integers."""
        return _FrozenAutoencoder(self.autoencoder.eval(), self.context.entropy_model())


class _FrozenAutoencoder(Frozen):
    def __init__(self, autoencoder: Autoencoder, entropy_model: EntropyModel) -> None:
        self.autoencoder, self.entropy_model = autoencoder, entropy_model

    def file_bytes(self, image: Image) -> int:
        return HEADER_BYTES + len(self.entropy_model.encode(analysed(self.autoencoder, image, "cpu"), 0).data)

    @torch.inference_mode()
    def decoded(self, image: Image) -> NDArray[np.float32]:
        latents = self.entropy_model.encode(analysed(self.autoencoder, image, "cpu"), 0).latents
        height, width, _ = image.shape
        values = self.autoencoder.images(torch.from_numpy(latents.astype(np.float32)))[..., :height, :width]
        made: NDArray[np.float32] = values.numpy().reshape(-1, height, width).transpose(1, 2, 0)
        return made

    def arrays(self) -> Mapping[str, NDArray[Any]]:
        return packed(self.autoencoder, self.entropy_model)
