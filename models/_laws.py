"""Integers to bytes and back: constriction's range coder behind the shipped bank of integer tables.

A symbol's law is a family (Laplace or Gaussian) and a scale, in quantisation steps; the scale is an integer with
`FIXED_BITS` fractional bits, so nothing that a decoder computes depends on floating point. Scales above the
bank's greatest are halved until they fit, and as many low bits of the symbol follow uncompressed.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.errors import BadStreamError

FIXED_BITS = 12
"""Fractional bits of an integer scale."""
PER_OCTAVE = 8
"""Scales of the bank in one doubling."""
FAMILIES = ("laplace", "gaussian")
"""The laws of the bank: their scale is the mean magnitude, or the standard deviation."""
LARGEST = 2**22
"""Symbols are less than this in magnitude."""
_PRECISION = 24
_WORD = np.dtype("<u4")

Integers = NDArray[np.int64]


@dataclass(frozen=True)
class Bank:
    """The tables of models/tables/laws.npz (made by scripts/make_laws.py)."""

    counts: tuple[NDArray[np.int32], ...]
    """Each table's frequencies of -n..n and of "beyond", out of 2^24; all scales of a family, then the next."""
    thresholds: Integers
    """Integer scales between one table and the next, ascending, far beyond the last table."""
    powers: Integers
    """2^(-j/32) for j = 0..31, times 2^30."""

    @property
    def scales(self) -> int:
        """How many tables one family has."""
        return len(self.counts) // len(FAMILIES)


@functools.cache
def bank() -> Bank:
    """Return the shipped bank."""
    with (files("harness.models") / "tables" / "laws.npz").open("rb") as file, np.load(file) as stored:
        counts = np.split(stored["counts"], stored["ends"][:-1])
        return Bank(tuple(counts), stored["thresholds"], stored["powers"])


@functools.cache
def _model(table: int) -> Any:
    import constriction

    return constriction.stream.model.Categorical(bank().counts[table] / 2.0**_PRECISION, perfect=False)


@functools.cache
def _uniform(bits: int) -> Any:
    import constriction

    return constriction.stream.model.Uniform(2**bits)


@dataclass(frozen=True)
class _Plan:
    """Symbols sorted by table: which symbol comes when, with which table and how many low bits."""

    order: Integers
    tables: Integers
    low_bits: Integers

    def runs(self, keys: Integers) -> list[tuple[int, slice]]:
        """Return (key, where in `order`) of each run of equal keys; a key may have several runs."""
        if not len(keys):
            return []
        edges = np.flatnonzero(np.diff(keys)) + 1
        starts, ends = [0, *edges], [*edges, len(keys)]
        return [(int(keys[a]), slice(int(a), int(b))) for a, b in zip(starts, ends, strict=True)]


def _plan(scales: Integers, families: Integers) -> _Plan:
    held = bank()
    index = np.searchsorted(held.thresholds, scales, side="right")
    low_bits = np.maximum(0, -((held.scales - 1 - index) // PER_OCTAVE))
    tables = families * held.scales + index - PER_OCTAVE * low_bits
    order = np.lexsort((low_bits, tables))
    return _Plan(order, tables[order], low_bits[order])


def estimated_bits(symbols: Integers, scales: Integers, families: Integers) -> float:
    """Return the information, in bits, of symbols under their laws; all three of one shape (n,)."""
    plan = _plan(scales, families)
    high = symbols[plan.order] >> plan.low_bits
    total = float(plan.low_bits.sum())
    for table, run in plan.runs(plan.tables):
        counts = bank().counts[table]
        places, beyond = _places(high[run], len(counts))
        total -= float(np.log2(counts[places] / 2.0**_PRECISION).sum())
        total += sum(int(one).bit_length() + 5 for one in beyond)
    return total


def _places(symbols: Integers, entries: int) -> tuple[NDArray[np.int32], Integers]:
    """Return each symbol's entry in its table, and how far beyond the table those are that have none."""
    most = (entries - 2) // 2
    outside = np.abs(symbols) > most
    places = np.where(outside, entries - 1, symbols + most).astype(np.int32)
    far = symbols[outside]
    return places, np.where(far > 0, 2 * (far - most) - 1, 2 * (-far - most))


class LatentEncoder:
    """Turns integers into bytes, call after call; a decoder makes the same calls in the same order."""

    def __init__(self) -> None:
        import constriction

        self._coder = constriction.stream.queue.RangeEncoder()

    def encode(self, symbols: Integers, scales: Integers, families: Integers) -> None:
        """Append symbols, each under its own law; all three int64 of one shape (n,)."""
        plan = _plan(scales, families)
        sorted_symbols = symbols[plan.order]
        high = sorted_symbols >> plan.low_bits
        for table, run in plan.runs(plan.tables):
            places, beyond = _places(high[run], len(bank().counts[table]))
            self._coder.encode(places, _model(table))
            for one in beyond:
                self._append_far(int(one))
        low = sorted_symbols - (high << plan.low_bits)
        for bits, run in plan.runs(plan.low_bits):
            if bits:
                self._coder.encode(low[run].astype(np.int32), _uniform(bits))

    def _append_far(self, value: int) -> None:
        """Append a positive integer: its length in 5 bits, then its bits."""
        bits = value.bit_length()
        self._coder.encode(np.array([bits], np.int32), _uniform(5))
        self._coder.encode(np.array([value], np.int32), _uniform(bits))

    def to_bytes(self) -> bytes:
        """Return everything so far."""
        words: NDArray[np.uint32] = self._coder.get_compressed()
        return words.astype(_WORD).tobytes()


class LatentDecoder:
    """Reads what `LatentEncoder` wrote, call by call."""

    def __init__(self, data: bytes) -> None:
        import constriction

        if len(data) % _WORD.itemsize:
            raise BadStreamError(f"range-coded data come in words of 4 bytes, found {len(data)} bytes.")
        self._coder = constriction.stream.queue.RangeDecoder(np.frombuffer(data, _WORD).astype(np.uint32))

    def decode(self, scales: Integers, families: Integers) -> Integers:
        """Return the next symbols, int64 of the shape (n,) of their laws."""
        plan = _plan(scales, families)
        high = np.empty(len(scales), np.int64)
        low = np.zeros(len(scales), np.int64)
        try:
            for table, run in plan.runs(plan.tables):
                high[run] = self._decode_run(table, run.stop - run.start)
            for bits, run in plan.runs(plan.low_bits):
                if bits:
                    low[run] = self._coder.decode(_uniform(bits), run.stop - run.start)
        except AssertionError as error:
            raise BadStreamError("the range-coded data are damaged.") from error
        symbols = np.empty_like(high)
        symbols[plan.order] = (high << plan.low_bits) + low
        return symbols

    def _decode_run(self, table: int, count: int) -> Integers:
        entries = len(bank().counts[table])
        most = (entries - 2) // 2
        places = np.asarray(self._coder.decode(_model(table), count), np.int64)
        symbols = places - most
        for outside in np.flatnonzero(places == entries - 1):
            bits = int(self._coder.decode(_uniform(5)))
            if not 0 < bits <= LARGEST.bit_length():
                raise BadStreamError("the range-coded data are damaged.")
            value = int(self._coder.decode(_uniform(bits)))
            symbols[outside] = most + (value + 1) // 2 if value % 2 else -most - value // 2
        return symbols
