"""harness train: make the weights of learned codecs."""

from __future__ import annotations

from pathlib import Path

import click

from harness.cli.options import NameList, RatioList, Settings, plugin_option
from harness.errors import UsageError


@click.command(short_help="Train learned codecs that have no weights yet.")
@click.option("--models", type=NameList(), required=True, help="Learned codecs, as in baseline,resnet.")
@click.option("--ratios", type=RatioList(), default="4,8,12,16", show_default=True, help="Raw bytes / file bytes.")
@click.option(
    "--data",
    metavar="NAME|FOLDER",
    help="Training images.  [default: the recipe's own, else $HARNESS_DATA/train]",
)
@click.option("--weights", type=click.Path(path_type=Path), help="Folder for the weights.  [default: $HARNESS_WEIGHTS]")
@click.option("--accelerator", default="auto", show_default=True, help="As in lightning: cpu, gpu, auto.")
@click.option("--devices", type=click.IntRange(min=1), default=1, show_default=True, help="Processes per node.")
@click.option("--nodes", type=click.IntRange(min=1), default=1, show_default=True, help="Machines.")
@click.option("--strategy", default="auto", show_default=True, help="As in lightning, for instance ddp.")
@plugin_option
@click.option("--dry-run", is_flag=True, help="List the missing weights and about how long training takes.")
@click.pass_obj
def train(
    settings: Settings,
    /,
    *,
    models: tuple[str, ...],
    ratios: tuple[float, ...],
    data: str | None,
    weights: Path | None,
    plugins: tuple[str, ...],
    dry_run: bool,
    **machines: str | int,
) -> None:
    """Train learned codecs that have no weights yet, and resume an interrupted training.

    \b
    Example:
      harness train --models baseline --ratios 16 --dry-run
    """
    from harness.run.engine import stop_on_sigterm
    from harness.training.session import TrainingSession, is_trainable

    config = settings.load(plugins)
    specs = [config.codec_spec(name) for name in models]
    if unknown := [spec.id for spec in specs if not is_trainable(spec)]:
        raise UsageError(
            f"the codec {unknown[0]!r} cannot be trained. "
            "Codecs of models/, codecs with a `recipe`, and plugins like them can."
        )
    session = TrainingSession(config, data, weights, machines)
    session.check_data()
    jobs = session.missing(specs, ratios)
    if not jobs:
        click.echo(f"nothing to train: all weights are in {session.weights} and passed a quick check")
        return
    session.check_images(jobs)
    if dry_run:
        for job, seconds in session.estimates(jobs):
            click.echo(f"missing: {job.name}, about {seconds / 60:.0f} minutes here")
        return
    stop_on_sigterm()
    for job in jobs:
        click.echo(f"training {job.name} into {session.weights}; Ctrl-C keeps what is done")
        click.echo(f"trained {session.train(job, bar=True)}")
