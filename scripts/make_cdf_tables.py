"""Make models/tables/cdf_tables.npz: the integer CDF tables that files of learned codecs are coded with.

This ran once. Other tables make every older file unreadable, so they are never changed under the same version of the
file format. Arithmetic is exact to 50 digits (decimal), so every machine makes the same tables.
"""

from __future__ import annotations

from decimal import Decimal, getcontext
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

TARGET = Path(__file__).resolve().parent.parent / "models" / "tables" / "cdf_tables.npz"

PRECISION = 24
"""Probabilities are integers out of 2^24."""
LOWEST, HIGHEST = -5, 5
"""Exponents (base 2) of the least and the greatest scale, in quantisation steps."""
PER_OCTAVE = 8
"""Scales per octave."""
FIXED_BITS = 12
"""Fractional bits of the thresholds between scales."""


def cumulative_laplace(place: Decimal, scale: Decimal) -> Decimal:
    """Return P(x <= place) under the Laplace distribution of mean magnitude `scale`."""
    half = (-abs(place) / scale).exp() / 2
    return half if place < 0 else 1 - half


def cumulative_gaussian(place: Decimal, scale: Decimal) -> Decimal:
    """Return P(x <= place) under the Gaussian distribution of standard deviation `scale`, by its series at 0."""
    x = abs(place) / scale
    term = total = x
    odd = 3
    while abs(term) > Decimal(10) ** -45:
        term = term * x * x / odd
        total += term
        odd += 2
    density = (-x * x / 2).exp() / (2 * PI).sqrt()
    upper = Decimal("0.5") + total * density
    return 1 - upper if place < 0 else upper


FAMILIES = {"laplace": (cumulative_laplace, Decimal(14)), "gaussian": (cumulative_gaussian, Decimal("5.6"))}
"""Family -> its cumulative distribution, and how many scales from the centre symbols have an entry of their own."""

getcontext().prec = 60
PI = Decimal("3.14159265358979323846264338327950288419716939937510582097494")


def table(family: str, scale: Decimal) -> NDArray[np.int64]:
    """Return the frequencies of -n..n and, last, of "beyond": at least 1 each, together 2^PRECISION."""
    cumulative, reach = FAMILIES[family]
    most = int(reach * scale) + 1
    edges = [cumulative(Decimal(symbol) - Decimal("0.5"), scale) for symbol in range(most + 1)]
    edges.append(cumulative(Decimal(most) + Decimal("0.5"), scale))
    total = 2**PRECISION
    side = [max(1, int((high - low) * total)) for low, high in pairwise(edges)]
    beyond = max(1, int(2 * (1 - edges[-1]) * total))
    counts = side[:0:-1] + side + [beyond]
    counts[most] += total - sum(counts)
    return np.array(counts, np.int64)


def main() -> None:
    """Write the bank: all tables one after the other, their ends, and the thresholds between scales."""
    steps = range(LOWEST * PER_OCTAVE, HIGHEST * PER_OCTAVE + 1)
    two = Decimal(2)
    tables = [table(family, two ** (Decimal(step) / PER_OCTAVE)) for family in FAMILIES for step in steps]
    between = [
        int(two ** ((Decimal(step) + Decimal("0.5")) / PER_OCTAVE + FIXED_BITS))
        for step in range(LOWEST * PER_OCTAVE, 24 * PER_OCTAVE)
    ]
    powers = [int(two ** (-Decimal(step) / 32) * 2**30) for step in range(32)]
    TARGET.parent.mkdir(exist_ok=True)
    np.savez_compressed(
        TARGET,
        counts=np.concatenate(tables).astype(np.int32),
        ends=np.cumsum([len(one) for one in tables]).astype(np.int32),
        thresholds=np.array(between, np.int64),
        powers=np.array(powers, np.int64),
    )


if __name__ == "__main__":
    main()
