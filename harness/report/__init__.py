"""The report: a pure function of the records and the manifest. It runs no codec and reads no store.

`write_report` makes report.md, report.html and the figures of one run; the same input gives the same bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

FIGURES = "figures"
"""The folder of figures, beside report.md."""


def write_report(folder: Path, records: pd.DataFrame, manifest: Mapping[str, Any]) -> None:
    """Write report.md, report.html and figures/ into `folder`, unless just these are there already.

    `records` has the columns of records.csv; what the manifest lacks, the report leaves out.

    Raises:
        UsageError: the records lack a column, or hold one record twice.
    """
    from harness.report.freshness import fingerprint, is_fresh

    key = fingerprint(records, manifest)
    if not is_fresh(folder, key):
        _write(folder, records, manifest, key)


def _write(folder: Path, records: pd.DataFrame, manifest: Mapping[str, Any], key: str) -> None:
    from harness.report.figures import draw_figures
    from harness.report.freshness import mark
    from harness.report.html import page_text
    from harness.report.markdown import report_text
    from harness.report.run import prepare
    from harness.report.tabulated import tabulate

    run = prepare(records, manifest)
    tables = tabulate(run)
    figures = draw_figures(folder / FIGURES, run, tables)
    (folder / "report.html").write_text(page_text(run, tables) + mark(key), encoding="utf-8")
    (folder / "report.md").write_text(report_text(run, tables, figures, FIGURES) + mark(key), encoding="utf-8")


__all__ = ["FIGURES", "write_report"]
