"""harness data list | fetch | verify."""

from __future__ import annotations

import click

from harness.cli.options import Settings, complete_data


@click.group(short_help="List, fetch and verify data sets.")
def data() -> None:
    """List, fetch and verify data sets.

    \b
    Example:
      harness data fetch kodak
    """


@data.command("list")
@click.pass_obj
def list_sets(settings: Settings) -> None:
    """List the data sets, and how much of each is on this machine.

    \b
    Example:
      harness data list
    """
    from harness.data import datasets

    for name, about in settings.load().data.items():
        click.echo(f"{name}: {about.description}\n  {datasets.state(name, about)}; licence: {about.licence}")


@data.command()
@click.argument("name", shell_complete=complete_data)
@click.pass_obj
def fetch(settings: Settings, /, name: str) -> None:
    """Download and check the missing files of a data set.

    \b
    Example:
      harness data fetch kodak
    """
    from harness.data import datasets

    paths = datasets.fetch(name, settings.load().data_set(name))
    click.echo(f"{name}: {len(paths)} files, in {paths[0].parent}")


@data.command()
@click.argument("name", shell_complete=complete_data)
@click.pass_obj
def verify(settings: Settings, /, name: str) -> None:
    """Check every file of a data set against its sha256.

    \b
    Example:
      harness data verify demo
    """
    from harness.data import datasets

    about = settings.load().data_set(name)
    click.echo(f"{name}: {len(datasets.from_set(name, about))} files, {datasets.as_hashed(about)}")
