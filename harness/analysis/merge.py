"""Several runs as one, for a report over all of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from harness.errors import UsageError

KEY = ("image", "codec", "protocol", "target_ratio")
SAME = ("status", "setting", "size_bytes", "file_sha256", "psnr")
"""Columns by which two records of one key are the same result."""

ASKED = ("command", "protocol", "ratios", "seed", "device", "jobs", "threads_per_codec")
PARTS = ("versions", "metric_versions", "machine", "limits")
_CODEC = "codec "
TOLD = ("suite", "started", *ASKED, "versions", "machine", "encodes", "seconds")
"""What the merged manifest keeps of each run."""


@dataclass(frozen=True)
class NamedRun:
    """A run to merge."""

    name: str
    """What tells it from the others: its folder's name, with folders above it where two have one name."""
    records: pd.DataFrame
    manifest: Mapping[str, Any]


@dataclass(frozen=True)
class Merged:
    """Records and manifest of several runs, as one report takes them."""

    records: pd.DataFrame
    manifest: dict[str, Any]


def merge(runs: Sequence[NamedRun]) -> Merged:
    """Return the runs as one.

    A record that two runs have alike is kept once, with the values of both: one may have a metric that the other
    lacks, and where both have a value the first stays. A codec of which two runs have different results is kept as two,
    each with its run's name: "webp (20250301T120000Z-kodak)".

    Raises:
        UsageError: an image of one name has other pixels in another run.
    """
    _check_images(runs)
    torn = _torn_codecs(runs)
    frames: list[pd.DataFrame] = []
    codecs: dict[str, Mapping[str, Any]] = {}
    for run in runs:
        names = {codec: f"{codec} ({run.name})" for codec in torn}
        renamed = [names.get(str(codec), str(codec)) for codec in run.records["codec"]]
        frames.append(run.records.assign(codec=renamed))
        for entry in run.manifest.get("codecs") or ():
            named = names.get(str(entry.get("id")), str(entry.get("id")))
            codecs.setdefault(named, {**entry, "id": named})
    records = _once(pd.concat(frames, ignore_index=True))
    statuses = {str(status): int(count) for status, count in records["status"].value_counts().sort_index().items()}
    return Merged(records, {**_manifest(runs, list(codecs.values())), "statuses": statuses})


def _once(records: pd.DataFrame) -> pd.DataFrame:
    """Return one record a key, in order: of each column the first value that is not empty."""
    setting = records["setting"].where(records["protocol"] != "ratio")
    keys = records[list(KEY)].assign(setting=setting)
    number = keys.groupby(list(keys.columns), dropna=False, sort=False).ngroup()
    return records.groupby(number.to_numpy(), sort=False).first().reset_index(drop=True)


def _check_images(runs: Sequence[NamedRun]) -> None:
    seen: dict[str, tuple[str, str]] = {}
    for run in runs:
        for image in run.manifest.get("images") or ():
            name, pixels = str(image.get("name")), str(image.get("sha256"))
            other, known = seen.setdefault(name, (run.name, pixels))
            if known != pixels:
                raise UsageError(
                    f"the image {name!r} has other pixels in {run.name} than in {other}; "
                    "runs of different images cannot be one report."
                )


def _torn_codecs(runs: Sequence[NamedRun]) -> set[str]:
    """Return the codecs of which two runs have different results for one key."""
    rows = pd.concat([run.records[[*KEY, *SAME]] for run in runs], ignore_index=True)
    setting = rows["setting"].where(rows["protocol"] != "ratio")
    different = rows.drop_duplicates()
    again = different[list(KEY)].assign(by=setting[different.index]).duplicated()
    return set(different.loc[again, "codec"].astype(str))


def _manifest(runs: Sequence[NamedRun], codecs: list[Mapping[str, Any]]) -> dict[str, Any]:
    images: dict[str, Any] = {}
    for run in runs:
        images |= {str(image.get("name")): image for image in run.manifest.get("images") or ()}
    null = [run.manifest.get("lossless_control") or {} for run in runs]
    tests = [test for test in null if test.get("records")]
    versions = [run.manifest.get("metric_versions") or {} for run in runs]
    anchors = {str(run.manifest["anchor"]) for run in runs if run.manifest.get("anchor")}
    return {
        "suite": " + ".join(dict.fromkeys(str(run.manifest.get("suite") or run.name) for run in runs)),
        "command": f"harness report {' '.join(run.name for run in runs)}",
        "anchor": anchors.pop() if len(anchors) == 1 else None,
        "codecs": codecs,
        "images": list(images.values()),
        "metrics_of_others": {
            name: how for run in runs for name, how in (run.manifest.get("metrics_of_others") or {}).items()
        },
        "metric_versions": {name: text for known in versions for name, text in known.items()},
        "lossless_control": {
            "valid": bool(tests) and all(test.get("valid") for test in tests),
            "records": sum(int(test["records"]) for test in tests),
            "wrong": [text for test in tests for text in test.get("wrong") or ()],
            "not_run": list(dict.fromkeys(text for test in null for text in test.get("not_run") or ())),
        },
        "runs": {run.name: {key: run.manifest[key] for key in TOLD if key in run.manifest} for run in runs},
        "differences": _differences(runs),
    }


def _differences(runs: Sequence[NamedRun]) -> list[str]:
    """Say in what the runs differ: what was asked, with which software, on which machine, with what of each codec."""
    tables = [_facts(run.manifest) for run in runs]
    told = []
    for key in dict.fromkeys(key for table in tables for key in table):
        values = [table.get(key) for table in tables]
        if any(value != values[0] for value in values) and not _is_of_another_codec(key, tables):
            told.append(
                f"{key}: " + "; ".join(f"{value} in {run.name}" for run, value in zip(runs, values, strict=True))
            )
    return told


def _facts(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Return what of a manifest decides its results, flat: the name that people read -> the value."""
    facts = {key: manifest[key] for key in ASKED if key in manifest}
    for part in PARTS:
        facts |= {f"{part}, {key}": value for key, value in sorted(dict(manifest.get(part) or {}).items())}
    for codec in manifest.get("codecs") or ():
        for part in sorted(part for part in codec if part.startswith("provenance")):
            ratio = part.removeprefix("provenance").replace("_", " at ")
            facts |= {f"{_CODEC}{codec.get('id')}{ratio}, {key}": value for key, value in sorted(codec[part].items())}
    return facts


def _is_of_another_codec(key: str, tables: Sequence[Mapping[str, Any]]) -> bool:
    """Tell whether a fact is of a codec that not all runs have."""
    owner = key.partition(", ")[0] + ", "
    return key.startswith(_CODEC) and not all(any(name.startswith(owner) for name in table) for table in tables)
