"""A network of this project and the law of its latents, as the training loop takes them.

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
from harness.models._coder import Coder
from harness.models._context import ContextModel
from harness.models._law import Law
from harness.models._model import analysed, packed, parts_of
from harness.shape import Shape
from harness.stream import HEADER_BYTES
from harness.trainable import Coded, Frozen, Groups, Trainable
from harness.trained import Choices

_OCTAVES_PER_OCTAVE = 0.75
"""About how many octaves fewer bits a step of one octave more makes: where the search for an image's step begins."""
_SLOPES = (0.3, 1.5)
"""The least and the greatest such slope that two evaluations are taken to tell."""
_MOST_OCTAVES = 4.0
"""How far an image's step may be from step 1, each way."""
_NEAR = 0.01
"""Octaves below which two evaluations tell no slope."""


class LawCoder(Trainable):
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
        step = self._steps(latents)
        latents = latents / step
        decided = self.context.decide(latents, step)
        hard = latents + (decided - latents).detach()
        rounded = self.choices.rate_gradient == "rounded"
        bits = self.context.bits(hard, step).sum() if rounded else self._noisy(latents, decided, step, seed)
        return Coded(hard * step, bits, step**-2)

    def _noisy(self, latents: Tensor, decided: Tensor, step: Tensor, seed: int) -> Tensor:
        """Return the bits of decided latents; their gradient for the latents is that of uniform noise for rounding."""
        random = torch.Generator().manual_seed(seed)
        noise = torch.rand(latents.shape, generator=random).to(latents.device) - 0.5
        law = self.context.bits(decided, step).sum()
        relaxed = self.context.bits_among(latents + noise, decided, step).sum()
        return law + relaxed - relaxed.detach()

    @torch.no_grad()
    def _steps(self, latents: Tensor) -> Tensor:
        """Return the step of each image, (images, 1, 1, 1): 1, or about where it has its budget of bits.

        Two evaluations of the law without its network and with plain rounding, and a secant through them.
        """
        budget = self.choices.bits_a_sample
        octaves = latents.new_zeros(len(latents), 1, 1, 1)
        if budget is None:
            return torch.exp2(octaves)
        samples = self.shape.image_channels * self.factor**2 * latents.shape[2] * latents.shape[3]

        def excess(at: Tensor) -> Tensor:
            bits = self.context.rough_bits(latents, torch.exp2(at)).sum((1, 2, 3), keepdim=True)
            return torch.log2(bits.clamp_min(1) / (budget * samples))

        at_one = excess(octaves)
        moved = (at_one / _OCTAVES_PER_OCTAVE).clamp(-_MOST_OCTAVES, _MOST_OCTAVES)
        there = excess(moved)
        slope = ((at_one - there) / torch.where(moved.abs() < _NEAR, torch.inf, moved)).clamp(*_SLOPES)
        return torch.exp2((moved + there / slope).clamp(-_MOST_OCTAVES, _MOST_OCTAVES))

    def law_bits(self, latents: Tensor, seed: int) -> Tensor:
        """Return the bits of quantised latents, those of each image at a step that the seed may vary.

        Where it does, each image has the same share of the gradient, however many bits its step makes: as files of one
        ratio.
        """
        spread, step = self.choices.step_spread, self._steps(latents)
        if not spread:
            return self.context.bits(self.context.decide(latents / step, step), step).sum()
        random = torch.Generator().manual_seed(seed)
        octaves = spread * (2 * torch.rand((len(latents), 1, 1, 1), generator=random) - 1)
        step = step * torch.exp2(octaves).to(latents.device)
        bits = self.context.bits(self.context.decide(latents / step, step), step).sum((1, 2, 3))
        held = bits.detach().clamp_min(1)
        return (bits * held.mean() / held).sum()

    def auxiliary_loss(self) -> None:
        """Return None: the law has no parameter that its bits do not train."""
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
        tensors, law = parts_of(arrays)
        self.coder.load_state_dict(tensors)
        self.context.load_law(law)

    def frozen(self) -> Frozen:
        """Return the network with its law in integers."""
        return _FrozenCoder(self.coder.eval(), self.context.law())


class _FrozenCoder(Frozen):
    def __init__(self, coder: Coder, law: Law) -> None:
        self.coder, self.law = coder, law

    def file_bytes(self, image: Image) -> int:
        return HEADER_BYTES + len(self.law.encode(analysed(self.coder, image, "cpu"), 0).data)

    @torch.inference_mode()
    def decoded(self, image: Image) -> NDArray[np.float32]:
        latents = self.law.encode(analysed(self.coder, image, "cpu"), 0).latents
        height, width, _ = image.shape
        values = self.coder.images(torch.from_numpy(latents.astype(np.float32)))[..., :height, :width]
        made: NDArray[np.float32] = values.numpy().reshape(-1, height, width).transpose(1, 2, 0)
        return made

    def arrays(self) -> Mapping[str, NDArray[Any]]:
        return packed(self.coder, self.law)
