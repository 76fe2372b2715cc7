"""Every table of a report, made once and shown on the page, in report.md and as figures."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from harness.analysis.bd_table import bd_matrix, bd_rows
from harness.analysis.problems import control_rows, problem_rows
from harness.analysis.ratio_table import anchor_of, comparison, ratio_rows
from harness.analysis.run import Run
from harness.analysis.speed_table import speed_rows
from harness.analysis.sweep_table import set_budget_rows, sweep_points


@dataclass(frozen=True)
class Tables:
    """The tables of one run; an empty one has no rows."""

    anchor: str | None
    """The codec that differences are taken to."""
    ratio: pd.DataFrame
    sweep: pd.DataFrame
    set_budget: pd.DataFrame
    bd: pd.DataFrame
    bd_matrix: pd.DataFrame
    controls: pd.DataFrame
    problems: pd.DataFrame
    speed: pd.DataFrame


def tabulate(run: Run) -> Tables:
    """Make every table."""
    anchor = anchor_of(run, [comparison(run, ratio) for ratio in run.ratios])
    ratio = ratio_rows(run)
    return Tables(
        anchor=anchor,
        ratio=ratio,
        sweep=sweep_points(run),
        set_budget=set_budget_rows(run, run.ratios or run.manifest.ratios),
        bd=bd_rows(run, anchor),
        bd_matrix=bd_matrix(run),
        controls=control_rows(run),
        problems=problem_rows(run),
        speed=speed_rows(run, ratio),
    )
