"""Which codecs and metrics a plugin file defines, without running it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from harness.errors import UsageError


class Defined(NamedTuple):
    """The codecs and metrics of a plugin file, each as (name, name of the class or variable)."""

    codecs: list[tuple[str, str]]
    metrics: list[tuple[str, str]]


def defined_in(path: Path) -> Defined:
    """Return what a plugin file defines, from its text: nothing of it runs here.

    A codec is a class with `name = "..."` in its body, a metric is a line `... = Metric("...", ...)`.

    Raises:
        UsageError: the file cannot be read, is not Python, or defines neither.
    """
    try:
        tree = ast.parse(path.read_bytes(), str(path))
    except OSError as error:
        raise UsageError(f"the plugin {path} cannot be read: {error.strerror}.") from error
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise UsageError(f"the plugin {path} is not Python: {error}.") from error
    classes = [(name, node.name) for node in tree.body if isinstance(node, ast.ClassDef) for name in _names_in(node)]
    defined = Defined(classes, [found for node in tree.body for found in _metrics_in(node)])
    if not any(defined):
        raise UsageError(
            f'the plugin {path} defines no codec: a class, derived from Codec, with `name = "..."` in its body; '
            'and no metric: a line `... = Metric("...", ...)`.'
        )
    return defined


def _metrics_in(node: ast.stmt) -> Iterator[tuple[str, str]]:
    match node:
        case ast.Assign(
            targets=[ast.Name(id=attribute)],
            value=ast.Call(func=ast.Name(id="Metric"), args=[ast.Constant(value=str(name)), *_]),
        ):
            yield name, attribute


def _names_in(node: ast.ClassDef) -> Iterator[str]:
    for statement in node.body:
        match statement:
            case (
                ast.Assign(targets=[ast.Name(id="name")], value=ast.Constant(value=str(name)))
                | ast.AnnAssign(target=ast.Name(id="name"), value=ast.Constant(value=str(name)))
            ):
                yield name
