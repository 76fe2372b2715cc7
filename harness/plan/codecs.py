"""Ask the codecs of a run what they are, each in a process of its own."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

from harness.config import registry
from harness.config.code_digest import source_of
from harness.config.registry import CodecSpec
from harness.config.schema import Limits
from harness.errors import ConfigError, HarnessError, MissingDependencyError
from harness.plan.plan import PlannedCodec, digest
from harness.sandbox.process import CodecProcesses
from harness.sandbox.replies import Description


def planned_codecs(specs: Sequence[CodecSpec], ratios: Sequence[float], limits: Limits) -> tuple[PlannedCodec, ...]:
    """Return each codec as it describes itself; a learned one once for each ratio."""
    processes = CodecProcesses(limits)
    try:
        return tuple(codec for spec in specs for codec in _planned_codec(spec, processes, ratios))
    finally:
        processes.close()


def _planned_codec(spec: CodecSpec, processes: CodecProcesses, ratios: Sequence[float]) -> Iterator[PlannedCodec]:
    described = _described(spec, None, processes)
    if not described.learned:
        yield described
        return
    for ratio in ratios:
        yield _described(spec.at_ratio(ratio), ratio, processes)


def _described(spec: CodecSpec, ratio: float | None, processes: CodecProcesses) -> PlannedCodec:
    """Ask a codec what it is. If it fails, only its own records fail, unless the configuration is wrong."""
    try:
        description = processes.encoder(spec).describe(spec)
        ready = description.learned and not description.missing
        fingerprints = processes.encoder(spec).training_fingerprints(spec) if ready else None
    except HarnessError as error:
        if isinstance(error, ConfigError) and spec.origin == "built-in":
            raise
        status = "missing" if isinstance(error, MissingDependencyError) else "failed"
        return PlannedCodec(spec, None, digest(spec.target, _json(spec.parameters)), str(error), ratio, status)
    key = _codec_key(spec, description)
    return PlannedCodec(spec, description, key, description.missing or "", ratio, fingerprints=fingerprints)


def _codec_key(spec: CodecSpec, description: Description) -> str:
    where, _, cls = spec.target.rpartition(":")
    source = source_of(spec.target, registry.ENTRY_POINT_GROUP)
    module = "" if where.endswith(".py") else where  # a plugin file may be moved
    return digest(source, module, cls, _json(spec.parameters), _json(description.provenance))


def _json(value: object) -> str:
    return json.dumps(value, sort_keys=True, default=dict)
