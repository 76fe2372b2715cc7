"""The scale network (`scale_network.py`) in training: the same sums in floating point, with gradients.

Imports torch: import this only when used.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn

from harness.models.entropy.scale_network import (
    LARGEST_WEIGHT,
    LOG_BITS,
    MOST_OCTAVES,
    WEIGHT_BITS,
    Integers,
    Layer,
    ScaleNet,
)


class TrainedScaleNet(nn.Module):
    """Predicts corrections of the scales of latents, in octaves; all are 0 before training."""

    def __init__(self, edges: Sequence[int], width: int) -> None:
        super().__init__()
        self.edges = edges
        self.groups = nn.ModuleList(_layers(start, end - start, width) for start, end in pairwise(edges[1:]))

    def forward(self, latents: Tensor) -> Tensor:
        """Return the correction of the scale of each latent (images, channels, height, width), in octaves."""
        logarithms = _log_magnitudes(latents)
        found = [torch.zeros_like(latents[:, : self.edges[1]])]
        found += [group(logarithms[:, :start]) for group, start in zip(self.groups, self.edges[1:-1], strict=True)]
        return torch.cat(found, 1).clamp(-MOST_OCTAVES, MOST_OCTAVES)

    @torch.no_grad()
    def load(self, net: ScaleNet) -> None:
        """Load a network of the same shapes."""
        for layers, sequence in zip(net.groups, self.groups, strict=True):
            for layer, convolution in zip(layers, _convolutions(sequence), strict=True):
                weights = torch.from_numpy(layer.weights / 2.0**WEIGHT_BITS)
                convolution.weight.copy_(weights.reshape(convolution.weight.shape))
                convolution.get_parameter("bias").copy_(torch.from_numpy(layer.bias / 2.0 ** (WEIGHT_BITS + LOG_BITS)))

    @torch.no_grad()
    def frozen(self) -> ScaleNet:
        """Return this network in integers."""
        groups = []
        for sequence in self.groups:
            first, second, third = (
                Layer(_fixed(one.weight.flatten(2), 0), _fixed(one.get_parameter("bias"), LOG_BITS))
                for one in _convolutions(sequence)
            )
            groups.append((first, second, third))
        return ScaleNet(tuple(groups))


def _layers(earlier: int, channels: int, width: int) -> nn.Sequential:
    last = nn.Conv2d(width, channels, 1)
    nn.init.zeros_(last.weight)
    nn.init.zeros_(last.get_parameter("bias"))
    first, second = nn.Conv2d(earlier, width, 3, padding=1), nn.Conv2d(width, width, 1)
    return nn.Sequential(first, nn.ReLU(), second, nn.ReLU(), last)


def _convolutions(sequence: nn.Module) -> list[nn.Conv2d]:
    return [layer for layer in sequence.modules() if isinstance(layer, nn.Conv2d)]


def _log_magnitudes(latents: Tensor) -> Tensor:
    """Return log2(1 + |latent|), linear between powers of two."""
    sizes = latents.abs() + 1
    octaves = sizes.detach().log2().floor()
    return octaves + sizes * 2.0**-octaves - 1


def _fixed(values: Tensor, more_bits: int) -> Integers:
    most = LARGEST_WEIGHT * 2**more_bits
    whole = np.rint(values.double().cpu().numpy() * 2.0 ** (WEIGHT_BITS + more_bits))
    fixed: Integers = np.clip(whole, -most, most).astype(np.int64)
    return fixed
