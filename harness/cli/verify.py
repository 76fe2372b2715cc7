"""harness verify."""

from __future__ import annotations

import click

from harness.cli.options import Settings

_COLOURS = {"pass": "green", "fail": "red", "not possible here": "yellow"}
_WIDTH = max(map(len, _COLOURS))


@click.command(short_help="Check this installation against published numbers.")
@click.option("--limit", type=click.IntRange(min=1), help="Only the first N images of each set.")
@click.option("--quick", is_flag=True, help="One quality per codec, one image for the lossless control.")
@click.option("--jobs", type=click.IntRange(min=1), help="Worker processes.  [default: one per processor]")
@click.pass_obj
def verify(settings: Settings, /, limit: int | None, quick: bool, jobs: int | None) -> None:
    """Check this installation against published numbers, one line per check.

    Ends with status 1 if a check fails. A check that is not possible here gives the reason, and is no failure.

    \b
    Example:
      harness verify --quick
    """
    from collections import Counter

    from harness.reproduce.verify import Extent, run_checks
    from harness.run.engine import stop_on_sigterm

    stop_on_sigterm()
    counts: Counter[str] = Counter()
    for check in run_checks(settings.load(), Extent(limit, quick, jobs)):
        counts[check.state] += 1
        click.echo(f"{click.style(check.state.ljust(_WIDTH), _COLOURS[check.state])}  {check.name}: {check.detail}")
    click.echo(", ".join(f"{counts[state]} {state}" for state in _COLOURS))
    click.get_current_context().exit(int(counts["fail"] > 0))
