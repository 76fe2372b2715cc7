"""CompressAI's networks at any quantisation step. Imports torch: import this only when used.

At a step of s the same network works in other units: the latents of the analysis transform are divided by s, the inputs
of the layers that read latents are multiplied by s, and predicted scales and means are divided by s. No code of
CompressAI is changed.
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
from harness.errors import BadStreamError
from harness.interface import Image
from harness.learned.state import matching_weights, state_of
from harness.learned.tensors import normalised, padded_to_multiple

GAIN = "gain"
"""The name of the gain in a weights file. It is part of stored files: changing it breaks every one."""
_LATENTS_A_CELL = 16
"""Latents per channel of 64 x 64 pixels: no network has more."""
_BYTES_A_LATENT = 8
"""The most bytes of a string per latent: 2 for "outside the table", 1 for the number of nibbles, 4 of nibbles."""
_ZEROS_A_BYTE = 128
"""Zero bytes to append to a string per byte of it, so that decoding a forged string does not read beyond its end: each
nibble can ask for 15 more, and CompressAI's coder takes 4 bytes per nibble when its state is 0."""


class Compressed(NamedTuple):
    """An image as CompressAI's strings."""

    shape: tuple[int, int]
    strings: list[bytes]
    crc: int
    """CRC-32 of all coded integers (int32, little-endian), in decoding order."""


class Decompressed(NamedTuple):
    """The image of CompressAI's strings."""

    image: Tensor
    """(1, 3, height, width) in 0..1."""
    crc: int


class _Scaled(nn.Module):
    """A network with one factor on its input and one on its output."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner, self.before, self.after = inner, 1.0, 1.0

    def forward(self, x: Tensor) -> Tensor:
        """Return after x inner(before x input)."""
        made: Tensor = self.inner(x * self.before) * self.after
        return made


class _SymbolChecksum:
    """The CRC-32 of the integers that pass through CompressAI's entropy models while encoding or decoding."""

    def __init__(self) -> None:
        self.crc, self.decoding = 0, False

    def start(self, decoding: bool) -> None:
        """Reset the CRC-32."""
        self.crc, self.decoding = 0, decoding

    def on(self, model: Any) -> None:
        """Add the integers of an entropy model to the CRC-32 from now on."""
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
    """A network of CompressAI with its weights, at a quantisation step.

    `gain` is the natural logarithm of the factor from the analysis transform's output to trained steps; it is 0 for
    published weights.
    """

    def __init__(self, network: Any, sha256: str, gain: float = 0.0) -> None:
        self.sha256, self.gain = sha256, math.exp(gain)
        self.network = network.eval()
        network.g_a, network.g_s = _Scaled(network.g_a), _Scaled(network.g_s)
        self.context = getattr(network, "context_prediction", None)
        self.hyper = getattr(network, "h_a", None) is not None
        self.checksum = _SymbolChecksum()
        self.checksum.on(network.entropy_bottleneck)
        if self.hyper:
            network.h_a = _Scaled(network.h_a)
            self.checksum.on(network.gaussian_conditional)
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
        """Return the number of strings per image."""
        return 2 if self.hyper else 1

    @property
    def rows_a_cell(self) -> int:
        """Return the number of rows of hyper-latents (or of latents, if there are none) per 64 rows of pixels."""
        return 1 if self.hyper else 4

    def set_step(self, step: float, tables: bool = True) -> None:
        """Set the quantisation step, in trained steps; without tables the network can only estimate bits."""
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
            rescale_bottleneck(network.entropy_bottleneck, self.slopes.double() * step, self.quantiles / step)
        if not tables:
            pass
        elif self.step == 0.0:
            network.update(force=True)
        elif not self.hyper:
            network.entropy_bottleneck.update(force=True)
        self.step = step

    def compress(self, images: Tensor) -> Compressed:
        """Return the strings of one image (1, 3, height, width) in 0..1, sides multiples of 64."""
        self.checksum.start(decoding=False)
        made = self.network.compress(images)
        height, width = made["shape"]
        return Compressed((int(height), int(width)), [one[0] for one in made["strings"]], self.checksum.crc)

    def bits(self, images: Tensor) -> float:
        """Return the information in what is coded, in bits."""
        return information(self.network(images)).item()

    def decompress(self, strings: list[bytes], shape: tuple[int, int]) -> Decompressed:
        """Return the image of strings; the caller has checked their shape and number.

        Raises:
            BadStreamError: a string is longer than its latents can need.
        """
        cells = shape[0] * shape[1] / self.rows_a_cell**2
        most, longest = int(_BYTES_A_LATENT * _LATENTS_A_CELL * self.network.M * cells), max(map(len, strings))
        if longest > most:
            raise BadStreamError(f"the file holds a string of {longest} bytes; its latents take at most {most}.")
        behind = bytes(most + _ZEROS_A_BYTE * longest)
        self.checksum.start(decoding=True)
        made = self.network.decompress([[one + behind] for one in strings], shape)["x_hat"]
        return Decompressed(made, self.checksum.crc)


def slopes_of(bottleneck: Any) -> Tensor:
    """Return the slopes of the first layer of an entropy bottleneck, which is linear in latents."""
    return nn.functional.softplus(bottleneck.matrices[0].detach())


def rescale_bottleneck(bottleneck: Any, slopes: Tensor, quantiles: Tensor) -> None:
    """Change the unit of latents of an entropy bottleneck: set its slopes (in double precision) and quantiles."""
    bottleneck.matrices[0].data = torch.log(torch.expm1(slopes)).float()
    bottleneck.quantiles.data = quantiles


def information(made: Mapping[str, Any]) -> Tensor:
    """Return the information in a network's output, in bits."""
    total: Tensor = sum((-torch.log2(chance).sum() for chance in made["likelihoods"].values()), torch.zeros(()))
    return total


def input_of(image: Image) -> Tensor:
    """Return an image as (1, 3, height, width) in 0..1, padded to the multiple that the networks need."""
    planes = np.repeat(normalised(image)[0], 3 // image.shape[2], axis=2).transpose(2, 0, 1)
    return padded_to_multiple(torch.from_numpy(np.ascontiguousarray(planes))[None], MULTIPLE)


def trained_network(network: Any, arrays: Mapping[str, NDArray[Any]], sha256: str, path: Path) -> SteppedNetwork:
    """Return a network with weights of `harness train`.

    Raises:
        DataError: the weights at the path do not fit the network.
    """
    with matching_weights(path):
        network.load_state_dict(state_of(arrays))
        gain = arrays[GAIN].item()
    return SteppedNetwork(network, sha256, gain)
