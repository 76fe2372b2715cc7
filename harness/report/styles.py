"""One colour, marker and line for each codec, the same in every figure and on the page.

Variants of a family ("jpeg-444", "jpeg-420") share a colour, and differ in marker and line; so do families beyond the
eighth. The colours are those of Okabe and Ito (2008) without yellow and black, which are hard to see on a light or a
dark page, and with a gray.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7F7F7F", "#9A6324")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "p", "h", "*")
SYMBOLS = (
    "circle",
    "square",
    "triangle-up",
    "diamond",
    "triangle-down",
    "cross",
    "x",
    "triangle-left",
    "triangle-right",
    "pentagon",
    "hexagon",
    "star",
)
"""plotly's names of `MARKERS`."""

DASHES: tuple[tuple[float, ...], ...] = ((), (4, 1.5), (1, 1), (3, 1, 1, 1), (6, 1, 1, 1, 1, 1))
"""Lengths of dash and gap in line widths, in seaborn's form; empty is solid."""

DASH_NAMES = ("solid", "dash", "dot", "dashdot", "longdashdot")
"""plotly's names of `DASHES`."""


@dataclass(frozen=True)
class Style:
    """The looks of a codec, in the names of matplotlib and of plotly."""

    colour: str
    marker: str
    dash: tuple[float, ...]
    symbol: str
    dash_name: str


def styles_of(codecs: Sequence[str]) -> dict[str, Style]:
    """Return codec -> style; the style depends on the order of the list alone."""
    families = list(dict.fromkeys(codec.split("-")[0] for codec in codecs))
    drawn: Counter[str] = Counter()
    table = {}
    for index, codec in enumerate(codecs):
        colour = COLOURS[families.index(codec.split("-")[0]) % len(COLOURS)]
        variant = drawn[colour]
        drawn[colour] += 1
        table[codec] = Style(
            colour=colour,
            marker=MARKERS[index % len(MARKERS)],
            dash=DASHES[variant % len(DASHES)],
            symbol=SYMBOLS[index % len(SYMBOLS)],
            dash_name=DASH_NAMES[variant % len(DASH_NAMES)],
        )
    return table
