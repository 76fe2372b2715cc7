"""The scale network: in integers, it corrects the entropy model's scales by the magnitudes of earlier channels.

For each group of channels there is a 3x3 convolution over the logarithms of all earlier channels' magnitudes, ReLU, a
1x1 convolution, ReLU, and a 1x1 convolution to a power of two for each latent of the group: channel-conditional
entropy coding (Minnen and Singh, ICIP 2020), for scales alone. All sums are of integers below 2^53 in float64, which is
exact in any order, so every machine computes the same scales.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from harness.learned.bitstream import STEPS_PER_OCTAVE
from harness.models.entropy.range_coder import bank

Integers = NDArray[np.int64]

LOG_BITS = 8
"""Fractional bits of logarithms and of activations."""
WEIGHT_BITS = 12
"""Fractional bits of weights."""
MOST_OCTAVES = 2
"""A scale is corrected by at most a factor of 2^2 each way."""
MOST_WIDTH = 512
"""The most hidden channels."""
LARGEST_WEIGHT = 2**19
"""The greatest magnitude of integer weights; biases can be 2^LOG_BITS times as large."""
_MOST_BETWEEN = 2**16
"""Activations are clipped to this, so that sums stay exact."""
_MOST_SCALE = 2**30
"""Scales are clipped to this, which is 2^18 steps."""
_LAYERS = ("first", "second", "third")


def log_magnitudes(latents: Integers) -> Integers:
    """Return log2(1 + |latent|) with `LOG_BITS` fractional bits, linear between powers of two."""
    sizes = np.minimum(np.abs(latents), 2**20) + 1
    _, exponents = np.frexp(sizes.astype(np.float64))
    octaves = exponents.astype(np.int64) - 1
    logarithms: Integers = (octaves << LOG_BITS) + ((sizes << LOG_BITS) >> octaves) - 2**LOG_BITS
    return logarithms


def multiplied(scales: Integers, powers: Integers) -> Integers:
    """Return scales times 2^(power / 32), rounded down; one shape, powers of at most 32 x `MOST_OCTAVES`."""
    octaves, rest = np.divmod(-powers, STEPS_PER_OCTAVE)
    grown: Integers = (np.clip(scales, 0, _MOST_SCALE) * bank().powers[rest]) >> (30 + octaves)
    return grown


@dataclass(frozen=True)
class Layer:
    """A convolution: weights (outputs, inputs, places) and a bias (outputs,) with 8 more fractional bits."""

    weights: Integers
    bias: Integers

    def __call__(self, views: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
        """Return (outputs, positions) from one view (inputs, positions) per place of the kernel."""
        total = np.broadcast_to(self.bias[:, None].astype(np.float64), (len(self.bias), views[0].shape[1])).copy()
        for place, view in enumerate(views):
            total += self.weights[:, :, place].astype(np.float64) @ view
        return total


def _between(total: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return a layer's sums after ReLU, with `LOG_BITS` fractional bits again."""
    kept: NDArray[np.float64] = np.floor(np.clip(total, 0, _MOST_BETWEEN * 2.0**WEIGHT_BITS) / 2.0**WEIGHT_BITS)
    return kept


@dataclass(frozen=True)
class ScaleNet:
    """The layers of each group but the first, which has no earlier channel."""

    groups: tuple[tuple[Layer, Layer, Layer], ...]

    def powers(self, group: int, logarithms: Integers) -> Integers:
        """Return the powers of 2^(1/32) to multiply scales by.

        Args:
            group: number of a group of channels, from 1.
            logarithms: `log_magnitudes` of all earlier channels, with zeros around: (channels, height + 2, width + 2).

        Returns:
            (channels of the group, height, width).
        """
        first, second, third = self.groups[group - 1]
        channels, height, width = logarithms.shape
        flat = logarithms.reshape(channels, -1).astype(np.float64)
        inside = (height - 2) * width - 2
        views = [flat[:, row * width + column :][:, :inside] for row in range(3) for column in range(3)]
        total = third([_between(second([_between(first(views))]))])
        shift = 2.0 ** (LOG_BITS + WEIGHT_BITS) / STEPS_PER_OCTAVE
        most = MOST_OCTAVES * STEPS_PER_OCTAVE
        rounded = np.clip(np.floor(total / shift + 0.5), -most, most).astype(np.int64)
        padded = np.pad(rounded, ((0, 0), (0, 2)))
        powers: Integers = padded.reshape(len(rounded), height - 2, width)[:, :, : width - 2]
        return powers

    def arrays(self) -> dict[str, Integers]:
        """Return all weights as named arrays."""
        return {
            f"net.{number}.{name}.{part}": getattr(layer, part)
            for number, layers in enumerate(self.groups, start=1)
            for name, layer in zip(_LAYERS, layers, strict=True)
            for part in ("weights", "bias")
        }

    @staticmethod
    def from_arrays(packed: Mapping[str, NDArray[np.generic]], edges: Sequence[int]) -> ScaleNet:
        """Return the network with these `arrays`.

        Args:
            packed: arrays by name, possibly with others.
            edges: the first channel of each group of the entropy model, then the number of channels.

        Raises:
            ValueError: an array has a wrong shape or holds a value that is too large.
            KeyError: an array is absent.
        """
        width = len(packed["net.1.first.bias"])
        if not 0 < width <= MOST_WIDTH:
            raise ValueError(f"a scale network has {width} hidden channels; it must have 1 to {MOST_WIDTH}")
        groups = []
        for number, (start, end) in enumerate(pairwise(edges[1:]), start=1):
            shapes = {"first": (width, start, 9), "second": (width, width, 1), "third": (end - start, width, 1)}
            first, second, third = (_layer(packed, f"net.{number}.{name}.", shapes[name]) for name in _LAYERS)
            groups.append((first, second, third))
        return ScaleNet(tuple(groups))


def _layer(packed: Mapping[str, NDArray[np.generic]], name: str, shape: tuple[int, ...]) -> Layer:
    weights, bias = (packed[name + part] for part in ("weights", "bias"))
    if weights.shape != shape or bias.shape != shape[:1]:
        raise ValueError(f"{name} has the shape {weights.shape}, not {shape}")
    layer = Layer(weights.astype(np.int64), bias.astype(np.int64))
    if not _within(layer.weights, LARGEST_WEIGHT) or not _within(layer.bias, LARGEST_WEIGHT * 2**LOG_BITS):
        raise ValueError(f"{name} holds a value that is too large")
    return layer


def _within(values: Integers, most: int) -> bool:
    return bool((values >= -most).all() and (values <= most).all())
