"""CompressAI's networks at any quantisation step. Imports torch: import this only when used.

A step of s is the same network in other units: latents leave the analysis divided by s and enter whatever reads
them multiplied by s; predicted scales and means are divided by s. Nothing of CompressAI is changed.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from harness.codecs._compressai.stream import MULTIPLE
from harness.errors import BadStreamError, DataError
from harness.interface import Image
from harness.learned.tensors import filled, normalised

NETWORK, GAIN = "network.", "gain"
"""Names of the arrays in weights that were trained here: what CompressAI's begin with, and the gain."""
_LATENTS_A_CELL = 16
"""Latents (of each channel) that 64 x 64 pixels have: none of the networks has more."""
_BYTES_A_LATENT = 8
"""Most bytes of a string for one latent: 2 to mark that it is outside its table, 1 to count nibbles, 4 of nibbles."""
_ZEROS_A_BYTE = 128
"""Bytes behind a string for each of its own, so that what reads a made-up one stays within it: each of its nibbles can
ask for 15 more, and CompressAI's coder takes 4 bytes for a nibble when its state is 0."""


class Compressed(NamedTuple):
    """What a network made of an image."""

    shape: tuple[int, int]
    strings: list[bytes]
    crc: int
    """CRC-32 of all coded integers (int32, little-endian), in the order of their decoding."""


class Decompressed(NamedTuple):
    """What a network made of strings."""

    image: Tensor
    """(1, 3, height, width) in 0..1."""
    crc: int


class _Scaled(nn.Module):
    """A network whose input is multiplied by one factor and its output by another."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner, self.before, self.after = inner, 1.0, 1.0

    def forward(self, x: Tensor) -> Tensor:
        """Return after x inner(before x input)."""
        made: Tensor = self.inner(x * self.before) * self.after
        return made


class _Watch:
    """Counts the integers that pass through CompressAI's entropy models into a CRC-32, in one direction."""

    def __init__(self) -> None:
        self.crc, self.decoding = 0, False

    def start(self, decoding: bool) -> None:
        """Begin anew."""
        self.crc, self.decoding = 0, decoding

    def on(self, model: Any) -> None:
        """Listen to an entropy model."""
        quantise, dequantise = model.quantize, model.dequantize

        def quantised(inputs: Tensor, mode: str, means: Tensor | None = None) -> Tensor:
            made: Tensor = quantise(inputs, mode, means)
            if mode == "symbols" and not self.decoding:
                self._count(made)
            return made

        def dequantised(inputs: Tensor, means: Tensor | None = None, dtype: torch.dtype = torch.float) -> Tensor:
            if self.decoding:
                self._count(inputs)
            made: Tensor = dequantise(inputs, means, dtype)
            return made

        model.quantize, model.dequantize = quantised, dequantised

    def _count(self, symbols: Tensor) -> None:
        self.crc = zlib.crc32(symbols.int().numpy().astype("<i4").tobytes(), self.crc)


