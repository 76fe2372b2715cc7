"""Every codec to test: the variants of benchmarks.toml, then what is registered and has no variant there."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from harness.config.registry import BUILT_IN, CodecSpec, build, find, load_class
from harness.errors import MissingDependencyError
from harness.interface import Codec, LearnedCodec

BENCHMARKS = Path(__file__).parents[2] / "benchmarks.toml"
TEST_RATIO = 16.0
"""The target ratio whose checkpoint a learned codec is tested with."""
COMMAND_PARAMETERS = {
    "encode": ["cp", "{input}", "{output}"],
    "decode": ["cp", "{input}", "{output}"],
    "takes": ["rgb8", "gray8", "gray16"],
}
"""What the codec that calls command lines is tested with: a copy."""
_NOT_KEYWORDS = ("codec", "default", "sweep")


@cache
def specs() -> dict[str, CodecSpec]:
    """Codec id -> how to build it."""
    tables: dict[str, dict[str, Any]] = tomllib.loads(BENCHMARKS.read_text())["codecs"]
    found = {}
    for codec_id, table in tables.items():
        keywords = {key: value for key, value in table.items() if key not in _NOT_KEYWORDS}
        registered = find(table.get("codec", codec_id), keywords)
        found[codec_id] = CodecSpec(codec_id, registered.target, registered.parameters, registered.origin)
    covered = {spec.target for spec in found.values()}
    for name, target in BUILT_IN.items():
        if target not in covered:
            found[name] = find(name, COMMAND_PARAMETERS if name == "command" else {})
    return {
        name: spec.at_ratio(TEST_RATIO) if issubclass(load_class(spec.target), LearnedCodec) else spec
        for name, spec in found.items()
    }


def codec_ids() -> list[str]:
    return list(specs())


def codec_formats() -> Iterator[tuple[str, str]]:
    """Every (codec id, format that it takes)."""
    for codec_id, spec in specs().items():
        for kind in load_class(spec.target).formats:
            yield codec_id, kind


def build_or_skip(codec_id: str) -> Codec:
    """Build a codec; skip the test, with the reason, when its library or its weights are not here."""
    try:
        codec = build(specs()[codec_id])
    except MissingDependencyError as error:
        pytest.skip(str(error))
    missing = codec.missing() if isinstance(codec, LearnedCodec) else None
    if missing is not None:
        pytest.skip(f"{codec_id}: {missing}")
    return codec
