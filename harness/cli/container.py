"""harness container build | run | check."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import click

from harness.cli.options import NameList, Settings, print_table, results_option
from harness.container.connection import IMAGE

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)
_image_option = click.option("--image", default=IMAGE, show_default=True, help="The image's name, with or without tag.")
_gpus_option = click.option(
    "--gpus",
    type=click.Choice(["auto", "all", "none"]),
    default="auto",
    show_default=True,
    help="auto: all, where the engine has them; all: all, or refuse.",
)


class Size(click.ParamType[str]):
    """A number of bytes as Docker writes it: 512m, 16g."""

    name = "size"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the size as it was written."""
        if not re.fullmatch(r"[1-9]\d*[bkmg]?", value, re.IGNORECASE):
            self.fail(f"{value!r} is not a size such as 512m or 16g.", param, ctx)
        return value


@click.group(short_help="Build the pinned image, run in it, and check it.")
def container() -> None:
    """Build the pinned image, run harness in it, and check that its results repeat.

    \b
    Example:
      harness container run -- bench --ratios 4,8,12,16
    """


@container.command(short_help="Build the image from a checkout.")
@click.argument("source", type=_FOLDER, default=".")
@click.option("--image", default=None, help=f"The image's name.  [default: {IMAGE}; {IMAGE}:extras with --extras]")
@click.option("--base", default="", envvar="BASE_IMAGE", help="A base image in place of the pinned CUDA one.")
@click.option("--extras", is_flag=True, help="Include the codecs whose libraries are under the GPL.")
@click.option("--fresh", is_flag=True, help="Use no layer of an earlier build.")
def build(source: Path, image: str | None, base: str, extras: bool, fresh: bool) -> None:
    """Build the image from the checkout in SOURCE, by default the current folder.

    \b
    Example:
      harness container build
    """
    from harness.container.build import BuildRequest
    from harness.container.build import build as build_image

    image = image or (f"{IMAGE}:extras" if extras else IMAGE)
    built = build_image(BuildRequest(source, image, base, extras, fresh), click.echo)
    click.echo(f"{image}: {built.id}, {built.size_bytes / 1e9:.2f} GB")


@container.command(short_help="Run a harness command in it.", context_settings={"allow_interspersed_args": False})
@click.argument("command", nargs=-1, type=click.UNPROCESSED, required=True)
@_image_option
@results_option
@_gpus_option
@click.option("--plugin", "plugins", multiple=True, type=_FILE, help="A Python file with a codec; may be repeated.")
@click.option(
    "--mount",
    "folders",
    multiple=True,
    type=_FOLDER,
    help="A folder to mount read-only, at the same path; may be repeated.",
)
@click.option("--network", default="none", show_default=True, help="none, or bridge to download data.")
@click.option(
    "--memory", type=Size(), help="The memory limit, such as 16g.  [default: nine tenths of the engine's memory]"
)
@click.option(
    "--pids", type=click.IntRange(min=64), default=4096, show_default=True, help="The most processes and threads."
)
@click.option("--shm", type=Size(), default="1g", show_default=True, help="Shared memory, which data loaders use.")
@click.pass_obj
def run(settings: Settings, /, memory: str | None, pids: int, shm: str, **asked: Any) -> None:
    """Run a harness COMMAND in a fresh container: as you, read-only except for the results, without network.

    It sees the folder $HARNESS_DATA and the file of --config. Ctrl-C stops the container and keeps what is done.

    \b
    Example:
      harness container run --plugin my_codec.py -- bench --ratios 4,8,12,16
    """
    from harness.container.run import ContainerLimits, Job
    from harness.container.run import run as run_job

    job = Job(**asked, config=_config_file(settings), limits=ContainerLimits(memory or "", pids, shm))
    sys.exit(run_job(job, _write, lambda line: click.echo(line, err=True)))


@container.command(short_help="Compare a small bench in two containers and outside of them.")
@_image_option
@_gpus_option
@click.option("--codecs", type=NameList(), default=(), help="Codec ids.  [default: those that run by default]")
@click.pass_obj
def check(settings: Settings, /, image: str, gpus: str, codecs: tuple[str, ...]) -> None:
    """Compare a small bench in two fresh containers and outside of them, file by file and pixel by pixel.

    `again` counts what the second container made equal to the first; `outside` counts what this machine made equal to
    the first container. The exit status is 1 when the two containers differ.

    \b
    Example:
      harness container check --codecs jpeg-444,webp
    """
    from harness.container import check as checks

    checking = checks.Checking(settings.load(), _config_file(settings), codecs, image, gpus)
    agreements = checks.check(checking, lambda line: click.echo(line, err=True), _write)
    print_table(checks.table(agreements))
    sys.exit(0 if all(agreement.repeats for agreement in agreements) else 1)


def _config_file(settings: Settings) -> Path | None:
    return Path(settings.config_path) if settings.config_path else None


def _write(out: bytes, error: bytes) -> None:
    for stream, data in ((sys.stdout.buffer, out), (sys.stderr.buffer, error)):
        stream.write(data)
        stream.flush()
