"""harness codec list | show | check | new."""

from __future__ import annotations

import json
from pathlib import Path

import click

from harness.cli.options import Settings, complete_codecs, plugin_option, print_table


@click.group(short_help="List codecs, show and check one, or write a new one.")
def codec() -> None:
    """List codecs, show and check one, or write a new one.

    \b
    Example:
      harness codec list
    """


@codec.command("list")
@plugin_option
@click.pass_obj
def list_codecs(settings: Settings, /, plugins: tuple[str, ...]) -> None:
    """List every codec; none is imported for it.

    \b
    Example:
      harness codec list --plugin my_codec.py
    """
    from rich.table import Table
    from rich.text import Text

    config = settings.load(plugins)
    default = set(config.default_codecs())
    ids = sorted({*config.codecs, *default})
    shown = Table(box=None, pad_edge=False, show_header=False, padding=(0, 2, 0, 0))
    for codec_id in ids:
        spec = config.codec_spec(codec_id)
        given = ", ".join(f"{key}={value}" for key, value in spec.parameters.items())
        cells = (f"{'*' if codec_id in default else ' '} {codec_id}", spec.origin, given)
        shown.add_row(*(Text(cell, overflow="fold") for cell in cells))
    print_table(shown)
    click.echo("* runs by default; `harness codec show NAME` tells more")


@codec.command()
@click.argument("name", shell_complete=complete_codecs)
@plugin_option
@click.pass_obj
def show(settings: Settings, /, name: str, plugins: tuple[str, ...]) -> None:
    """Print the formats, the ladder and the versions of a codec.

    \b
    Example:
      harness codec show webp
    """
    from harness.run.one_file import describe

    spec = settings.load(plugins).codec_spec(name)
    about = describe(spec)
    ladder = about.ladder
    click.echo(f"{spec.id}: {spec.target}, {spec.origin}")
    click.echo(f"formats:    {', '.join(about.formats)}")
    click.echo(f"ladder:     {len(ladder)} settings, {ladder[0]:g} (smallest files) to {ladder[-1]:g}")
    click.echo(f"lossless:   {'yes' if about.lossless else 'no'}")
    click.echo(f"rate:       {'its own rate control' if about.budget else 'searched by the harness'}")
    click.echo(f"state:      {about.missing or 'ready'}")
    click.echo(f"provenance: {json.dumps(about.provenance)}")


@codec.command(short_help="Run the conformance tests of the codec interface.")
@click.argument("name", shell_complete=complete_codecs)
@plugin_option
@click.pass_obj
def check(settings: Settings, /, name: str, plugins: tuple[str, ...]) -> None:
    """Run the conformance tests of the codec interface on a codec, and print each outcome with its evidence.

    Ends with status 1 when a test fails.

    \b
    Example:
      harness codec check my-codec --plugin my_codec.py
    """
    from harness.sandbox import conformance

    failed = 0
    for verdict in conformance.check(settings.load(plugins).codec_spec(name)):
        click.echo(f"{verdict.outcome:<14}  {verdict.test}\n                {verdict.evidence}")
        failed += verdict.outcome == "fail"
    count = len(conformance.CONFORMANCE_TESTS)
    click.echo(f"{name} fails {failed} of {count} conformance tests" if failed else f"{name} fails no conformance test")
    click.get_current_context().exit(1 if failed else 0)


@codec.command()
@click.argument("name")
@click.option(
    "--folder",
    type=click.Path(file_okay=False, exists=True, path_type=Path),
    default=".",
    show_default=True,
    help="Where to write.",
)
@click.pass_obj
def new(settings: Settings, /, name: str, folder: Path) -> None:
    """Write a working codec and its test, as a start for your own.

    \b
    Example:
      harness codec new my-codec
    """
    from harness.cli.scaffold import new_codec

    plugin, test = new_codec(name, folder, settings.load())
    click.echo(f"wrote {plugin} and {test}")
    click.echo(f"next: harness codec check {name} --plugin {plugin}")
    click.echo(f"then: harness bench --plugin {plugin} --codecs jpeg-444,{name}")
