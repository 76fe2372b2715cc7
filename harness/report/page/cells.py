"""What the page's tables are made of: cells with a text, a detail below it, a value to sort by, a share to shade by."""

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
    """One cell; the template escapes its words."""

    text: str
    detail: str = ""
    value: float | None = None
    """What sorting compares; None sorts by the text."""
    shade: float | None = None
    """0 (worst of its ratio) to 1 (best); None is not shaded."""
    span: int = 1
    """How many columns it takes."""


@dataclass(frozen=True)
class Row:
    """One row; `group` is what the page filters by, `kind` a class of the style sheet."""

    cells: Sequence[Cell]
    group: str = ""
    kind: str = ""

    @property
    def placed(self) -> Sequence[tuple[int, Cell]]:
        """Each cell with the column that it begins in."""
        begins = accumulate((cell.span for cell in self.cells), initial=0)
        return list(zip(begins, self.cells, strict=False))


@dataclass(frozen=True)
class Grid:
    """One table; its first column names the row."""

    id: str
    caption: str
    head: Sequence[str]
    rows: Sequence[Row] = ()

    @property
    def numeric(self) -> set[int]:
        """Which columns hold numbers, and so are aligned right."""
        return {column for row in self.rows for column, cell in row.placed if cell.value is not None}


def number_cell(value: Any, digits: int, detail: str = "", shade: float | None = None) -> Cell:
    """Return a cell of a number that sorts by it; a dash where there is none."""
    known = not missing(value) and math.isfinite(float(value))
    return Cell(words.number(value, digits), detail, float(value) if known else None, shade)


def share_cell(value: Any) -> Cell:
    """Return a cell of a share of 1, in percent."""
    return Cell(words.percent(value), value=None if missing(value) else float(value))
