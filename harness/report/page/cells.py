"""The parts of the page's tables: cells with a text, a detail below it, a value to sort by, a share to shade by."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from harness.analysis.columns import missing
from harness.report import words


@dataclass(frozen=True)
class Cell:
    """One cell; the template escapes its text."""

    text: str
    detail: str = ""
    value: float | None = None
    """The number to sort by; None sorts by the text."""
    shade: float | None = None
    """0 (worst of its ratio) to 1 (best); None: no shading."""
    span: int = 1
    """The number of columns that it spans."""


@dataclass(frozen=True)
class Row:
    """One row; the page filters by `group`, and `kind` is a class of the style sheet."""

    cells: Sequence[Cell]
    group: str = ""
    kind: str = ""

    @property
    def placed(self) -> Sequence[tuple[int, Cell]]:
        """Each cell with its first column."""
        begins = accumulate((cell.span for cell in self.cells), initial=0)
        return list(zip(begins, self.cells, strict=False))


@dataclass(frozen=True)
class Grid:
    """One table; its first column is the row's heading."""

    id: str
    caption: str
    head: Sequence[str]
    rows: Sequence[Row] = ()

    @property
    def numeric(self) -> set[int]:
        """The columns of numbers, which are aligned right."""
        return {column for row in self.rows for column, cell in row.placed if cell.value is not None}


def number_cell(value: Any, digits: int, detail: str = "", shade: float | None = None) -> Cell:
    """Return a cell with a number, or a dash where there is none."""
    known = not missing(value) and math.isfinite(float(value))
    return Cell(words.number(value, digits), detail, float(value) if known else None, shade)


def share_cell(value: Any) -> Cell:
    """Return a cell with a share of 1, in percent."""
    return Cell(words.percent(value), value=None if missing(value) else float(value))
