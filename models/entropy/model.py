"""The entropy model in integers: the distribution of each latent, computed from latents that are already decoded.

The scale of a latent is a base plus weighted magnitudes of its neighbours in its own channel (`coding_order.py`) and
of earlier channels at and around its position; its expected value is a weighted sum of its neighbours in its own
channel. A small network may correct the scale (`scale_network.py`). Matrix products are in float64 on integers below
2^53, which is exact, so every machine computes the same scales and picks the same shipped CDF tables. The quantisation
step shifts the base alone, because latents are in units of the step.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from harness.errors import BadStreamError
from harness.learned.bitstream import STEPS_PER_OCTAVE
from harness.models.entropy.coding_order import MOST_LEVELS, margin, neighbours, passes, weighted_sum
from harness.models.entropy.range_coder import FAMILIES, FIXED_BITS, LARGEST, LatentDecoder, LatentEncoder, bank
from harness.models.entropy.scale_network import ScaleNet, log_magnitudes, multiplied

Integers = NDArray[np.int64]

BASE_BITS = 20
"""Fractional bits of a base at step 1."""
DECISION_WEIGHT = 6 / math.log(2)
"""Bits per squared step: the slope -dR/dD of a uniform quantiser at high rate, with D = step^2 / 12."""
LEAST_SCALE = 2.0**-5
"""The smallest scale in the bank, in steps."""
_MOST = 2**15
"""Magnitudes are clipped to this in the scales of other latents, so that sums stay exact."""


Where = tuple[slice, ...]
"""Channels, rows and columns of the latents of one call."""
Exchange = Callable[[Where, Integers, Integers, Integers], Integers]
"""(where, scales, families, expected values) -> symbols: the latents minus their expected values."""


class Encoding(NamedTuple):
    """Range-coded latents, and the integers that were coded."""

    data: bytes
    latents: Integers
    """(planes, channels, height, width)."""
    estimated_bits: float
    """The information in the latents under their distributions: an estimate of the rate."""


@dataclass(frozen=True)
class EntropyModel:
    """The integer parameters; weights have `FIXED_BITS` fractional bits, bases `BASE_BITS`."""

    levels: int
    """Levels of the coding order."""
    edges: tuple[int, ...]
    """The first channel of each group, ascending from 0, then the number of channels. Later groups see earlier ones."""
    families: Integers
    """(channels,): index of the family of each channel's distributions."""
    bases: Integers
    """(passes, channels): scale without any neighbour, in trained steps."""
    own: tuple[Integers, ...]
    """Per pass (channels, neighbours): weights of the neighbours' magnitudes, never negative."""
    means: tuple[Integers, ...]
    """Per pass (channels, neighbours): weights of the neighbours' values."""
    cross: Integers
    """(channels, 2 x channels): weights of earlier channels' magnitudes at a position, then of their sums over 3x3."""
    net: ScaleNet | None = None
    """The network that corrects the scales."""

    def arrays(self) -> dict[str, Integers]:
        """Return all parameters as named arrays, for a weights file."""
        packed = {"edges": np.array([self.levels, *self.edges], np.int64), "families": self.families}
        packed |= {"bases": self.bases, "cross": self.cross}
        for name, parts in (("own", self.own), ("means", self.means)):
            packed[name] = np.concatenate(parts, axis=1)
        return packed | (self.net.arrays() if self.net else {})

    @staticmethod
    def from_arrays(packed: Mapping[str, Integers]) -> EntropyModel:
        """Return the entropy model with these `arrays`.

        Raises:
            KeyError: an array is absent.
            ValueError: the arrays are no entropy model.
        """
        levels, *edges = (int(one) for one in packed["edges"])
        if not 0 <= levels <= MOST_LEVELS:
            raise ValueError(f"an entropy model has {levels} levels; at most {MOST_LEVELS} are possible")
        if not np.isin(packed["families"], np.arange(len(FAMILIES))).all():
            raise ValueError(f"an entropy model has a family of distributions beyond the {len(FAMILIES)} known ones")
        ends = np.cumsum([len(one.offsets) for one in passes(levels)])[:-1]
        own, means = (tuple(np.split(packed[name], ends, axis=1)) for name in ("own", "means"))
        net = ScaleNet.from_arrays(packed, edges) if any(name.startswith("net.") for name in packed) else None
        return EntropyModel(levels, tuple(edges), packed["families"], packed["bases"], own, means, packed["cross"], net)

    def encode(self, latents: NDArray[np.float32], k: int) -> Encoding:
        """Quantise and code real-valued latents (planes, channels, height, width), in steps of 2^(k / 32).

        Each latent becomes the nearest integer, or the next one towards its expected value if that saves more than
        `DECISION_WEIGHT` bits per squared step. Decoding does not depend on this choice.
        """
        encoder = LatentEncoder()
        chosen = [self._walk(plane.shape, k, _Chooser(plane, encoder.encode)) for plane in latents]
        return Encoding(encoder.to_bytes(), np.stack(chosen), encoder.estimated_bits)

    def decode(self, data: bytes, shape: tuple[int, int, int, int], k: int) -> Integers:
        """Return the latents (planes, channels, height, width) that `encode` coded.

        Raises:
            BadStreamError: the bytes are damaged.
        """
        decoder = LatentDecoder(data)

        def exchange(_: Where, scales: Integers, families: Integers, __: Integers) -> Integers:
            return decoder.decode(scales, families)

        return np.stack([self._walk(shape[1:], k, exchange) for _ in range(shape[0])])

    def _walk(self, shape: tuple[int, ...], k: int, exchange: Exchange) -> Integers:
        """Go through all latents in coding order; each call of `exchange` codes or decodes symbols."""
        channels, height, width = shape
        edge = margin(self.levels)
        padded = np.zeros((channels, height + 2 * edge, width + 2 * edge), np.int64)
        known = padded[:, edge : edge + height, edge : edge + width]
        bases = shifted(self.bases, k)
        for index, (first, last) in enumerate(pairwise(self.edges)):
            group = slice(first, last)
            across = self._across(known, group)
            powers = self._powers(known, index)
            for number, one in enumerate(passes(self.levels)):
                if not (shape_of := across[one.places].shape)[1] * shape_of[2]:
                    continue
                scales = across[one.places] + bases[number, group, None, None]
                means = np.zeros(shape_of, np.int64)
                if one.offsets:
                    around = neighbours(padded[group], one, self.levels)
                    scales = scales + weighted_sum([np.abs(view) for view in around], self.own[number][group])
                    means = _centred(weighted_sum(around, self.means[number][group]))
                if powers is not None:
                    scales = multiplied(scales, powers[one.places])
                families = np.broadcast_to(self.families[group, None, None], shape_of)
                found = exchange((group, *one.places[1:]), scales.ravel(), families.ravel(), means.ravel())
                known[group][one.places] = _within(found + means.ravel()).reshape(shape_of)
        return known.copy()

    def _powers(self, known: Integers, group: int) -> Integers | None:
        """Return the network's factors for a group's scales, as powers of 2^(1/32); None if there is no factor."""
        if self.net is None or not group:
            return None
        return self.net.powers(group, np.pad(log_magnitudes(known[: self.edges[group]]), ((0, 0), (1, 1), (1, 1))))

    def _across(self, known: Integers, group: slice) -> Integers:
        """Return the part of a group's scales that earlier channels give, (channels of the group, height, width)."""
        _, height, width = known.shape
        if not group.start:
            return np.zeros((group.stop, height, width), np.int64)
        here = np.minimum(np.abs(known[: group.start]), _MOST)
        wide = np.pad(here, ((0, 0), (1, 1), (1, 1)))
        rows = wide[:, :-2] + wide[:, 1:-1] + wide[:, 2:]
        around = rows[:, :, :-2] + rows[:, :, 1:-1] + rows[:, :, 2:]
        count = len(self.families)
        total = self.cross[group, : group.start].astype(np.float64) @ here.reshape(group.start, -1)
        total += self.cross[group, count : count + group.start].astype(np.float64) @ around.reshape(group.start, -1)
        added: Integers = total.astype(np.int64).reshape(-1, height, width)
        return added


