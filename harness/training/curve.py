"""A picture of a training: how loss, quality and ratio went, step by step. Imports matplotlib when it draws."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

PANELS = {"loss": "loss", "psnr": "PSNR at target (dB)", "ratio": "ratio at step 1"}
"""Column of a curve -> what its axis says; each that a curve has is a panel."""
_WIDTH, _HEIGHT, _DPI = 7.0, 2.2, 100
"""Inches of the picture, and of one panel; dots an inch."""


def draw(rows: Sequence[Mapping[str, float]], title: str, path: Path) -> None:
    """Write a curve as a PNG file.

    Args:
        rows: one a step, in order: `step`, and those of `PANELS` that are known there; no row without `step`.
        title: what stands above.
        path: where to.
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
