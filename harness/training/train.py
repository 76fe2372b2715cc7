"""Run one training job: from images to finished weights and their card.

Imports torch and lightning: import this only when used.
"""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from harness.data.contamination import joined
from harness.errors import DataError
from harness.learned.checkpoint import fingerprints, save
from harness.training.crops import Split, split
from harness.training.curve import PANELS, draw, read_curve
from harness.training.export import fit_to_ratio, psnr_at_one, round_to_fp16
from harness.training.folder import CHECKPOINTS, images_digest, lock_folder
from harness.training.images import TrainingSet
from harness.training.jobs import TrainingJob
from harness.training.loop import BEST, CURVE, LAST, LoopSettings, Machines, run
from harness.training.module import TrainingModule
from harness.training.start import Start, initialised_module, start_of


@dataclass(frozen=True)
class _Inherited:
    """What the weights that a training starts from were trained on."""

    sources: Sequence[Mapping[str, Any]]
    fingerprints: Sequence[str]


def train(job: TrainingJob, images: TrainingSet, weights: Path, machines: Machines, bar: bool) -> Path:
    """Train, or resume an interrupted training, and return the path of the finished weights.

    Args:
        job: what to train.
        images: what to train and to validate on.
        weights: the folder for weights and cards, where the weights to start from are looked for, too. Checkpoints
            and curves are kept below it.
        machines: where the training runs.
        bar: whether to show a progress bar.

    Raises:
        DataError: too few images, or training failed; the message says how.
    """
    settings = LoopSettings(job.ratio, weights / CHECKPOINTS / job.name, machines, bar)
    parts = split(images.images, job.recipe, job.ratio, job.colours)
    start = start_of(job, weights)
    inherited = _inherited(job, start)
    lock_folder(settings.folder, _identity(job, parts, start), (LAST, BEST, CURVE))
    torch.manual_seed(job.recipe.seed)
    module = initialised_module(job, parts, start)
    run(module, parts.validation, settings)
    steps, hours = _load_last_state(job, module, settings)
    module.trainable.eval()
    round_to_fp16(module.trainable, parts.validation)
    reached = fit_to_ratio(module.trainable, parts.validation, job.ratio)
    frozen = module.trainable.frozen()
    card = {
        "architecture": job.architecture,
        "recipe_name": job.recipe_name,
        "ratio": job.ratio,
        "shape": module.trainable.shape,
        "recipe": job.recipe.model_dump(mode="json"),
        "data": [*images.sources, *(one for one in inherited.sources if one not in images.sources)],
        "validation": [image.name for image in parts.validation],
        "seed": job.recipe.seed,
        "steps": steps,
        "hours": hours,
        "hardware": _hardware(machines),
        "software": {name: version(name) for name in ("torch", "lightning", "numpy")},
        "curve": _validations(settings.folder / CURVE),
        "validated": {"ratio": reached, "psnr": psnr_at_one(frozen, parts.validation)},
    }
    path = save(frozen.arrays(), weights, card, joined(images.fingerprints(), inherited.fingerprints))
    draw(_steps(settings.folder / CURVE), f"{job.name}: {reached:.2f}x on validation images", path.with_suffix(".png"))
    return path


def _identity(job: TrainingJob, parts: Split, start: Start) -> dict[str, str]:
    """Return what decides the outcome of a training, by name."""
    return {
        "recipe": job.recipe.model_dump_json(),
        "images": images_digest([*parts.training, *parts.validation]),
        "weights to start from": start[0].sha256 if start else "",
    }


def _inherited(job: TrainingJob, start: Start) -> _Inherited:
    """Return what the weights to start from were trained on: the new weights have seen it, too.

    Raises:
        DataError: their fingerprints are of another version.
    """
    if start is None:
        return _Inherited([], [])
    tiles = fingerprints(*start)
    if tiles is None:
        raise DataError(
            f"the training {job.name} would start from {start[1]}, but the fingerprints of the images those weights "
            "were trained on are of another version. Train those weights again, or leave start_from out of the recipe."
        )
    return _Inherited(start[0].data, tiles)


def _load_last_state(job: TrainingJob, module: TrainingModule, settings: LoopSettings) -> tuple[int, float]:
    """Load the last checkpoint into a module; return its number of steps and the hours that they took."""
    last = torch.load(settings.folder / LAST, map_location="cpu", weights_only=True)
    module.to("cpu").load_state_dict(last["state_dict"])
    steps = int(last["global_step"])
    if steps < module.last_step:
        raise DataError(
            f"the training {job.name} ended at step {steps} of {module.last_step}; run it again to resume it."
        )
    return steps, _hours(last)


def _hours(checkpoint: Mapping[str, Any]) -> float:
    """Return the hours that all training steps took, without interruptions."""
    seconds = sum(
        sum(state["time_elapsed"].values())
        for name, state in checkpoint["callbacks"].items()
        if name.startswith("Timer") and "time_elapsed" in state
    )
    return float(f"{float(seconds) / 3600:.3g}")


def _hardware(machines: Machines) -> str:
    if machines.accelerator != "cpu" and torch.cuda.is_available():
        return f"{machines.devices * machines.nodes} x {torch.cuda.get_device_name()}"
    return f"{torch.get_num_threads()} thread(s) of {platform.processor() or platform.machine()}"


def _steps(curve: Path) -> list[dict[str, float]]:
    wanted = ("step", *PANELS)
    return [{key: float(row[key]) for key in wanted if row[key]} for row in read_curve(curve)]


def _validations(curve: Path) -> list[dict[str, float]]:
    wanted = ("step", "psnr", "ratio", "weight")
    return [{key: float(row[key]) for key in wanted} for row in read_curve(curve) if row["score"]]
