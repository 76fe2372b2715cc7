"""The curve of a training (loss, PSNR and ratio by step): read and draw it. Imports matplotlib only to draw."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

FIELDS = ("step", "loss", "score", "psnr", "ratio", "weight")
"""Columns of curve.csv. PSNR (dB, at the target ratio), the ratio at step 1 and lambda: on validated steps only."""
PANELS = {"loss": "loss", "psnr": "PSNR at target (dB)", "ratio": "ratio at step 1"}
"""Column of a curve -> the label of its axis. Each column that a curve has gets a panel."""
_WIDTH, _HEIGHT, _DPI = 7.0, 2.2, 100
"""Width of the picture and height of one panel in inches; dots per inch."""


def read_curve(path: Path) -> list[dict[str, str]]:
    """Return the rows of a curve, or an empty list if there is no file."""
    if not path.is_file():
        return []
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def draw(rows: Sequence[Mapping[str, float]], title: str, path: Path) -> None:
    """Write a curve as a PNG file.

    Args:
        rows: one per step, in order: `step`, and the columns of `PANELS` that are known at that step.
        title: the title of the picture.
        path: the file to write.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    shown = [name for name in PANELS if any(name in row for row in rows)]
    figure = Figure((_WIDTH, _HEIGHT * max(1, len(shown))), dpi=_DPI, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(max(1, len(shown)), sharex=True, squeeze=False)[:, 0]
    for axis, name in zip(axes, shown, strict=False):
        points = [(row["step"], row[name]) for row in rows if name in row]
        axis.plot(*zip(*points, strict=True), linewidth=1, marker="." if len(points) < 60 else "")
        axis.set_ylabel(PANELS[name])
        axis.grid(alpha=0.3)
    axes[0].set_title(title)
    axes[-1].set_xlabel("step")
    figure.savefig(path)
