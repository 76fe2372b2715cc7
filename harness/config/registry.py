"""The registry of codecs: a table of strings, entry points and plugin files.

A module is imported when its codec is built, never to list it.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import inspect
import os
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType
from typing import Any

from harness.config.plugin_files import defined_in
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
METRIC_ENTRY_POINT_GROUP = "harness.metrics"
PLUGIN_FOLDER_VARIABLE = "HARNESS_PLUGINS"


@dataclass(frozen=True)
class CodecSpec:
    """How to build one codec, in this or another process: plain data, safe to send and to store."""

    id: str
    """The name that the user types and the report prints, such as "jpeg-444"."""
    target: str
    """"module:Class", or "/path/to/plugin.py:Class" for a plugin file."""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    """Keywords of the constructor."""
    origin: str = "built-in"
    """"built-in", "entry point" or "plugin file": plugins never share a process with built-in codecs."""

    def at_ratio(self, ratio: float) -> CodecSpec:
        """Return the spec of a learned codec's instance for one target ratio."""
        return CodecSpec(self.id, self.target, {**self.parameters, "ratio": ratio}, self.origin)


def plugin_files(named: Iterable[Path] = ()) -> list[Path]:
    """Return the named plugin files, then every *.py in the plugin folder ($HARNESS_PLUGINS)."""
    folder = os.environ.get(PLUGIN_FOLDER_VARIABLE)
    found = [path for path in sorted(Path(folder).glob("*.py")) if path.is_file()] if folder else []
    return [Path(path).resolve() for path in (*named, *found)]


def known_targets(plugins: Iterable[Path] = ()) -> dict[str, tuple[str, str]]:
    """Return codec name -> (target, origin) of every registered codec.

    Raises:
        UsageError: the name of a plugin is taken, or its file cannot be read.
    """
    table = {name: (target, "built-in") for name, target in BUILT_IN.items()}
    for point in _installed(ENTRY_POINT_GROUP):
        _add(table, point.name, point.value, "entry point")
    for path in plugin_files(plugins):
        for name, cls in defined_in(path).codecs:
            _add(table, name, f"{path}:{cls}", "plugin file")
    return table


def metric_targets(plugins: Iterable[Path] = ()) -> dict[str, str]:
    """Return the name of every plugin metric -> "module:attribute" or "/path/to/plugin.py:attribute".

    Raises:
        UsageError: two metrics share a name, or a plugin file cannot be read.
    """
    table: dict[str, tuple[str, str]] = {}
    for point in _installed(METRIC_ENTRY_POINT_GROUP):
        _add(table, point.name, point.value, "entry point")
    for path in plugin_files(plugins):
        for name, attribute in defined_in(path).metrics:
            _add(table, name, f"{path}:{attribute}", "plugin file")
    return {name: target for name, (target, _) in table.items()}


@cache
def _installed(group: str) -> tuple[EntryPoint, ...]:
    """Return the entry points of a group; their files are read once per process."""
    return tuple(entry_points(group=group))


def _add(table: dict[str, tuple[str, str]], name: str, target: str, origin: str) -> None:
    if name in table and table[name] != (target, origin):
        raise UsageError(f"the {origin} {target} is called {name!r}, as is {table[name][0]}. Rename one.")
    table[name] = (target, origin)


def _load_file(path: Path) -> ModuleType:
    """Import a plugin file, once per process, under a name made from its path."""
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
    """Import the object that a target names; None where its module has no such name.

    Raises:
        UsageError: the module or plugin file cannot be imported.
    """
    where, _, attribute = target.rpartition(":")
    module = _load_file(Path(where)) if where.endswith(".py") else _import(where)
    return getattr(module, attribute, None)


def load_class(target: str) -> type[Codec]:
    """Import the class that a target names and check that it is a codec.

    Raises:
        UsageError: the target cannot be imported, or is not a complete codec.
    """
    cls = load(target)
    if not (inspect.isclass(cls) and issubclass(cls, Codec)):
        raise UsageError(f"{target} is not a codec: a codec is a subclass of harness.Codec.")
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
                f"codecs.{spec.id}.{unknown[0]} is not a key of the codec {cls.name!r}. "
                f"Known: {', '.join(taken) or 'none'}."
            ) from error
        given = ", ".join(f"{key} = {value!r}" for key, value in spec.parameters.items()) or "no parameters"
        raise ConfigError(f"the codec {spec.id!r} cannot be built with {given}: {error}") from error


def _keywords(cls: type[Codec]) -> list[str] | None:
    """Return the keywords of a codec's constructor; None where it takes any keyword."""
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
