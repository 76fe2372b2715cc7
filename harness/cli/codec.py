"""harness codec list | show."""

from __future__ import annotations

import json

import click

from harness.cli.options import Settings, complete_codecs, plugin_option


@click.group()
def codec() -> None:
    """List codecs and look at one.

    \b
    Example:
      harness codec list
    """


@codec.command("list")
@plugin_option
@click.pass_obj
def list_codecs(settings: Settings, /, plugins: tuple[str, ...]) -> None:
    """List every codec, without loading any.

    \b
    Example:
      harness codec list --plugin my_codec.py
    """
    config = settings.load(plugins)
    default = set(config.default_codecs())
    ids = sorted({*config.codecs, *default})
    width = max(map(len, ids))
    for codec_id in ids:
        spec = config.codec_spec(codec_id)
        given = ", ".join(f"{key}={value}" for key, value in spec.parameters.items())
        mark = "*" if codec_id in default else " "
        click.echo(f"{mark} {codec_id:<{width}}  {spec.origin:<11}  {given}".rstrip())
    click.echo("* runs by default; `harness codec show NAME` tells more")


@codec.command()
@click.argument("name", shell_complete=complete_codecs)
@plugin_option
@click.pass_obj
def show(settings: Settings, /, name: str, plugins: tuple[str, ...]) -> None:
    """Print formats, ladder and versions of a codec.

    \b
    Example:
      harness codec show webp
    """
    from harness.single import describe

    spec = settings.load(plugins).codec_spec(name)
    about = describe(spec)
    ladder = about.ladder
    click.echo(f"{spec.id}: {spec.target}, {spec.origin}")
    click.echo(f"formats:    {', '.join(about.formats)}")
    click.echo(f"ladder:     {len(ladder)} settings, {ladder[0]:g} (smallest files) to {ladder[-1]:g}")
    click.echo(f"lossless:   {'yes' if about.lossless else 'no'}")
    click.echo(f"control:    {'its own rate control' if about.budget else 'searched by the harness'}")
    click.echo(f"state:      {about.missing or 'ready'}")
    click.echo(f"provenance: {json.dumps(about.provenance)}")
