"""Every command, and how the program ends: an error becomes one line and an exit status."""

from __future__ import annotations

import errno
import sys

import click

from harness import __version__
from harness.cli import INTERRUPTED, bench, codec, compare, container, data, files, reproduce, train, verify
from harness.cli.options import Settings, config_option
from harness.errors import HarnessError, UsageError

_NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="harness")
@config_option
@click.pass_context
def harness(context: click.Context, config: str | None) -> None:
    """Benchmark image compression, learned and classical, by real bytes.

    \b
    Example:
      harness bench --ratios 4,8,12,16
    \b
    Tab completion (bash; zsh and fish likewise):
      eval "$(_HARNESS_COMPLETE=bash_source harness)"
    """
    context.obj = Settings(config)


for command in (
    bench.bench,
    bench.time,
    bench.report,
    bench.export,
    compare.compare,
    files.encode,
    files.decode,
    codec.codec,
    data.data,
    train.train,
    container.container,
    reproduce.reproduce,
    verify.verify,
):
    harness.add_command(command)


def main() -> None:
    """Run the command line; every HarnessError becomes one line and an exit status."""
    try:
        sys.exit(harness.main(standalone_mode=False) or 0)
    except (click.exceptions.Abort, KeyboardInterrupt):
        _end("interrupted: what is done is kept. Run the same command again to go on.", INTERRUPTED)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        sys.exit(error.exit_code)
    except click.UsageError as error:
        _end(_misused(error), error.exit_code)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(1)
    except HarnessError as error:
        _end(str(error), 2 if isinstance(error, UsageError) else 1)
    except OSError as error:
        _end(_refused(error), 2)


def _misused(error: click.UsageError) -> str:
    """Return what is wrong with a command line, and what to do."""
    message = error.format_message()
    hints = [message if message.endswith((".", "?")) else f"{message}."]
    if isinstance(error, click.NoSuchOption) and error.option_name == "--config":
        hints.append("It goes before the command: `harness --config FILE COMMAND`.")
    options = {option.name for option in error.ctx.command.params} if error.ctx else set()
    if "unexpected extra argument" in message and "images" in options:
        hints.append("Name a folder of images with --images.")
    path = error.ctx.command_path if error.ctx else "harness"
    return " ".join([*hints, f"See `{path} --help`."])


def _refused(error: OSError) -> str:
    """Return what could not be read or written, and why."""
    if error.errno in _NO_SPACE:
        where = error.filename or "a file"
        return f"{where} cannot be written: {error.strerror}. Free some space and run the same command again."
    if error.filename is None:
        return f"the operating system refused a file or a connection: {error.strerror or error}."
    return f"{error.filename} cannot be read or written: {error.strerror}."


def _end(message: str, status: int) -> None:
    click.echo(f"harness: {' '.join(message.split())}", err=True)
    sys.exit(status)
