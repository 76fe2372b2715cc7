"""What a manifest says of a run: what was asked, and what came of it."""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.metrics.plugins import known_metrics
from harness.plan.plan import Plan
from harness.run.assignment import Outcome

if TYPE_CHECKING:
    import pandas as pd


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
        self.codec_seconds += outcome.seconds.codec
        self.metric_seconds += outcome.seconds.metrics
        self.task_seconds += outcome.seconds.total
        if ratio_goals == len(outcome.records):
            self.ratio_goals += ratio_goals
            self.encodes += outcome.encode_count
            self.per_codec[outcome.codec] += outcome.encode_count
            self.goals_per_codec[outcome.codec] += ratio_goals


def describe_plan(plan: Plan) -> dict[str, Any]:
    """Return what a run is about to measure, as JSON types."""
    asked = plan.request
    known = known_metrics(asked.plugin_metrics)
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
    for codec_id, leak in _leaks(plan).items():
        codecs[codec_id]["leak"] = leak
    return {
        "suite": asked.name,
        "description": asked.suite.description,
        "anchor": asked.suite.anchor,
        "plan": plan.key,
        "ratios": list(asked.ratios),
        "protocol": asked.protocol,
        "metric_versions": {name: known[name].version for name in asked.metric_names},
        "metrics_of_others": {
            name: {"unit": known[name].unit, "direction": known[name].direction} for name, _ in asked.plugin_metrics
        },
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
                **({"radar": radar.model_dump(exclude_none=True)} if (radar := image.source.radar) else {}),
            }
            for image in plan.images
        ],
        "limits": asked.suite.limits.model_dump(),
    }


def _leaks(plan: Plan) -> dict[str, str]:
    """Return of each learned codec the worst that is known: leaked, unknown or clean."""
    found = {(task.codec.id, task.facts["leak"]) for task in plan.tasks if "leak" in task.facts}
    found |= {(record.codec, "leaked") for record in plan.placeholders if record.status == "leaked"}
    return {codec: leak for leak in ("clean", "unknown", "leaked") for codec, said in sorted(found) if said == leak}


def describe_results(records: pd.DataFrame, tally: Tally, seconds: float, jobs: int) -> dict[str, Any]:
    """Return what came of a run: statuses, encodes per target, where the time went, the lossless control."""
    return {
        "statuses": dict(Counter(records["status"].tolist())),
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
        "lossless_control": _lossless_control(records[records["protocol"] == "control"]),
    }


def _lossless_control(controls: pd.DataFrame) -> dict[str, Any]:
    """Return how many decodes the control compared with their image, which differ, and why others lack one."""
    decoded = controls["size_bytes"].notna()
    failed = controls.loc[decoded & controls["status"].eq("failed"), ["codec", "image", "reason"]]
    wrong = [f"{codec} on {image}: {reason}" for codec, image, reason in failed.itertuples(index=False)]
    others = controls.loc[~decoded, ["codec", "reason"]].drop_duplicates()
    not_run = [f"{codec}: {reason}" for codec, reason in others.itertuples(index=False)]
    count = int(decoded.sum())
    return {"records": count, "valid": count > 0 and not wrong, "wrong": wrong, "not_run": not_run}


def _shares(tally: Tally, seconds: float, jobs: int) -> dict[str, Any]:
    """Return shares of wall time x workers: in codecs, in metrics, and in all else."""
    capacity = seconds * jobs
    if not tally.measured or capacity <= 0:
        return {}
    codec, measuring = tally.codec_seconds / capacity, tally.metric_seconds / capacity
    return {"codec": round(codec, 4), "metrics": round(measuring, 4), "other": round(1 - codec - measuring, 4)}


def command_line() -> str:
    """Return the command that runs, without the path of the program."""
    import shlex

    return shlex.join(["harness", *sys.argv[1:]]) if Path(sys.argv[0]).name == "harness" else "harness.bench(...)"
