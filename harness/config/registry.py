"""Which codecs there are: a table of strings, entry points, plugin files.

A module is imported when its codec is asked for, never to list it.
"""

from __future__ import annotations

import ast
import hashlib
import importlib
import importlib.util
import inspect
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from harness.errors import ConfigError, UnknownNameError, UsageError
from harness.interface import FORMATS, Codec

BUILT_IN: Mapping[str, str] = {
    "attention": "harness.models.attention:Attention",
    "avif": "harness.codecs.avif:Avif",
    "baseline": "harness.models.baseline:Baseline",
    "bmshj2018-factorized": "harness.codecs.compressai:Factorized",
    "bmshj2018-hyperprior": "harness.codecs.compressai:Hyperprior",
    "cheng2020-anchor": "harness.codecs.compressai:Cheng2020Anchor",
    "cheng2020-attn": "harness.codecs.compressai:Cheng2020Attention",
    "command": "harness.codecs.command:Command",
    "ffmpeg": "harness.codecs.ffmpeg:Ffmpeg",
    "heic": "harness.codecs.heic:Heic",
    "htj2k": "harness.codecs.htj2k:Htj2k",
    "jpeg": "harness.codecs.jpeg:Jpeg",
    "jpeg2000": "harness.codecs.jpeg2000:Jpeg2000",
    "jpegli": "harness.codecs.jpegli:Jpegli",
    "jpegls": "harness.codecs.jpegls:JpegLs",
    "jpegxr": "harness.codecs.jpegxr:JpegXr",
    "jxl": "harness.codecs.jxl:Jxl",
    "jxl-lossless": "harness.codecs.jxl:JxlLossless",
    "mbt2018": "harness.codecs.compressai:Autoregressive",
    "mbt2018-mean": "harness.codecs.compressai:MeanHyperprior",
    "png": "harness.codecs.png:Png",
    "qoi": "harness.codecs.qoi:Qoi",
    "raw": "harness.codecs.raw:Raw",
    "residual": "harness.models.residual:Residual",
    "resnet": "harness.models.resnet:ResNet",
    "webp": "harness.codecs.webp:Webp",
}
"""Codec name -> where its class is."""

ENTRY_POINT_GROUP = "harness.codecs"
METRIC_ENTRY_POINT_GROUP = "harness.metrics.table"
PLUGIN_FOLDER_VARIABLE = "HARNESS_PLUGINS"


@dataclass(frozen=True)
class CodecSpec:
    """How to build one codec, here or in another process: plain data, safe to send and to store."""

    id: str
    """What the user types and the report prints, such as "jpeg-444"."""
    target: str
    """"module:Class", or "/path/to/plugin.py:Class" for a plugin file."""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    """Keywords of the constructor."""
    origin: str = "built-in"
    """"built-in", "entry point" or "plugin file": codecs of others run in processes of their own."""

    def at_ratio(self, ratio: float) -> CodecSpec:
        """Return the spec of a learned codec's instance for one target ratio."""
        return CodecSpec(self.id, self.target, {**self.parameters, "ratio": ratio}, self.origin)


def plugin_files(named: Iterable[Path] = ()) -> list[Path]:
    """Return the plugin files: those named, then every *.py in the plugin folder ($HARNESS_PLUGINS)."""
    folder = os.environ.get(PLUGIN_FOLDER_VARIABLE)
    found = [path for path in sorted(Path(folder).glob("*.py")) if path.is_file()] if folder else []
    return [Path(path).resolve() for path in (*named, *found)]


def known_targets(plugins: Iterable[Path] = ()) -> dict[str, tuple[str, str]]:
    """Return codec name -> (target, origin) of everything registered.

    Raises:
        UsageError: a plugin has a name that is taken, or its file cannot be read.
    """
    table = {name: (target, "built-in") for name, target in BUILT_IN.items()}
    for point in _installed(ENTRY_POINT_GROUP):
        _add(table, point.name, point.value, "entry point")
    for path in plugin_files(plugins):
        for name, cls in _defined_in(path).codecs:
            _add(table, name, f"{path}:{cls}", "plugin file")
    return table


def metric_targets(plugins: Iterable[Path] = ()) -> dict[str, str]:
    """Return the name of every metric of others -> "module:attribute" or "/path/to/plugin.py:attribute".

    Raises:
        UsageError: two have one name, or a plugin file cannot be read.
    """
    table: dict[str, tuple[str, str]] = {}
    for point in _installed(METRIC_ENTRY_POINT_GROUP):
        _add(table, point.name, point.value, "entry point")
    for path in plugin_files(plugins):
        for name, attribute in _defined_in(path).metrics:
            _add(table, name, f"{path}:{attribute}", "plugin file")
    return {name: target for name, (target, _) in table.items()}


