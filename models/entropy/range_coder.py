"""The range coder: integers to bytes and back, by constriction with the shipped CDF tables.

The distribution of a symbol is a family (Laplace or Gaussian) and a scale in quantisation steps: an integer with
`FIXED_BITS` fractional bits, so decoding does not depend on floating point. A scale above the greatest of the bank is
halved n times until it fits, and the n low bits of the symbol follow uncompressed.
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
"""Scales of the bank per octave."""
FAMILIES = ("laplace", "gaussian")
"""The families of distributions. The scale of laplace is the mean magnitude, of gaussian the standard deviation."""
LARGEST = 2**22
"""The magnitude of symbols is less than this."""
_PRECISION = 24
_MOST_LOW_BITS = 64
"""More than a symbol has. With fewer than 512 tables the sort keys of a plan have 16 bits: numpy uses radix sort."""
_WORD = np.dtype("<u4")

Integers = NDArray[np.int64]


@dataclass(frozen=True)
class Bank:
    """The CDF tables of models/tables/cdf_tables.npz, which scripts/make_cdf_tables.py makes."""

    counts: tuple[NDArray[np.int32], ...]
    """Per table the frequencies of -n..n and of "beyond", out of 2^24; all scales of one family, then of the next."""
    thresholds: Integers
    """Integer scales at which the next table begins, ascending; they go on far beyond the last table."""
    powers: Integers
    """2^(-j/32) for j = 0..31, times 2^30."""

    @property
    def scales(self) -> int:
        """Return the number of tables per family."""
        return len(self.counts) // len(FAMILIES)

    @functools.cached_property
    def most(self) -> Integers:
        """Return the n of each table."""
        return np.array([(len(counts) - 2) // 2 for counts in self.counts])

    @functools.cached_property
    def starts(self) -> Integers:
        """Return the index in `bits` at which each table begins."""
        return np.cumsum([0, *map(len, self.counts[:-1])])

    @functools.cached_property
    def bits(self) -> NDArray[np.float64]:
        """Return the information in each entry of each table, one table after the other."""
        information: NDArray[np.float64] = -np.log2(np.concatenate(self.counts) / 2.0**_PRECISION)
        return information


@functools.cache
def bank() -> Bank:
    """Return the shipped bank."""
    with (files("harness.models") / "tables" / "cdf_tables.npz").open("rb") as file, np.load(file) as stored:
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
    """Symbols sorted by table: their order, tables and numbers of low bits."""

    order: Integers
    tables: Integers
    low_bits: Integers

    def runs(self, keys: Integers) -> list[tuple[int, slice]]:
        """Return (key, slice of `order`) of each run of equal keys; a key may have several runs."""
        if not len(keys):
            return []
        edges = np.flatnonzero(np.diff(keys)) + 1
        starts, ends = [0, *edges], [*edges, len(keys)]
        return [(int(keys[a]), slice(int(a), int(b))) for a, b in zip(starts, ends, strict=True)]


def _plan(scales: Integers, families: Integers) -> _Plan:
    shipped = bank()
    index = np.searchsorted(shipped.thresholds, scales, side="right")
    low_bits = np.maximum(0, -((shipped.scales - 1 - index) // PER_OCTAVE))
    tables = families * shipped.scales + index - PER_OCTAVE * low_bits
    order = np.argsort((tables * _MOST_LOW_BITS + low_bits).astype(np.int16), kind="stable")
    return _Plan(order, tables[order], low_bits[order])


class LatentEncoder:
    """Turns integers into bytes; a decoder makes the same calls in the same order."""

    def __init__(self) -> None:
        import constriction

        self._coder = constriction.stream.queue.RangeEncoder()
        self.estimated_bits = 0.0
        """The information in the symbols so far, under their distributions."""

    def encode(self, symbols: Integers, scales: Integers, families: Integers) -> None:
        """Append symbols, each with its own distribution; all three arrays are int64 of one shape (n,)."""
        plan, shipped = _plan(scales, families), bank()
        sorted_symbols = symbols[plan.order]
        high = sorted_symbols >> plan.low_bits
        most = shipped.most[plan.tables]
        outside = np.abs(high) > most
        places = np.where(outside, 2 * most + 1, high + most)
        self.estimated_bits += float(shipped.bits[shipped.starts[plan.tables] + places].sum() + plan.low_bits.sum())
        far = np.flatnonzero(outside)
        coded = places.astype(np.int32)
        for table, run in plan.runs(plan.tables):
            self._coder.encode(coded[run], _model(table))
            for place in far[slice(*np.searchsorted(far, (run.start, run.stop)))] if len(far) else ():
                self._append_far(int(high[place]), int(most[place]))
        low = sorted_symbols - (high << plan.low_bits)
        for bits, run in plan.runs(plan.low_bits):
            if bits:
                self._coder.encode(low[run].astype(np.int32), _uniform(bits))

    def _append_far(self, symbol: int, most: int) -> None:
        """Append the distance of a symbol beyond its table, with its sign: 5 bits for the length, then the bits."""
        value = 2 * (symbol - most) - 1 if symbol > 0 else 2 * (-symbol - most)
        bits = value.bit_length()
        self.estimated_bits += bits + 5
        self._coder.encode(np.array([bits], np.int32), _uniform(5))
        self._coder.encode(np.array([value], np.int32), _uniform(bits))

    def to_bytes(self) -> bytes:
        """Return the bytes so far."""
        words: NDArray[np.uint32] = self._coder.get_compressed()
        return words.astype(_WORD).tobytes()


class LatentDecoder:
    """Reads what `LatentEncoder` wrote, with the same calls."""

    def __init__(self, data: bytes) -> None:
        import constriction

        if len(data) % _WORD.itemsize:
            raise BadStreamError(f"range-coded data are words of 4 bytes, found {len(data)} bytes.")
        self._coder = constriction.stream.queue.RangeDecoder(np.frombuffer(data, _WORD).astype(np.uint32))

    def decode(self, scales: Integers, families: Integers) -> Integers:
        """Return the next symbols, int64 of the shape (n,) of `scales` and `families`."""
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
        most = int(bank().most[table])
        symbols = np.asarray(self._coder.decode(_model(table), count), np.int64) - most
        if symbols.max() > most:
            for outside in np.flatnonzero(symbols > most):
                symbols[outside] = self._decode_far(most)
        return symbols

    def _decode_far(self, most: int) -> int:
        bits = int(self._coder.decode(_uniform(5)))
        if not 0 < bits <= LARGEST.bit_length():
            raise BadStreamError("the range-coded data are damaged.")
        value = int(self._coder.decode(_uniform(bits)))
        return most + (value + 1) // 2 if value % 2 else -most - value // 2
