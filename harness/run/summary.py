"""Fill in the manifest of a run: what was asked, and a summary of what came of it."""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from harness.metrics.plugins import known_metrics
from harness.plan.plan import Plan
from harness.records.manifest import (
    CodecEntry,
    Encodes,
    ImageEntry,
    LosslessControl,
    Manifest,
    MetricEntry,
    Shares,
)
from harness.run.assignment import Outcome
from harness.sandbox.process import CodecProcess
from harness.system import provenance

if TYPE_CHECKING:
    import pandas as pd


@dataclass
class Tally:
    """Counts of a run, filled outcome by outcome."""

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


PLANNED = (
    *("suite", "description", "anchor", "plan", "ratios", "protocol", "metric_versions", "metrics_of_others"),
    *("codecs", "images", "limits"),
)
"""The fields of a manifest that follow from the plan alone."""


def begun(plan: Plan, started: datetime) -> Manifest:
    """Return the manifest of a run that begins."""
    asked = plan.request
    known = known_metrics(asked.plugin_metrics)
    return Manifest(
        state="running",
        started=started.isoformat(timespec="seconds"),
        command=command_line(),
        suite=asked.name,
        description=asked.suite.description,
        anchor=asked.suite.anchor,
        plan=plan.key,
        ratios=asked.ratios,
        protocol=asked.protocol,
        metric_versions={name: known[name].version for name in asked.metric_names},
        metrics_of_others={
            name: MetricEntry(unit=known[name].unit, direction=known[name].direction)
            for name, _ in asked.plugin_metrics
        },
        codecs=_codecs(plan),
        images=_images(plan),
        limits=asked.suite.limits.model_dump(),
        jobs=asked.jobs,
        threads_per_codec=CodecProcess.threads,
        device=asked.device,
        seed=0,
        versions=provenance.describe_software(),
        machine=provenance.describe_machine(),
    )


def planned_anew(previous: Manifest, now: Manifest) -> Manifest:
    """Return the manifest of a run that has nothing to measure: as it was, with the plan as it is today."""
    return previous.model_copy(update={name: getattr(now, name) for name in PLANNED})


def ended(now: Manifest, records: pd.DataFrame, tally: Tally, seconds: float, jobs: int) -> Manifest:
    """Return the manifest of a run that has ended: with statuses, encodes, time and the lossless control."""
    per_target = round(tally.encodes / tally.ratio_goals, 3) if tally.ratio_goals else None
    per_codec = {name: round(tally.per_codec[name] / goals, 3) for name, goals in tally.goals_per_codec.items()}
    return now.model_copy(
        update={
            "jobs": jobs,
            "statuses": dict(Counter(records["status"].tolist())),
            "measured_now": tally.measured,
            "reused": len(records) - tally.measured,
            "encodes": Encodes(count=tally.encodes, per_target=per_target, per_codec=per_codec),
            "seconds": round(seconds, 2),
            "shares": _shares(tally, seconds, jobs),
            "lossless_control": _lossless_control(records[records["protocol"] == "control"]),
        }
    )


def _codecs(plan: Plan) -> tuple[CodecEntry, ...]:
    """Return an entry for each codec; a learned one is planned once a ratio, and has one entry."""
    contamination = _contamination(plan)
    entries: dict[str, CodecEntry] = {}
    for codec in plan.codecs:
        name, about = codec.spec.id, codec.description
        entry = entries.setdefault(name, CodecEntry(id=name, origin=codec.spec.origin))
        update: dict[str, object] = {"leak": contamination[name]} if name in contamination else {}
        if about is None:
            update |= {"reason": codec.reason}
        else:
            update |= {"lossless": about.lossless, "learned": about.learned}
            facts = dict(about.provenance)
            if codec.ratio is None:
                update |= {"provenance": facts}
            else:
                update |= {"provenance_by_ratio": {**entry.provenance_by_ratio, f"{codec.ratio:g}x": facts}}
        entries[name] = entry.model_copy(update=update)
    return tuple(entries.values())


def _contamination(plan: Plan) -> dict[str, str]:
    """Return the worst contamination result of each learned codec: leaked, unknown or clean."""
    found = {(task.codec.id, task.facts["leak"]) for task in plan.tasks if "leak" in task.facts}
    found |= {(record.codec, "leaked") for record in plan.placeholders if record.status == "leaked"}
    return {codec: leak for leak in ("clean", "unknown", "leaked") for codec, said in sorted(found) if said == leak}


def _images(plan: Plan) -> tuple[ImageEntry, ...]:
    return tuple(
        ImageEntry(
            name=image.source.name,
            width=image.width,
            height=image.height,
            channels=image.channels,
            sample_bits=image.sample_bits,
            notes=tuple(image.notes),
            sha256=image.pixels,
            **({"radar": image.source.radar} if image.source.radar else {}),
        )
        for image in plan.images
    )


def _lossless_control(controls: pd.DataFrame) -> LosslessControl:
    """Return how many decodes were compared with their image, which differ, and why codecs have none."""
    decoded = controls["size_bytes"].notna()
    failed = controls.loc[decoded & controls["status"].eq("failed"), ["codec", "image", "reason"]]
    wrong = tuple(f"{codec} on {image}: {reason}" for codec, image, reason in failed.itertuples(index=False))
    others = controls.loc[~decoded, ["codec", "reason"]].drop_duplicates()
    not_run = tuple(f"{codec}: {reason}" for codec, reason in others.itertuples(index=False))
    count = int(decoded.sum())
    return LosslessControl(records=count, valid=count > 0 and not wrong, wrong=wrong, not_run=not_run)


def _shares(tally: Tally, seconds: float, jobs: int) -> Shares | None:
    capacity = seconds * jobs
    if not tally.measured or capacity <= 0:
        return None
    codec, metrics = tally.codec_seconds / capacity, tally.metric_seconds / capacity
    return Shares(codec=round(codec, 4), metrics=round(metrics, 4), other=round(1 - codec - metrics, 4))


def command_line() -> str:
    """Return the command that runs, without the path of the program."""
    import shlex

    return shlex.join(["harness", *sys.argv[1:]]) if Path(sys.argv[0]).name == "harness" else "harness.bench(...)"
