"""harness encode and harness decode: one file at a time, with any codec."""

from __future__ import annotations

from pathlib import Path

import click

from harness.cli.options import Settings, complete_codecs, plugin_option
from harness.errors import UsageError

_FILE = click.Path(dir_okay=False, path_type=Path)


@click.command(short_help="Compress one image with any codec.")
@click.argument("image", type=_FILE)
@click.argument("file", type=_FILE)
@click.option("--codec", required=True, shell_complete=complete_codecs, help="A codec id, such as webp.")
@click.option(
    "--ratio", type=click.FloatRange(min=1, min_open=True), help="Raw bytes / file bytes that the file must reach."
)
@click.option("--setting", type=float, help="A setting of the codec's ladder, in place of a ratio.")
@plugin_option
@click.pass_obj
def encode(
    settings: Settings,
    /,
    *,
    image: Path,
    file: Path,
    codec: str,
    ratio: float | None,
    setting: float | None,
    plugins: tuple[str, ...],
) -> None:
    """Compress IMAGE to FILE with one codec, to a ratio or at a setting; a lossless codec needs neither.

    The exit status is 1, and nothing is written, when no file of the codec reaches the ratio.

    \b
    Example:
      harness encode photo.png photo.webp --codec webp --ratio 12
    """
    from harness.run.one_file import encode_file

    if ratio is not None and setting is not None:
        raise UsageError("encode takes only one of --ratio and --setting.")
    made = encode_file(settings.load(plugins).codec_spec(codec), image, file, ratio, setting)
    reached = f"{made.ratio:.3f}x, {made.bpp:.4f} bpp, PSNR {made.psnr:.2f} dB"
    click.echo(f"{file}: {made.size_bytes} bytes, {reached}, setting {made.setting:g} ({made.status})")


@click.command(short_help="Decompress one file.")
@click.argument("file", type=_FILE)
@click.argument("image", type=_FILE)
@click.option("--codec", shell_complete=complete_codecs, help="The codec id.  [default: recognised from the file]")
@plugin_option
@click.pass_obj
def decode(settings: Settings, /, file: Path, image: Path, codec: str | None, plugins: tuple[str, ...]) -> None:
    """Decompress FILE to IMAGE (a PNG or TIFF), in a process with limits of time and memory.

    \b
    Example:
      harness decode photo.webp photo.png
    """
    from harness.run.one_file import decode_file

    config = settings.load(plugins)
    pixels = decode_file(config, file, image, codec)
    height, width, channels = pixels.shape
    click.echo(f"{image}: {width}x{height}, {channels} channels, {pixels.dtype}")
