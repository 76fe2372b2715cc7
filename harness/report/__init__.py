"""Write reports: a pure function of records and manifest, which runs no codec and reads no store.

`write_report` makes report.md, report.html and the figures of one run; the same input gives the same bytes.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

    from harness.analysis.run import RunRecords
    from harness.records.artifacts import Pictures
    from harness.records.manifest import Manifest

FIGURES = "figures"
"""The folder of figures, next to report.md."""


def write_report(folder: Path, records: pd.DataFrame, manifest: Manifest, pictures: Pictures | None = None) -> None:
    """Write report.md, report.html and figures/ into `folder`, unless they are up to date.

    Args:
        folder: the folder of the run.
        records: a table with the columns of records.csv.
        manifest: the manifest of the run; the report leaves out what it lacks.
        pictures: pictures for the page's viewer; None: no viewer.

    Raises:
        UsageError: the records lack a column, or contain a record twice.
    """
    from harness.analysis.run import prepare
    from harness.report.freshness import fingerprint, is_fresh

    key = fingerprint(records, manifest, pictures)
    if not is_fresh(folder, key):
        _write(folder, prepare(records, manifest), key, pictures)


def _write(folder: Path, run: RunRecords, key: str, pictures: Pictures | None) -> None:
    from harness.analysis.tables import tabulate
    from harness.report.figures import draw_figures
    from harness.report.freshness import mark
    from harness.report.markdown import report_text
    from harness.report.page.page import page_text
    from harness.report.page.viewer import viewer_data
    from harness.system.files import write_text

    tables = tabulate(run)
    figures = draw_figures(folder / FIGURES, run, tables)
    page = page_text(run, tables, viewer_data(run, pictures) if pictures else None)
    text = report_text(run, tables, figures, FIGURES)
    write_text(folder / "report.html", page + mark(key))
    write_text(folder / "report.md", text + mark(key))


__all__ = ["FIGURES", "write_report"]
