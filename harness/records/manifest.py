"""The manifest of a run: what was asked, with which software, on which machine, and a summary of what came of it."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from harness.config.radar import RadarScale
from harness.errors import StoreError
from harness.system.files import write_text

VERSION = 1
"""The version of manifest.json that this harness writes, and the only one that it reads."""
NAME = "manifest.json"
"""The file of a run's folder that holds its manifest."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class CodecEntry(_Part):
    """What a run knows of a codec."""

    id: str
    origin: str = ""
    """Where its class comes from: "built-in", "plugin", ..."""
    reason: str | None = None
    """Why it could not be described, and so has no further facts."""
    lossless: bool = False
    learned: bool = False
    leak: str | None = None
    """Of a learned codec, the worst result of the train/test contamination check: clean, unknown or leaked."""
    provenance: Mapping[str, Any] = {}
    """Everything that decides its bytes: versions and parameters."""
    provenance_by_ratio: Mapping[str, Mapping[str, Any]] = {}
    """The same for a learned codec, which has weights of its own for each ratio: "8x" -> facts."""


class ImageEntry(_Part):
    """An image that was measured."""

    name: str
    width: int
    height: int
    channels: int
    sample_bits: int
    notes: tuple[str, ...] = ()
    """What was changed when it was read, such as a conversion of its colours."""
    sha256: str
    """Of its pixels."""
    radar: RadarScale | None = None


class MetricEntry(_Part):
    """A metric of a plugin."""

    unit: str = ""
    direction: str = "higher"
    """"higher", "lower" or "nearer 1": which values are better."""


class Encodes(_Part):
    """How many files were made to find those of the ratio protocol."""

    count: int
    per_target: float | None = None
    """Per image and ratio."""
    per_codec: Mapping[str, float] = {}
    """The same for each codec."""


class Shares(_Part):
    """Shares of wall time x workers, 0 to 1."""

    codec: float
    metrics: float
    other: float


class LosslessControl(_Part):
    """The result of the lossless control: lossless codecs must score as the reference against itself."""

    records: int = 0
    """How many decoded images were compared."""
    valid: bool = False
    """Whether any was compared, and all were exact."""
    wrong: tuple[str, ...] = ()
    """Which were not exact, in words."""
    not_run: tuple[str, ...] = ()
    """Which lossless codecs gave no file, and why, in words."""


class Manifest(_Part):
    """The manifest of a run, or of several runs merged into one; what is unknown is left out of the file."""

    version: Literal[1] = 1
    state: Literal["running", "done"] = "done"
    started: str | None = None
    """Date and time in UTC, ISO 8601."""
    command: str = ""
    suite: str = ""
    description: str = ""
    anchor: str | None = None
    """The codec that the suite compares the others with."""
    plan: str | None = None
    """The digest of the run's plan; a merged run has none."""
    ratios: tuple[float, ...] = ()
    protocol: str | None = None
    metric_versions: Mapping[str, str] = {}
    metrics_of_others: Mapping[str, MetricEntry] = {}
    """The metrics of plugins."""
    codecs: tuple[CodecEntry, ...] = ()
    images: tuple[ImageEntry, ...] = ()
    limits: Mapping[str, int | float] = {}
    """The limits of one call of a codec: seconds, memory_mb, disk_mb."""
    jobs: int | None = None
    threads_per_codec: int | None = None
    device: str | None = None
    seed: int | None = None
    versions: Mapping[str, Any] = {}
    machine: Mapping[str, Any] = {}
    statuses: Mapping[str, int] = {}
    """Status -> number of records."""
    measured_now: int | None = None
    reused: int | None = None
    """How many records were in the store already."""
    encodes: Encodes | None = None
    seconds: float | None = None
    """Wall time of measuring."""
    shares: Shares | None = None
    """None where nothing was measured."""
    lossless_control: LosslessControl | None = None
    """None where the run has not ended."""
    records: int | None = None
    """How many rows records.csv has."""
    runs: Mapping[str, Mapping[str, Any]] = {}
    """Of a merged run: the name of each run -> the facts of its manifest that are kept."""
    differences: tuple[str, ...] = ()
    """Of a merged run: in what its runs differ, in words."""

    def codec(self, name: str) -> CodecEntry | None:
        """Return the entry of a codec; None where it has none."""
        return next((entry for entry in self.codecs if entry.id == name), None)

    def facts(self) -> dict[str, Any]:
        """Return the manifest as JSON types, without what was never set; the version first."""
        return {"version": self.version, **self.model_dump(mode="json", exclude_unset=True)}


def write(path: Path, manifest: Manifest) -> None:
    """Write a manifest atomically."""
    write_text(path, json.dumps(manifest.facts(), indent=1) + "\n")


def read(path: Path) -> Manifest:
    """Return the manifest in a file.

    Raises:
        StoreError: there is none, it is damaged, or another program or version of harness wrote it.
    """
    try:
        loaded = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise StoreError(f"{path} cannot be read as a manifest: {reason}.") from error
    if not isinstance(loaded, dict):
        raise StoreError(f"{path} is no manifest of a run: it holds a {type(loaded).__name__}, expected a table.")
    if loaded.get("version") != VERSION:
        raise StoreError(
            f"{path} is no manifest that this harness can read: its version is {loaded.get('version')!r}, expected "
            f"{VERSION}. Run the same `harness bench` again: it takes what it needs from the store."
        )
    try:
        return Manifest.model_validate(loaded)
    except ValidationError as error:
        fault = error.errors()[0]
        key = ".".join(map(str, fault["loc"]))
        raise StoreError(f"{path} is no manifest of a run: {key}: {fault['msg']}.") from error


def search(results: Path) -> Iterator[tuple[Path, Manifest]]:
    """Yield every run's folder in a results folder, by name, with its manifest.

    A folder whose manifest cannot be read is passed over with a warning of one line.
    """
    for path in sorted(results.glob(f"*/{NAME}")):
        try:
            yield path.parent, read(path)
        except StoreError as error:
            _warn(" ".join(f"passed over: {error}".split()))


@cache
def _warn(message: str) -> None:
    """Log a warning, once a process: one command searches the same folder several times."""
    logging.getLogger("harness").warning("%s", message)
