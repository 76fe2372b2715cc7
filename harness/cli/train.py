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
    "--data", metavar="NAME|FOLDER", help="Training images; unless said, the recipe's own, else $HARNESS_DATA/train."
)
@click.option("--weights", type=click.Path(path_type=Path), help="Where weights go; $HARNESS_WEIGHTS unless said.")
@click.option("--accelerator", default="auto", show_default=True, help="In lightning's words: cpu, gpu, auto.")
@click.option("--devices", type=click.IntRange(min=1), default=1, show_default=True, help="Processes a node.")
@click.option("--nodes", type=click.IntRange(min=1), default=1, show_default=True)
@click.option("--strategy", default="auto", show_default=True, help="In lightning's words, as in ddp.")
@plugin_option
@click.option("--dry-run", is_flag=True, help="List what is missing and about how long it takes.")
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
    """Train learned codecs that have no weights yet; an interrupted training goes on where it was.

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
            f"the codec {unknown[0]!r} has no training here. "
            "Trained are those of models/, codecs with a `recipe`, and plugins like them."
        )
    session = TrainingSession(config, data, weights, machines)
    session.check_data()
    orders = session.missing(specs, ratios)
    if not orders:
        click.echo(f"nothing to train: every weight is there and passed a quick check ({session.weights})")
        return
    session.check_images(orders)
    if dry_run:
        for order, seconds in session.estimates(orders):
            click.echo(f"missing: {order.name}, about {seconds / 60:.0f} minutes here")
        return
    stop_on_sigterm()
    for order in orders:
        click.echo(f"training {order.name} into {session.weights}; Ctrl-C keeps what is done")
        click.echo(f"trained {session.train(order, bar=True)}")
