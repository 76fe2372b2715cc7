"""harness bench, harness time and harness report."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from harness.cli.options import NameList, RatioList, Settings, complete_suites, plugin_option, results_option

if TYPE_CHECKING:
    import pandas as pd

    from harness.plan.request import Request
    from harness.run.bench import Run
    from harness.run.dry_run import Estimate

_Command = TypeVar("_Command", bound=Callable[..., Any])


_SELECTION = (
    click.option("--suite", default="", shell_complete=complete_suites, help="What to run; `demo` unless said."),
    click.option("--ratios", type=RatioList(), help="Raw bytes / file bytes, as in 4,8,12,16."),
    click.option(
        "--protocol", type=click.Choice(["ratio", "sweep", "both"]), help="Fixed ratios, fixed settings, or both."
    ),
    click.option("--codecs", type=NameList(), help="Codec ids, as in jpeg-444,webp; all defaults unless said."),
    click.option("--metrics", type=NameList("metrics"), help="As in psnr,ms_ssim,lpips; the suite's own unless said."),
    click.option("--images", type=click.Path(path_type=Path), help="A folder of your own images instead."),
    click.option("--limit", type=click.IntRange(min=1), help="Only the first so many images."),
    click.option("--jobs", type=click.IntRange(min=1), help="Worker processes; one a processor unless said."),
    click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True),
    click.option("--no-train", is_flag=True, help="Do not train: learned codecs without weights are `missing`."),
    click.option("--allow-leaks", is_flag=True, help="Measure learned codecs on images they were trained on, marked."),
    click.option("--keep-files", is_flag=True, help="Keep every bitstream that a record counts, beside the records."),
    results_option,
    plugin_option,
)


def _selection(command: _Command) -> _Command:
    """Add the options that say what is measured."""
    for option in reversed(_SELECTION):
        command = option(command)
    return command


def _request(settings: Settings, plugins: tuple[str, ...], asked: dict[str, Any]) -> Request:
    from harness.plan.request import Request

    no_train = asked.pop("no_train")
    chosen = {key: value for key, value in asked.items() if value is not None}
    return Request(settings.load(plugins), train=not no_train, **chosen)


@click.command(short_help="Compare codecs on images, by the bytes of real files.")
@_selection
@click.option("--scheduler", metavar="ADDRESS", help="An existing dask scheduler, as in tcp://host:8786.")
@click.option("--ship-images", is_flag=True, help="Send images along, to workers that do not see their folder.")
@click.option("--dry-run", is_flag=True, help="Say what would be measured and about how long it takes.")
@click.pass_obj
def bench(settings: Settings, /, dry_run: bool, plugins: tuple[str, ...], **asked: Any) -> None:
    """Compare codecs: every image to every ratio, by the bytes of files that another process decodes.

    What is measured already is not measured again. Ctrl-C keeps what is done. Ends with status 1 when a record is
    `failed`, or when all records of a codec that --codecs names are `missing` and --no-train does not allow it; with 2
    when nothing can be measured as asked, with 130 after Ctrl-C.

    \b
    Example:
      harness bench --suite kodak --ratios 4,8,12,16 --codecs jpeg-444,webp
    """
    from harness.run.bench import bench as run_bench
    from harness.run.dry_run import estimate
    from harness.run.engine import stop_on_sigterm

    request = _request(settings, plugins, asked)
    if dry_run:
        _print_estimate(estimate(request))
        return
    stop_on_sigterm()
    _print_run(run_bench(request), request)


@click.command(short_help="Time what a bench chose.")
@_selection
@click.option("--repeats", type=click.IntRange(min=5), default=5, show_default=True, help="Timed calls each.")
@click.option("--allow-busy", is_flag=True, help="Time on a machine that is not idle; the times are marked.")
@click.pass_obj
def time(settings: Settings, /, repeats: int, allow_busy: bool, plugins: tuple[str, ...], **asked: Any) -> None:
    """Time what a bench chose: one call at a time, warmed up, median of several.

    Takes the options of `harness bench` but those of a cluster, for times are taken on this machine. Measures what
    that lacks, then times encode and decode of every record's file with one thread and, where a codec can use them,
    all.

    \b
    Example:
      harness time --suite demo --codecs jpeg-444,webp --limit 2
    """
    from harness.run import timing
    from harness.run.engine import stop_on_sigterm

    stop_on_sigterm()
    request = _request(settings, plugins, asked)
    _print_run(timing.time_run(request, repeats, allow_busy), request)


def _print_run(run: Run, request: Request) -> None:
    """Print a run's table and where its report is, and end with its exit status."""
    from rich.console import Console

    from harness.report.terminal import print_table
    from harness.system.container import where_on_host

    print_table(run.records, run.manifest, Console())
    _print_report(run.folder)
    if hint := where_on_host(run.folder):
        click.echo(hint)
    click.get_current_context().exit(_status(run.records, request))


def _print_report(folder: Path) -> None:
    click.echo(f"The report is {shlex.quote(str(folder / 'report.html'))}")


def _status(records: pd.DataFrame, request: Request) -> int:
    """Return the exit status of a run: 1 when some record failed, or a codec that was named has only missing ones.

    Without training, which was asked for then, a codec may be missing.
    """
    named = request.codecs if request.train else ()
    missing = (records["status"] == "missing").groupby(records["codec"]).all()
    return int((records["status"] == "failed").any() or missing.reindex(named, fill_value=False).any())


def _print_estimate(found: Estimate) -> None:
    plan = found.plan
    codecs = dict.fromkeys(codec.spec.id for codec in plan.codecs)
    click.echo(f"{len(plan.images)} images x {len(codecs)} codecs: {', '.join(codecs)}")
    click.echo(f"{found.records} records to measure, {found.reused} in the store already")
    for record in {record.codec: record for record in plan.placeholders}.values():
        trained = record.status == "missing" and record.codec in found.trained
        click.echo(f"{'would be trained' if trained else record.status}: {record.codec}: {record.reason}")
    click.echo(f"about {found.seconds / 60:.1f} minutes, from one task of each codec")


@click.command(short_help="Make the report of a run again, or one of several runs.")
@click.argument("runs", type=click.Path(exists=True, path_type=Path), nargs=-1, required=True)
@click.option("--output", type=click.Path(file_okay=False, path_type=Path), help="Where a report of several runs goes.")
def report(runs: tuple[Path, ...], output: Path | None) -> None:
    """Make the report of a run again from its records, or one report of several runs.

    A run is its folder; of a results folder the newest run is taken.

    \b
    Example:
      harness report results/20260101T120000Z-kodak
    """
    from harness.report import rebuild

    _print_report(rebuild.report(runs, output))


@click.command(short_help="Write all records of a results folder into one table.")
@click.argument("table", type=click.Path(dir_okay=False, path_type=Path))
@results_option
def export(table: Path, results: Path) -> None:
    """Write every record of a results folder, of all its runs, into one TABLE: a .csv or a .parquet file.

    \b
    Example:
      harness export records.parquet
    """
    from harness.records.export import export as write

    click.echo(f"{table}: {write(results, table)} records")
