"""Options that several commands share, and the types of their values."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import click
from click.shell_completion import CompletionItem

from harness.errors import HarnessError

if TYPE_CHECKING:
    from rich.table import Table

    from harness.config.schema import Config

_Command = TypeVar("_Command", bound=Callable[..., Any])
TABLE_WIDTH = 120
"""Characters per line of a table that is not printed on a terminal."""


@dataclass(frozen=True)
class Settings:
    """The values of the options that stand before the command's name."""

    config_path: str | None

    def load(self, plugins: Iterable[str] = ()) -> Config:
        """Read the configuration, with plugin files."""
        from harness.config.schema import load

        path = Path(self.config_path) if self.config_path else None
        return load(path, [Path(plugin) for plugin in plugins])


class RatioList(click.ParamType[tuple[float, ...]]):
    """Comma-separated numbers between 1 and a million."""

    name = "ratios"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[float, ...]:
        """Return the numbers."""
        if isinstance(value, tuple):
            return value
        try:
            ratios = tuple(float(part) for part in str(value).split(",") if part.strip())
        except ValueError:
            self.fail(f"{value!r} is not a list of numbers such as 4,8,12,16.", param, ctx)
        if not ratios or not all(1 < ratio < 1e6 for ratio in ratios):
            self.fail(f"{value!r}: a ratio is raw bytes / file bytes, above 1 and below 1000000.", param, ctx)
        return ratios


class NameList(click.ParamType[tuple[str, ...]]):
    """Comma-separated names of codecs or metrics."""

    name = "names"

    def __init__(self, of: Literal["codecs", "metrics"] = "codecs") -> None:
        self._of = of
        self._complete = {"codecs": complete_codecs, "metrics": complete_metrics}[of]

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, ...]:
        """Return the names."""
        if isinstance(value, tuple):
            return value
        names = tuple(name for part in str(value).split(",") if (name := part.strip()))
        if not names:
            self.fail(f"{value!r} names no {self._of}.", param, ctx)
        return names

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Complete the last name of the list."""
        done, comma, start = incomplete.rpartition(",")
        return [CompletionItem(done + comma + name) for name in self._complete(ctx, param, start)]


def _names(ctx: click.Context, table: str, start: str) -> list[str]:
    """Return the names in a table of the configuration that begin with `start`; none where it cannot be read."""
    from harness.config.schema import load

    root = ctx.find_root()
    try:
        loaded = load(Path(root.params["config"]) if root.params.get("config") else None)
    except HarnessError:
        return []
    return sorted(name for name in getattr(loaded, table) if name.startswith(start))


def complete_codecs(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Complete a codec's id."""
    return _names(ctx, "codecs", incomplete)


def complete_suites(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Complete a suite's name."""
    return _names(ctx, "suites", incomplete)


def complete_data(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Complete a data set's name."""
    return _names(ctx, "data", incomplete)


def complete_metrics(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Complete a metric's name."""
    from harness.metrics.table import METRICS

    return [name for name in METRICS if name.startswith(incomplete)]


def complete_figures(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Complete a figure's name."""
    return _names(ctx, "figures", incomplete)


def config_option(command: _Command) -> _Command:
    """Add --config."""
    return click.option(
        "--config",
        type=click.Path(dir_okay=False),
        envvar="HARNESS_CONFIG",
        help="Your own benchmarks.toml: its tables are added to the packaged ones, or replace those of the same name.",
    )(command)


def plugin_option(command: _Command) -> _Command:
    """Add --plugin."""
    return click.option(
        "--plugin",
        "plugins",
        multiple=True,
        type=click.Path(dir_okay=False),
        help="A Python file with codecs, metrics or models; may be repeated.",
    )(command)


def results_option(command: _Command) -> _Command:
    """Add --results."""
    return click.option(
        "--results",
        type=click.Path(file_okay=False, path_type=Path),
        default="results",
        envvar="HARNESS_RESULTS",
        show_default=True,
        help="The folder of the runs and their store.",
    )(command)


def print_table(table: Table) -> None:
    """Print a table of rich: as wide as the terminal, or `TABLE_WIDTH` into a file or pipe."""
    from rich.console import Console

    console = Console(width=None if Console().is_terminal else TABLE_WIDTH)
    with console.capture() as capture:
        console.print(table)
    for line in capture.get().splitlines():
        click.echo(line.rstrip())
