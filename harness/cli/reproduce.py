"""harness reproduce."""

from __future__ import annotations

from pathlib import Path

import click

from harness.cli.options import Settings, complete_data, complete_figures, results_option
from harness.errors import UsageError


@click.command(short_help="Measure a published figure again.")
@click.argument("name", required=False, shell_complete=complete_figures)
@click.option("--list", "show_list", is_flag=True, help="List the figures.")
@click.option("--limit", type=click.IntRange(min=1), help="Only the first N images, for a quick try.")
@click.option("--data", default="", shell_complete=complete_data, help="Another data set than that of the figure.")
@click.option("--images", type=click.Path(path_type=Path), help="A folder of your own images instead.")
@click.option("--jobs", type=click.IntRange(min=1), help="Worker processes.  [default: one per processor]")
@results_option
@click.pass_obj
def reproduce(
    settings: Settings,
    /,
    *,
    name: str | None,
    show_list: bool,
    limit: int | None,
    data: str,
    images: Path | None,
    jobs: int | None,
    results: Path,
) -> None:
    """Measure a published figure again, and judge each of its points.

    \b
    Example:
      harness reproduce kodak-psnr
    """
    config = settings.load()
    if show_list:
        for figure, table in config.figures.items():
            click.echo(f"{figure}: {table['description']}")
        return
    if name is None:
        raise UsageError("reproduce needs the name of a figure. See `harness reproduce --list`.")
    from harness.plan.request import Request
    from harness.reproduce.figure import reproduce as run
    from harness.reproduce.judge import counts
    from harness.run.engine import stop_on_sigterm

    stop_on_sigterm()
    request = Request(config, limit=limit, images=images, jobs=jobs, results=results)
    done = run(name, request, data)
    for verdict, count in counts(done.measured.verdicts).items():
        click.echo(f"{count} published points {verdict}")
    click.echo(f"The figure is {done.folder / name}.pdf (.svg, .png), its data {name}.csv")
    click.echo(f"The verdict of each point is {done.folder / 'verdict.md'}")
    click.get_current_context().exit(int((done.measured.run.records["status"] == "failed").any()))
