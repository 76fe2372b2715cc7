"""benchmarks.toml, which holds every choice of the project: read once and checked.

A user's own file extends the packaged one: each of its tables adds a codec, a suite, ... or replaces a whole one.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from harness.config import registry
from harness.config.radar import RadarScale, SceneTable
from harness.config.registry import CodecSpec
from harness.errors import ConfigError, UnknownNameError
from harness.system.strict import WHOLE_TABLE, StrictModel, explain

_Value = TypeVar("_Value")

PACKAGED = Path(__file__).parents[1] / "benchmarks.toml"

Ratio: TypeAlias = Annotated[float, Field(gt=1, lt=1e6)]
Protocol: TypeAlias = Literal["ratio", "sweep", "both"]
Sha256: TypeAlias = Annotated[str, Field(pattern=r"^[0-9a-f]{8}([0-9a-f]{56})?$")]
"""64 hexadecimal digits, or, with `hash_start`, the first 8: enough against damage, not against malice."""
SampleBits: TypeAlias = Annotated[int, Field(ge=2, le=16)]


class Limits(StrictModel):
    """The limits of one call of a codec: its process is killed when it exceeds one."""

    seconds: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 300
    memory_mb: Annotated[int, Field(ge=64)] = 8192
    disk_mb: Annotated[int, Field(ge=1)] = 2048


class SuiteConfig(StrictModel):
    """What `harness bench --suite NAME` runs; options of the command take precedence."""

    description: str
    data: str
    codecs: tuple[str, ...] = ()
    """Codec ids; empty: every codec whose table does not set `default = false`."""
    ratios: Annotated[tuple[Ratio, ...], Field(min_length=1)] = (4, 8, 12, 16)
    protocol: Protocol = "ratio"
    metrics: tuple[str, ...] = ()
    """Metric names; empty: those that the table of metrics marks as default."""
    anchor: str | None = None
    """The codec that others are compared with: differences and BD-rates are from it."""
    limits: Limits = Limits()
    images_radar: RadarScale | None = None
    """What the samples of the --images stand for, where those are radar images."""


class DataConfig(StrictModel):
    """A data set: files with their hashes, from a package, a mirror folder or the network, or generated here."""

    description: str
    licence: str
    homepage: str = ""
    package: str | None = None
    """An installed package that carries the files, as in "skimage.data"."""
    mirror: str | None = None
    """The folder below $HARNESS_DATA that holds the files."""
    url: str | None = None
    """The address to download a file from; "{file}" stands for its name."""
    sample_bits: SampleBits | None = None
    """How many bits of each sample carry the image, where the file's samples have more."""
    bits_of: Mapping[str, SampleBits] = {}
    """The same, for single files."""
    radar: RadarScale | None = None
    """What a sample stands for, where these are radar images."""
    generator: SceneTable | None = None
    """The radar scenes to generate, where the files are made here: file n of `files` is scene n."""
    hash_start: bool = False
    """Whether a hash may be only its first 8 digits, because the publisher of the files states no more."""
    files: Mapping[str, Sha256]
    """File -> its sha256; with a generator, the sha256 of its pixels (`harness.data.images.pixels_sha256`)."""

    @model_validator(mode="after")
    def _check_hashes(self) -> DataConfig:
        short = [file for file, sha256 in self.files.items() if len(sha256) < 64]
        if short and not self.hash_start:
            raise ValueError(
                f"the sha256 of {short[0]!r} has 8 digits of 64; give all of them, or set hash_start = true"
            )
        return self

    @model_validator(mode="after")
    def _check_generator(self) -> DataConfig:
        if self.generator and not (self.radar and self.radar.scale == "decibels" and self.radar.looks):
            raise ValueError('a generator needs radar = { scale = "decibels", low, high, looks }')
        return self


class CodecConfig(BaseModel):
    """One codec variant; other keys than those below are keywords of the codec's constructor."""

    model_config = ConfigDict(extra="allow", frozen=True)

    codec: str | None = None
    """The registered name; absent: the name of the table, or "command" where `encode` is given."""
    default: bool = True
    sweep: tuple[float, ...] = ()
    """The settings of the sweep protocol; empty: up to sixteen settings, spread over the ladder."""

    @property
    def parameters(self) -> dict[str, Any]:
        """Keywords of the constructor."""
        return dict(self.model_extra or {})


