"""harness bench, harness time, harness report and harness export."""

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
    click.option(
        "--suite", default="", shell_complete=complete_suites, help="A suite of benchmarks.toml.  [default: demo]"
    ),
    click.option(
        "--ratios", type=RatioList(), help="Raw bytes / file bytes, such as 4,8,12,16.  [default: the suite's]"
    ),
    click.option(
        "--protocol",
        type=click.Choice(["ratio", "sweep", "both"]),
        help="Fixed ratios, fixed settings, or both.  [default: the suite's]",
    ),
    click.option("--codecs", type=NameList(), help="Codec ids, such as jpeg-444,webp.  [default: the suite's]"),
    click.option(
        "--metrics", type=NameList("metrics"), help="Metrics, such as psnr,ms_ssim,lpips.  [default: the suite's]"
    ),
    click.option(
        "--images", type=click.Path(path_type=Path), help="A folder of your own images, in place of the suite's."
    ),
    click.option("--limit", type=click.IntRange(min=1), help="Use only the first N images."),
    click.option("--jobs", type=click.IntRange(min=1), help="Worker processes.  [default: one per processor]"),
    click.option(
        "--device",
        type=click.Choice(["auto", "cpu", "cuda"]),
        default="auto",
        show_default=True,
        help="Where metrics are computed.",
    ),
    click.option(
        "--no-train", is_flag=True, help="Train nothing: records of learned codecs without weights are `missing`."
    ),
    click.option(
        "--allow-leaks",
        is_flag=True,
        help="Measure learned codecs even on images that they were trained on; the results are marked.",
    ),
    click.option("--keep-files", is_flag=True, help="Keep the compressed file of every record."),
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
@click.option(
    "--scheduler", metavar="ADDRESS", help="The address of an existing dask scheduler, such as tcp://host:8786."
)
@click.option("--ship-images", is_flag=True, help="Send the images to workers that do not see their folder.")
@click.option("--dry-run", is_flag=True, help="Print what would be measured and about how long it would take.")
@click.pass_obj
def bench(settings: Settings, /, dry_run: bool, plugins: tuple[str, ...], **asked: Any) -> None:
    """Compare codecs: every image to every ratio, by the bytes of files that another process decodes.

    Records that are in the store already are not measured again, and Ctrl-C keeps what is done. The exit status is 1
    when a record is `failed`, or when all records of a codec that --codecs names are `missing` (unless --no-train is
    given); 2 when the request cannot be met; 130 after Ctrl-C.

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


@click.command(short_help="Time the files that a bench chose.")
@_selection
@click.option(
    "--repeats",
    type=click.IntRange(min=5),
    default=5,
    show_default=True,
    help="How many timed calls each time is the median of.",
)
@click.option("--allow-busy", is_flag=True, help="Time even on a machine that is not idle; the times are marked.")
@click.pass_obj
def time(settings: Settings, /, repeats: int, allow_busy: bool, plugins: tuple[str, ...], **asked: Any) -> None:
    """Time the files that a bench chose: one call at a time, after one untimed call, the median of several.

    It takes the options of `harness bench`, except those of a cluster, because it times on this machine. It measures
    missing records first. Then it times encode and decode of every record's file, with one thread and, where a codec
    can use several, with all threads.

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
    """Return the exit status of a run: 1 when a record failed, or a codec that was named has only missing records.

    With --no-train a codec may be missing.
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


@click.command(short_help="Make the report of a run again, or one report of several runs.")
@click.argument("runs", type=click.Path(exists=True, path_type=Path), nargs=-1, required=True)
@click.option(
    "--output", type=click.Path(file_okay=False, path_type=Path), help="The folder for a report of several runs."
)
def report(runs: tuple[Path, ...], output: Path | None) -> None:
    """Make the report of a run again from its records, or one report of several runs.

    Name a run by its folder; a results folder stands for its newest run.

    \b
    Example:
      harness report results/20260101T120000Z-kodak
    """
    from harness.report import rebuild

    _print_report(rebuild.report(runs, output))


@click.command(short_help="Write all records of a results folder to one table.")
@click.argument("table", type=click.Path(dir_okay=False, path_type=Path))
@results_option
def export(table: Path, results: Path) -> None:
    """Write every record of a results folder, of all its runs, to one TABLE: a .csv or .parquet file.

    \b
    Example:
      harness export records.parquet
    """
    from harness.records.export import export as write

    click.echo(f"{table}: {write(results, table)} records")
