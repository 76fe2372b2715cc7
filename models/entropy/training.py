"""The entropy model (`model.py`) in training: the same sums in floating point, with gradients.

Imports torch: import this only when used.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from harness.models.entropy.coding_order import Pass, margin, neighbours, passes, weighted_sum
from harness.models.entropy.model import BASE_BITS, DECISION_WEIGHT, LEAST_SCALE, EntropyModel, Integers
from harness.models.entropy.range_coder import FIXED_BITS
from harness.models.entropy.scale_network_training import TrainedScaleNet

GROUPS = 8
"""The number of groups of channels; each group sees the earlier ones."""
_LEAST_LIKELIHOOD = 2.0**-24


def group_edges(channels: int, groups: int = GROUPS) -> tuple[int, ...]:
    """Return the first channel of each group, ascending, then the number of channels; the first groups are smallest."""
    parts = (np.arange(1, groups + 1) / groups) ** 1.5 * channels / 3
    return tuple(sorted({0, channels, *(min(channels, 3 * max(1, round(part))) for part in parts)}))


class ContextModel(nn.Module):
    """Scales and expected values of latents (images, channels, height, width), which are in steps."""

    def __init__(self, channels: int, levels: int, width: int = 0) -> None:
        """Make an untrained entropy model.

        Args:
            channels: the number of channels of the latents.
            levels: levels of the coding order; 0: one scale per channel.
            width: hidden channels of the scale network; 0: no such network.
        """
        super().__init__()
        self.levels = levels
        self.passes = passes(levels)
        self.edges = group_edges(channels) if levels else (0, channels)
        group = np.searchsorted(self.edges, np.arange(channels), side="right")
        earlier = torch.from_numpy((group[:, None] > group[None, :]).astype(np.float32))
        self.register_buffer("earlier", earlier.repeat(1, 2), persistent=False)
        self.bases = nn.Parameter(torch.full((len(self.passes), channels), math.sqrt(0.3)))
        ends = [len(one.offsets) for one in self.passes]
        shares = torch.cat([torch.full((end,), 0.7 / max(end, 1)) for end in ends])
        self.own = nn.Parameter(shares.sqrt().repeat(channels, 1))
        self.means = nn.Parameter(torch.zeros(channels, sum(ends)))
        self.cross = nn.Parameter(torch.full((channels, 2 * channels), 0.03))
        self.ends = np.cumsum([0, *ends]).tolist()
        self.net = TrainedScaleNet(self.edges, width) if width else None

    def forward(self, latents: Tensor, step: float | Tensor = 1.0) -> tuple[Tensor, Tensor]:
        """Return the scale and the expected value of each latent, in the shape of the latents.

        Args:
            latents: quantised latents, in units of `step`.
            step: the quantisation step, in trained steps: one for all images, or (images, 1, 1, 1).
        """
        sizes = latents.abs()
        features = torch.cat([sizes, 9 * functional.avg_pool2d(sizes, 3, 1, 1)], 1)
        scales = functional.conv2d(features, (self.cross.square() * self.get_buffer("earlier"))[:, :, None, None])
        edge = margin(self.levels)
        around, sizes_around = (functional.pad(one, (edge,) * 4) for one in (latents, sizes))
        means = torch.zeros_like(latents)
        for number, one in enumerate(self.passes):
            part = slice(self.ends[number], self.ends[number + 1])
            scales[one.places] += self.bases[number].square()[:, None, None] / step
            if one.offsets and scales[one.places].numel():
                scales[one.places] += self._sum(sizes_around, one, self.own[:, part].square())
                means[one.places] = self._sum(around, one, self.means[:, part])
        if self.net is not None:
            scales = scales * torch.exp2(self.net(latents))
        return scales.clamp_min(LEAST_SCALE), means

    def _sum(self, padded: Tensor, one: Pass, weights: Tensor) -> Tensor:
        total: Tensor = weighted_sum(neighbours(padded, one, self.levels), weights)
        return total

    def bits(self, latents: Tensor, step: float | Tensor = 1.0) -> Tensor:
        """Return the information in each latent, in bits."""
        scales, means = self(latents, step)
        return _information((latents - means).abs(), scales)

    def bits_among(self, latents: Tensor, neighbours: Tensor) -> Tensor:
        """Return the information in each latent, in bits, given its neighbours; only the latents get a gradient."""
        with torch.no_grad():
            scales, means = self(neighbours)
        return _information((latents - means).abs(), scales)

    @torch.no_grad()
    def decide(self, latents: Tensor, step: float | Tensor = 1.0) -> Tensor:
        """Return the integers to code, like `EntropyModel.encode` but with scales from rounded neighbours."""
        scales, means = self(latents.round(), step)
        means = means.round()
        away = latents - means
        sizes = away.abs()
        nearest = sizes.round()
        half = torch.exp(-0.5 / scales)
        saved = torch.where(nearest <= 1, torch.log2(2 / (half * (1 + half))), 1 / (scales * math.log(2)))
        lower = (nearest > 0) & (sizes < nearest - 0.5 + saved / (2 * DECISION_WEIGHT))
        chosen: Tensor = means + away.sign() * (nearest - lower.to(nearest))
        return chosen

    @torch.no_grad()
    def rescale(self, factor: float) -> None:
        """Adapt to latents that were multiplied by `factor`."""
        self.bases.mul_(math.sqrt(factor))

    @torch.no_grad()
    def load_entropy_model(self, entropy_model: EntropyModel) -> None:
        """Load an entropy model of the same channels and levels."""

        def root(values: Integers, bits: int) -> Tensor:
            return torch.from_numpy(values / 2.0**bits).sqrt().float()

        self.bases.copy_(root(entropy_model.bases, BASE_BITS))
        self.own.copy_(root(np.concatenate(entropy_model.own, axis=1), FIXED_BITS))
        self.means.copy_(torch.from_numpy(np.concatenate(entropy_model.means, axis=1) / 2.0**FIXED_BITS))
        self.cross.copy_(root(entropy_model.cross, FIXED_BITS).clamp_min(1e-3))
        if self.net is not None and entropy_model.net is not None:
            self.net.load(entropy_model.net)

    @torch.no_grad()
    def entropy_model(self) -> EntropyModel:
        """Return this entropy model in integers."""

        def fixed(values: Tensor, bits: int) -> Integers:
            whole: Integers = np.rint(values.double().cpu().numpy() * 2.0**bits).astype(np.int64)
            return whole

        own, means = fixed(self.own.square(), FIXED_BITS), fixed(self.means, FIXED_BITS)
        ends = self.ends[1:-1]
        return EntropyModel(
            levels=self.levels,
            edges=self.edges,
            families=np.zeros(len(own), np.int64),
            bases=fixed(self.bases.square(), BASE_BITS),
            own=tuple(np.split(own, ends, axis=1)),
            means=tuple(np.split(means, ends, axis=1)),
            cross=fixed(self.cross.square() * self.get_buffer("earlier"), FIXED_BITS),
            net=None if self.net is None else self.net.frozen(),
        )


def _information(away: Tensor, scales: Tensor) -> Tensor:
    """Return the bits of the interval within half a step of `away` from the expected value."""
    chance = _below(0.5 - away, scales) - _below(-0.5 - away, scales)
    return -torch.log2(chance.clamp_min(_LEAST_LIKELIHOOD))


def _below(place: Tensor, scales: Tensor) -> Tensor:
    """Return P(x < place) under the Laplace distribution of mean magnitude `scales`."""
    tail = 0.5 * torch.exp(-place.abs() / scales)
    return torch.where(place < 0, tail, 1 - tail)