class Config(StrictModel):
    """The whole of benchmarks.toml."""

    default_suite: str
    suites: Mapping[str, SuiteConfig]
    data: Mapping[str, DataConfig]
    codecs: Mapping[str, CodecConfig] = {}
    recipes: Mapping[str, Mapping[str, Any]] = {}
    figures: Mapping[str, Mapping[str, Any]] = {}
    plugins: Annotated[tuple[Path, ...], Field(max_length=0)] = ()
    """The plugin files that the command line names; a file cannot."""

    def suite(self, name: str) -> SuiteConfig:
        """Return a suite by name."""
        return _named("suite", name, self.suites)

    def data_set(self, name: str) -> DataConfig:
        """Return a data set by name."""
        return _named("data set", name, self.data)

    def codec_spec(self, codec_id: str) -> CodecSpec:
        """Return how to build a codec: a variant of benchmarks.toml, or a registered codec by its own name."""
        known = registry.known_targets(self.plugins)
        variant = self.codecs.get(codec_id)
        if variant is None:
            if codec_id not in known:
                raise UnknownNameError("codec", codec_id, self.known_codecs())
            variant = CodecConfig()
        name = variant.codec or ("command" if "encode" in variant.parameters else codec_id)
        if name not in known:
            raise UnknownNameError("registered codec", name, known)
        target, origin = known[name]
        return CodecSpec(codec_id, target, variant.parameters, origin)

    def known_codecs(self) -> set[str]:
        """Return every name that `codec_spec` takes."""
        return {*self.codecs, *registry.known_targets(self.plugins)}

    def default_codecs(self) -> tuple[str, ...]:
        """Return the ids of the codecs that run when none is named, with plugins."""
        variants = [name for name, codec in self.codecs.items() if codec.default]
        others = [name for name, (_, origin) in registry.known_targets(self.plugins).items() if origin != "built-in"]
        return tuple(dict.fromkeys((*variants, *others)))


def _named(kind: str, name: str, table: Mapping[str, _Value]) -> _Value:
    if name not in table:
        raise UnknownNameError(kind, name, table)
    return table[name]


def load(path: Path | None = None, plugins: Iterable[Path] = ()) -> Config:
    """Read the packaged benchmarks.toml, extended by the file at `path` if one is given.

    Raises:
        ConfigError: a file cannot be read or is wrong; the message names file, key, found and expected.
    """
    tables = _read(PACKAGED)
    for key, value in (_read(path) if path else {}).items():
        merged = isinstance(value, dict) and isinstance(tables.get(key), dict)
        tables[key] = {**tables[key], **value} if merged else value
    where = str(path) if path else PACKAGED.name
    try:
        # As JSON: strict validation then takes a list for a tuple, but still refuses "4" for 4.
        config = Config.model_validate_json(json.dumps(tables, default=str), strict=True)
    except ValidationError as error:
        raise ConfigError(explain(error, f"{where}: ", WHOLE_TABLE)) from error
    config = config.model_copy(update={"plugins": tuple(plugins)})
    _check_references(config, where)
    return config


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"the configuration {path} cannot be read: {error.strerror}.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ConfigError(f"{path}: this is not TOML: {error}.") from error


def _check_references(config: Config, where: str) -> None:
    """Check that every name by which one table refers to another exists; no codec module is imported for it."""
    key = "default_suite"
    try:
        config.suite(config.default_suite)
        for name, suite in config.suites.items():
            key = f"suites.{name}.data"
            config.data_set(suite.data)
            key = f"suites.{name}.anchor"
            for codec_id in [suite.anchor] if suite.anchor else []:
                config.codec_spec(codec_id)
            key = f"suites.{name}.codecs"
            for codec_id in suite.codecs:
                config.codec_spec(codec_id)
        for codec_id in config.codecs:
            key = f"codecs.{codec_id}"
            config.codec_spec(codec_id)
    except UnknownNameError as error:
        raise ConfigError(f"{where}: {key}: {error}") from error
