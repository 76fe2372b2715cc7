"""The command line: a command parses, calls one function, prints."""

from __future__ import annotations

import errno
import sys

import click

from harness import __version__
from harness.cli import bench, codec, compare, container, data, files, reproduce, train, verify
from harness.cli.options import Settings, config_option
from harness.errors import HarnessError, UsageError

INTERRUPTED = 130
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
    """Run the command line; every error of ours becomes one line and an exit status."""
    try:
        sys.exit(harness.main(standalone_mode=False) or 0)
    except (click.exceptions.Abort, KeyboardInterrupt):
        _end("interrupted: what is done is kept. Run the same command again to go on.", INTERRUPTED)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        sys.exit(error.exit_code)
    except click.UsageError as error:
        path = error.ctx.command_path if error.ctx else "harness"
        _end(f"{error.format_message()} See `{path} --help`.", error.exit_code)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(1)
    except HarnessError as error:
        _end(str(error), 2 if isinstance(error, UsageError) else 1)
    except OSError as error:
        if error.errno not in _NO_SPACE:
            raise
        where = error.filename or "a file"
        _end(f"{where} cannot be written: {error.strerror}. Free some space and run the same command again.", 2)


def _end(message: str, status: int) -> None:
    click.echo(f"harness: {' '.join(message.split())}", err=True)
    sys.exit(status)