class SteppedNetwork:
    """A network of CompressAI with its weights, and the step that it codes with.

    The gain is the natural logarithm of the factor from the analysis's latents to trained steps: 0 as published.
    """

    def __init__(self, network: Any, sha256: str, gain: float = 0.0) -> None:
        self.sha256, self.gain = sha256, math.exp(gain)
        self.network = network.eval()
        network.g_a, network.g_s = _Scaled(network.g_a), _Scaled(network.g_s)
        self.context = getattr(network, "context_prediction", None)
        self.hyper = getattr(network, "h_a", None) is not None
        self.watch = _Watch()
        self.watch.on(network.entropy_bottleneck)
        if self.hyper:
            network.h_a = _Scaled(network.h_a)
            self.watch.on(network.gaussian_conditional)
        if self.context is not None:
            network.entropy_parameters = _Scaled(network.entropy_parameters)
            self.context_weight = self.context.weight.detach() * self.context.mask
        elif self.hyper:
            network.h_s = _Scaled(network.h_s)
        bottleneck = network.entropy_bottleneck
        self.quantiles = bottleneck.quantiles.detach().clone()
        self.slopes = slopes_of(bottleneck)
        self.step = 0.0

    @property
    def strings(self) -> int:
        """Return how many strings an image is."""
        return 2 if self.hyper else 1

    @property
    def rows_a_cell(self) -> int:
        """Return how many rows of the coded shape 64 pixels are: of hyper-latents, or of latents without any."""
        return 1 if self.hyper else 4

    def set_step(self, step: float, tables: bool = True) -> None:
        """Code with a step, in trained ones; without tables only estimates can be asked for."""
        if step == self.step:
            return
        network = self.network
        network.g_a.after, network.g_s.before = self.gain / step, step / self.gain
        if self.hyper:
            network.h_a.before = step
        if self.context is not None:
            network.entropy_parameters.after = 1 / step
            self.context.weight.data = self.context_weight * step
        elif self.hyper:
            network.h_s.after = 1 / step
        else:
            rescale(network.entropy_bottleneck, self.slopes.double() * step, self.quantiles / step)
        if not tables:
            pass
        elif self.step == 0.0:
            network.update(force=True)
        elif not self.hyper:
            network.entropy_bottleneck.update(force=True)
        self.step = step

    def compress(self, images: Tensor) -> Compressed:
        """Return the strings of one image (1, 3, height, width) in 0..1, sides multiples of 64."""
        self.watch.start(decoding=False)
        made = self.network.compress(images)
        height, width = made["shape"]
        return Compressed((int(height), int(width)), [one[0] for one in made["strings"]], self.watch.crc)

    def bits(self, images: Tensor) -> float:
        """Return the information in what is coded, in bits."""
        return information(self.network(images)).item()

    def decompress(self, strings: list[bytes], shape: tuple[int, int]) -> Decompressed:
        """Return the image of strings, whose shape and number the caller has checked.

        Raises:
            BadStreamError: a string is longer than any of so many latents.
        """
        cells = shape[0] * shape[1] / self.rows_a_cell**2
        most, longest = int(_BYTES_A_LATENT * _LATENTS_A_CELL * self.network.M * cells), max(map(len, strings))
        if longest > most:
            raise BadStreamError(f"the file holds a string of {longest} bytes; its latents take at most {most}.")
        behind = bytes(most + _ZEROS_A_BYTE * longest)
        self.watch.start(decoding=True)
        made = self.network.decompress([[one + behind] for one in strings], shape)["x_hat"]
        return Decompressed(made, self.watch.crc)


def slopes_of(bottleneck: Any) -> Tensor:
    """Return the slopes of a learned entropy model's first layer, which is linear in latents."""
    return nn.functional.softplus(bottleneck.matrices[0].detach())


def rescale(bottleneck: Any, slopes: Tensor, quantiles: Tensor) -> None:
    """Give a learned entropy model other slopes (double precision) and quantiles: those of latents in another unit."""
    bottleneck.matrices[0].data = torch.log(torch.expm1(slopes)).float()
    bottleneck.quantiles.data = quantiles


def information(made: Mapping[str, Any]) -> Tensor:
    """Return the information in what a network made, in bits."""
    total: Tensor = sum((-torch.log2(chance).sum() for chance in made["likelihoods"].values()), torch.zeros(()))
    return total


def input_of(image: Image) -> Tensor:
    """Return an image as the networks take it: (1, 3, height, width) in 0..1, in whole multiples."""
    planes = np.repeat(normalised(image)[0], 3 // image.shape[2], axis=2).transpose(2, 0, 1)
    return filled(torch.from_numpy(np.ascontiguousarray(planes))[None], MULTIPLE)


def trained_network(network: Any, arrays: Mapping[str, NDArray[Any]], sha256: str, path: Path) -> SteppedNetwork:
    """Return a network with weights that were trained here.

    Raises:
        DataError: these are not weights of this network.
    """
    tensors = {name[len(NETWORK) :]: torch.from_numpy(one) for name, one in arrays.items() if name.startswith(NETWORK)}
    try:
        network.load_state_dict(tensors)
        gain = arrays[GAIN].item()
    except (LookupError, RuntimeError, TypeError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise DataError(f"the weights {path} are not those of the network that their card names: {reason}") from error
    return SteppedNetwork(network, sha256, gain)