@cache
def _installed(group: str) -> tuple[EntryPoint, ...]:
    """Return what installed packages offer to a group; their files are read once a process."""
    return tuple(entry_points(group=group))


def _add(table: dict[str, tuple[str, str]], name: str, target: str, origin: str) -> None:
    if name in table and table[name] != (target, origin):
        raise UsageError(f"the {origin} {target} is called {name!r}, as is {table[name][0]}. Rename one.")
    table[name] = (target, origin)


class _Defined(NamedTuple):
    """What a plugin file defines, each as (name, name of the class or variable)."""

    codecs: list[tuple[str, str]]
    metrics: list[tuple[str, str]]


def _defined_in(path: Path) -> _Defined:
    """Read a plugin file's text: nothing of it is run here.

    A codec is recognised by `name = "..."` in the body of a class, a metric by `... = Metric("...", ...)`.
    """
    try:
        tree = ast.parse(path.read_bytes(), str(path))
    except OSError as error:
        raise UsageError(f"the plugin {path} cannot be read: {error.strerror}.") from error
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise UsageError(f"the plugin {path} is not Python: {error}.") from error
    classes = [(name, node.name) for node in tree.body if isinstance(node, ast.ClassDef) for name in _names_in(node)]
    defined = _Defined(classes, [found for node in tree.body for found in _metrics_in(node)])
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


def _load_file(path: Path) -> ModuleType:
    """Import a plugin file once a process, under a name made from its place."""
    name = f"harness_plugin_{hashlib.sha256(str(path).encode()).hexdigest()[:16]}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None or not path.is_file():
        raise UsageError(f"the plugin {path} is not a Python file that can be read.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        raise UsageError(f"the plugin {path} cannot be imported: {type(error).__name__}: {error}") from error
    return module


def load(target: str) -> object:
    """Import what a target names; None where its module has no such name.

    Raises:
        UsageError: the module or plugin file cannot be imported.
    """
    where, _, attribute = target.rpartition(":")
    module = _load_file(Path(where)) if where.endswith(".py") else _import(where)
    return getattr(module, attribute, None)


def load_class(target: str) -> type[Codec]:
    """Import the class that a target names and check that it is a codec.

    Raises:
        UsageError: the target cannot be imported or is no finished codec.
    """
    cls = load(target)
    if not (inspect.isclass(cls) and issubclass(cls, Codec)):
        raise UsageError(f"{target} is not a codec: a codec is a subclass of harness.interface.Codec.")
    if inspect.isabstract(cls):
        raise UsageError(f"the codec {target} lacks {', '.join(sorted(cls.__abstractmethods__))}.")
    unknown = set(getattr(cls, "formats", ())) - set(FORMATS)
    if not getattr(cls, "formats", ()) or unknown or not getattr(cls, "name", ""):
        raise UsageError(f"the codec {target} must state its name and its formats, of {', '.join(FORMATS)}.")
    return cls


def _import(where: str) -> ModuleType:
    try:
        return importlib.import_module(where)
    except ImportError as error:
        raise UsageError(f"the module {where} cannot be imported: {error}") from error


def build(spec: CodecSpec) -> Codec:
    """Build a codec.

    Raises:
        ConfigError: its parameters are not keywords of its constructor, or out of range.
        MissingDependencyError: a library or program that it needs is not installed.
    """
    cls = load_class(spec.target)
    try:
        return cls(**spec.parameters)
    except (TypeError, ValueError) as error:
        taken = _keywords(cls)
        if taken is not None and (unknown := [key for key in spec.parameters if key not in taken]):
            raise ConfigError(
                f"codecs.{spec.id}.{unknown[0]} is not a key that the codec {cls.name!r} knows. "
                f"Known: {', '.join(taken) or 'none'}."
            ) from error
        given = ", ".join(f"{key} = {value!r}" for key, value in spec.parameters.items()) or "no parameters"
        raise ConfigError(f"the codec {spec.id!r} cannot be built with {given}: {error}") from error


def _keywords(cls: type[Codec]) -> list[str] | None:
    """Return the keywords of a codec's constructor; None where it takes any."""
    parameters = inspect.signature(cls).parameters
    takes_any = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())
    return None if takes_any else list(parameters)


def get_codec(name: str, **parameters: object) -> Codec:
    """Build the registered codec of that name (not of a variant's id) with constructor keywords."""
    return build(find(name, parameters))


def find(name: str, parameters: Mapping[str, Any] | None = None, plugins: Iterable[Path] = ()) -> CodecSpec:
    """Return the spec of a registered codec.

    Raises:
        UnknownNameError: nothing registered has that name.
    """
    table = known_targets(plugins)
    if name not in table:
        raise UnknownNameError("codec", name, table)
    target, origin = table[name]
    return CodecSpec(name, target, dict(parameters or {}), origin)
