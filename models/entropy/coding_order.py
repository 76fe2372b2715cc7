"""The coding order of a latent map, and the neighbours that the distribution of each position may depend on.

A map is coded from coarse to fine: first every 2^levels-th row and column, then the positions halfway between,
diagonal ones before straight ones, until all are coded. A later pass has coded neighbours on all sides.
The same slices work for numpy arrays (coding) and torch tensors (training).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

LEVELS = 3
"""Default number of levels: the first pass codes every 8th row and column."""
MOST_LEVELS = 5
"""The most levels that a recipe or a weights file may have."""

_DIAGONAL = ((-1, -1), (-1, 1), (1, -1), (1, 1))
_STRAIGHT = ((-1, 0), (1, 0), (0, -1), (0, 1))


@dataclass(frozen=True)
class Pass:
    """A set of positions of a map that are coded together."""

    row: int
    """The first row."""
    column: int
    """The first column."""
    stride: int
    """Distance between neighbouring positions of this pass, in rows and in columns."""
    offsets: tuple[tuple[int, int], ...]
    """(rows, columns) from a position to the neighbours that earlier passes have coded."""

    @property
    def places(self) -> tuple[Any, slice, slice]:
        """Return the index of the positions in an array of shape (..., height, width)."""
        return (..., slice(self.row, None, self.stride), slice(self.column, None, self.stride))


def passes(levels: int = LEVELS) -> list[Pass]:
    """Return the passes in coding order; together they cover every position once."""
    order = [Pass(0, 0, 2**levels, ())]
    for level in reversed(range(levels)):
        step = 2**level
        diagonal = tuple((row * step, column * step) for row, column in _DIAGONAL)
        straight = tuple((row * step, column * step) for row, column in _STRAIGHT)
        order.append(Pass(step, step, 2 * step, diagonal))
        order.append(Pass(0, step, 2 * step, straight))
        order.append(Pass(step, 0, 2 * step, straight + diagonal))
    return order


def margin(levels: int = LEVELS) -> int:
    """Return the number of rows and columns of zeros that `neighbours` needs around a map."""
    return 1 << max(levels - 1, 0)


def neighbours(padded: Any, one: Pass, levels: int = LEVELS) -> list[Any]:
    """Return views of a map, shifted to each neighbour of the positions of a pass.

    Args:
        padded: array of shape (..., height + 2 margin, width + 2 margin).
        one: the pass.
        levels: as for `passes`.

    Returns:
        One view per offset, each of the shape of `array[one.places]`.
    """
    edge = margin(levels)
    height, width = padded.shape[-2] - 2 * edge, padded.shape[-1] - 2 * edge

    def along(first: int, offset: int, size: int) -> slice:
        return slice(first + offset + edge, size + offset + edge, one.stride)

    return [padded[..., along(one.row, row, height), along(one.column, column, width)] for row, column in one.offsets]


def weighted_sum(views: Sequence[Any], weights: Any) -> Any:
    """Return the sum of views times weights of shape (channels, views), over views (..., channels, height, width)."""
    total = views[0] * weights[:, 0, None, None]
    for number, view in enumerate(views[1:], start=1):
        total = total + view * weights[:, number, None, None]
    return total