def shifted(bases: Integers, k: int) -> Integers:
    """Return bases in steps of 2^(k / 32), with `FIXED_BITS` fractional bits."""
    octaves, rest = divmod(k, STEPS_PER_OCTAVE)
    shift = 30 + BASE_BITS - FIXED_BITS + octaves
    result: Integers = (bases * bank().powers[rest]) >> shift
    return result


def _centred(weighted: Integers) -> Integers:
    """Return weighted sums, rounded to integers and clipped to the range of latents."""
    rounded = (weighted + 2 ** (FIXED_BITS - 1)) >> FIXED_BITS
    limited: Integers = np.clip(rounded, -LARGEST // 2, LARGEST // 2)
    return limited


def _within(values: Integers) -> Integers:
    if values.size and np.abs(values).max() >= LARGEST // 2:
        raise BadStreamError("the range-coded data are damaged: a latent is out of range.")
    return values


@dataclass(frozen=True)
class _Chooser:
    """Chooses the symbol of each real-valued latent of one plane, and encodes it."""

    latents: NDArray[np.float32]
    encode: Callable[[Integers, Integers, Integers], None]

    def __call__(self, where: Where, scales: Integers, families: Integers, means: Integers) -> Integers:
        most = LARGEST // 2 - 1
        away = np.clip(self.latents[where].ravel().astype(np.float64), -most, most) - means
        size = np.abs(away)
        nearest = np.rint(size)
        saved = bits_saved(np.maximum(scales / 2.0**FIXED_BITS, LEAST_SCALE), nearest)
        lower = (nearest > 0) & (size < nearest - 0.5 + saved / (2 * DECISION_WEIGHT))
        symbols: Integers = (np.sign(away) * (nearest - lower)).astype(np.int64)
        self.encode(symbols, scales, families)
        return symbols


def bits_saved(scales: NDArray[np.float64], sizes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the bits that the next lower magnitude saves under a Laplace distribution, for magnitudes from 1 on."""
    half = np.exp(-0.5 / scales)
    to_zero = np.log2(2 / (half * (1 + half)))
    return np.where(sizes <= 1, to_zero, 1 / (scales * np.log(2)))
