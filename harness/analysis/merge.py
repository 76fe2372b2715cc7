"""Merge several runs into one, for a report over all of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from harness.errors import UsageError
from harness.records.manifest import CodecEntry, ImageEntry, LosslessControl, Manifest, MetricEntry

KEY = ("image", "codec", "protocol", "target_ratio")
SAME = ("status", "setting", "size_bytes", "file_sha256", "psnr")
"""The columns in which two records of one key must agree to be the same result."""

ASKED = ("command", "protocol", "ratios", "seed", "device", "jobs", "threads_per_codec")
PARTS = ("versions", "metric_versions", "machine", "limits")
_CODEC = "codec "
TOLD = ("suite", "started", *ASKED, "versions", "machine", "encodes", "seconds")
"""The fields of each run's manifest that the merged manifest keeps."""


@dataclass(frozen=True)
class NamedRun:
    """A run to merge."""

    name: str
    """The name of its folder, with the folders above it where two runs have one name."""
    records: pd.DataFrame
    manifest: Manifest


@dataclass(frozen=True)
class Merged:
    """Records and manifest of several runs, as one report takes them."""

    records: pd.DataFrame
    manifest: Manifest


def merge(runs: Sequence[NamedRun]) -> Merged:
    """Return the runs as one.

    A record that two runs have alike is kept once, with the values of both: one may have a metric that the other
    lacks, and where both have a value the first stays. Where two runs have different results for a codec, it becomes
    two codecs, each with the name of its run: "webp (20250301T120000Z-kodak)".

    Raises:
        UsageError: two runs have different pixels for an image of one name.
    """
    images = _images(runs)
    split = _codecs_to_split(runs)
    frames: list[pd.DataFrame] = []
    codecs: dict[str, CodecEntry] = {}
    for run in runs:
        names = {codec: f"{codec} ({run.name})" for codec in split}
        renamed = [names.get(str(codec), str(codec)) for codec in run.records["codec"]]
        frames.append(run.records.assign(codec=renamed))
        for entry in run.manifest.codecs:
            name = names.get(entry.id, entry.id)
            codecs.setdefault(name, entry.model_copy(update={"id": name}))
    records = _once(pd.concat(frames, ignore_index=True))
    anchors = {run.manifest.anchor for run in runs if run.manifest.anchor}
    versions: dict[str, str] = {}
    plugins: dict[str, MetricEntry] = {}
    for run in runs:
        versions |= run.manifest.metric_versions
        plugins |= run.manifest.metrics_of_others
    manifest = Manifest(
        suite=" + ".join(dict.fromkeys(run.manifest.suite or run.name for run in runs)),
        command=f"harness report {' '.join(run.name for run in runs)}",
        anchor=anchors.pop() if len(anchors) == 1 else None,
        metric_versions=versions,
        metrics_of_others=plugins,
        codecs=tuple(codecs.values()),
        images=images,
        statuses={str(name): int(count) for name, count in records["status"].value_counts().sort_index().items()},
        lossless_control=_lossless_control(runs),
        records=len(records),
        runs={run.name: _told(run.manifest) for run in runs},
        differences=tuple(_differences(runs)),
    )
    return Merged(records, manifest)


def _once(records: pd.DataFrame) -> pd.DataFrame:
    """Return one record a key, in order: of each column the first value that is not empty."""
    setting = records["setting"].where(records["protocol"] != "ratio")
    keys = records[list(KEY)].assign(setting=setting)
    number = keys.groupby(list(keys.columns), dropna=False, sort=False).ngroup()
    return records.groupby(number.to_numpy(), sort=False).first().reset_index(drop=True)


def _images(runs: Sequence[NamedRun]) -> tuple[ImageEntry, ...]:
    """Return the images of all runs.

    Raises:
        UsageError: two runs have different pixels for an image of one name.
    """
    found: dict[str, tuple[str, ImageEntry]] = {}
    for run in runs:
        for image in run.manifest.images:
            other, known = found.setdefault(image.name, (run.name, image))
            if known.sha256 != image.sha256:
                raise UsageError(
                    f"the image {image.name!r} has other pixels in {run.name} than in {other}; "
                    "one report cannot be over runs of different images."
                )
            found[image.name] = other, image
    return tuple(image for _, image in found.values())


def _codecs_to_split(runs: Sequence[NamedRun]) -> set[str]:
    """Return the codecs for which two runs have different results for one key."""
    rows = pd.concat([run.records[[*KEY, *SAME]] for run in runs], ignore_index=True)
    setting = rows["setting"].where(rows["protocol"] != "ratio")
    different = rows.drop_duplicates()
    again = different[list(KEY)].assign(by=setting[different.index]).duplicated()
    return set(different.loc[again, "codec"].astype(str))


def _lossless_control(runs: Sequence[NamedRun]) -> LosslessControl:
    """Return the lossless control of all runs: valid where it is valid in every run that has one."""
    every = [run.manifest.lossless_control or LosslessControl() for run in runs]
    tests = [test for test in every if test.records]
    return LosslessControl(
        records=sum(test.records for test in tests),
        valid=bool(tests) and all(test.valid for test in tests),
        wrong=tuple(text for test in tests for text in test.wrong),
        not_run=tuple(dict.fromkeys(text for test in every for text in test.not_run)),
    )


def _told(manifest: Manifest) -> dict[str, Any]:
    facts = manifest.facts()
    return {name: facts[name] for name in TOLD if name in facts}


def _differences(runs: Sequence[NamedRun]) -> list[str]:
    """Return, in words, how the runs differ: in options, software, machine, and the facts of each codec."""
    tables = [_facts(run.manifest) for run in runs]
    told = []
    for key in dict.fromkeys(key for table in tables for key in table):
        values = [table.get(key) for table in tables]
        if any(value != values[0] for value in values) and not _is_of_another_codec(key, tables):
            told.append(
                f"{key}: " + "; ".join(f"{value} in {run.name}" for run, value in zip(runs, values, strict=True))
            )
    return told


def _facts(manifest: Manifest) -> dict[str, Any]:
    """Return the facts that decide a run's results: the name that people read -> the value."""
    facts = manifest.facts()
    found = {key: facts[key] for key in ASKED if key in facts}
    for part in PARTS:
        found |= {f"{part}, {key}": value for key, value in sorted(facts.get(part, {}).items())}
    for codec in manifest.codecs:
        found |= {f"{_CODEC}{codec.id}, {key}": value for key, value in sorted(codec.provenance.items())}
        for ratio, about in sorted(codec.provenance_by_ratio.items()):
            found |= {f"{_CODEC}{codec.id} at {ratio}, {key}": value for key, value in sorted(about.items())}
    return found


def _is_of_another_codec(key: str, tables: Sequence[Mapping[str, Any]]) -> bool:
    """Return whether a fact is of a codec that not all runs have."""
    owner = key.partition(", ")[0] + ", "
    return key.startswith(_CODEC) and not all(any(name.startswith(owner) for name in table) for table in tables)
