"""harness compare."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from harness.cli.options import print_table
from harness.errors import UsageError

if TYPE_CHECKING:
    import pandas as pd

    from harness.analysis.compare import Limit

_RUN = click.Path(exists=True, path_type=Path)


class _LimitText(click.ParamType["Limit"]):
    """A number with % (bytes, by BD-rate) or dB (PSNR at each ratio)."""

    name = "limit"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Limit:
        """Return the limit."""
        from harness.analysis.compare import parse_limit

        try:
            return parse_limit(str(value))
        except UsageError as error:
            self.fail(str(error), param, ctx)


@click.command(short_help="Compare two runs.")
@click.argument("run_a", type=_RUN)
@click.argument("run_b", type=_RUN)
@click.option("--fail-above", type=_LimitText(), help="End with status 1 if B is worse by more than this: 1% or 0.1dB.")
@click.option(
    "--csv", "csv_file", type=click.Path(dir_okay=False, path_type=Path), help="Write the table to this file too."
)
def compare(run_a: Path, run_b: Path, fail_above: Limit | None, csv_file: Path | None) -> None:
    """Compare RUN_B with RUN_A, per codec and ratio, with intervals.

    A run is named by its folder; a results folder stands for its newest run.

    \b
    Example:
      harness compare results/before results/after --fail-above 1%
    """
    from harness.analysis.compare import regressions, unchecked
    from harness.report import rebuild

    found = rebuild.compare(run_a, run_b)
    print_table(_table(found.table))
    for text in found.absent:
        click.echo(text)
    for difference in found.differences:
        click.echo(f"the runs differ in {difference}")
    if csv_file is not None:
        found.table.to_csv(csv_file, index=False)
    if fail_above is None:
        return
    worse = regressions(found.table, fail_above)
    for text in worse:
        click.echo(f"worse: {text}")
    left = "; ".join(f"{codec} ({why})" for codec, why in unchecked(found.table, fail_above).items())
    limit = f"{fail_above.value:g} {fail_above.unit}"
    if left and not worse:
        raise UsageError(f"the limit of {limit} cannot be checked for {left}.")
    if left:
        click.echo(f"not checked: {left}")
    click.echo(f"{len(worse)} regressions above {limit}" if worse else f"nothing is worse by more than {limit}")
    click.get_current_context().exit(int(bool(worse)))


def _table(table: pd.DataFrame) -> Any:
    """Return the comparison as a table for the terminal: differences are B minus A."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    from harness.analysis.columns import missing, swept
    from harness.analysis.run import rows_of
    from harness.report.words import interval, signed

    shown = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    shown.add_column("codec", overflow="fold")
    for name in ("protocol", "target", "n", "same files", "PSNR, dB", "bytes, %", "BD-rate, %"):
        shown.add_column(name, justify="right")
    for row in rows_of(table):
        changes = []
        for column, places in (("psnr_difference", 3), ("size_difference", 2), ("bd_rate", 2)):
            same = row[f"{column}_low"] == row[f"{column}_high"]
            limits = "" if same else interval(row, column, places)
            text = "" if missing(row[column]) else signed(row[column], places)
            changes.append(f"{text} ({limits})" if limits and text else text)
        if not missing(row["refused"]) and row["refused"]:
            changes[-1] = f"{changes[-1]}, {row['refused']:.0f} refused".removeprefix(", ")
        lost = f", {row['lost']:.0f} lost" if not missing(row["lost"]) and row["lost"] else ""
        same = "" if missing(row["identical"]) else f"{row['identical']:.0f}{lost}"
        target = "all" if missing(row["target"]) else swept({**row, "setting": row["target"]})
        cells = [row["codec"], row["protocol"], target, f"{row['n']:.0f}", same, *changes]
        shown.add_row(*(Text(str(cell)) for cell in cells))
    return shown
