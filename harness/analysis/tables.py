"""All tables of a report, made once for the page, report.md and the figures."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from harness.analysis.bd_table import bd_matrix, bd_rows
from harness.analysis.problems import control_rows, problem_rows
from harness.analysis.ratio_table import anchor_of, comparison, ratio_rows
from harness.analysis.run import RunRecords
from harness.analysis.speed_table import speed_rows
from harness.analysis.sweep_table import rate_match_rows, sweep_points


@dataclass(frozen=True)
class Tables:
    """The tables of one run; an empty one has no rows."""

    anchor: str | None
    """The codec that the others are compared with."""
    ratio: pd.DataFrame
    sweep: pd.DataFrame
    rate_match: pd.DataFrame
    """The data-set rate match: one setting for all images, within the total target size."""
    bd: pd.DataFrame
    bd_matrix: pd.DataFrame
    controls: pd.DataFrame
    problems: pd.DataFrame
    speed: pd.DataFrame


def tabulate(run: RunRecords) -> Tables:
    """Make every table."""
    anchor = anchor_of(run, [comparison(run, ratio) for ratio in run.ratios])
    ratio = ratio_rows(run)
    return Tables(
        anchor=anchor,
        ratio=ratio,
        sweep=sweep_points(run),
        rate_match=rate_match_rows(run, run.ratios or run.manifest.ratios),
        bd=bd_rows(run, anchor),
        bd_matrix=bd_matrix(run),
        controls=control_rows(run),
        problems=problem_rows(run),
        speed=speed_rows(run, ratio),
    )
