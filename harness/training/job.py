"""One training from its order to its weights and their card. Imports torch and lightning: import only when used."""

from __future__ import annotations

import math
import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from harness.data.contamination import joined
from harness.errors import DataError
from harness.learned.checkpoint import Card, cards, fingerprints, load, save, shipped_folder
from harness.learned.shape import AnyShape
from harness.learned.trainable import Trainable
from harness.learned.weights import Choices
from harness.models.entropy.model import DECISION_WEIGHT
from harness.training.crops import Crops, Split, TrainingImage, split
from harness.training.curve import PANELS, draw
from harness.training.export import fit_to_ratio, halve, psnr_at_one
from harness.training.folder import claim, images_digest
from harness.training.loop import BEST, CURVE, LAST, Job, Machines, read_curve, run
from harness.training.module import TrainingModule
from harness.training.recipe import Recipe

Start = tuple[Card, Path] | None
"""Card and path of the weights that a training starts from; None: of none."""


@dataclass(frozen=True)
class Order:
    """What to train."""

    architecture: str
    recipe_name: str
    recipe: Recipe
    ratio: float
    """The target: raw bytes / file bytes."""
    trainable: Callable[[AnyShape, Choices], Trainable]
    """Makes fresh networks of the architecture, with their entropy model."""

    @property
    def name(self) -> str:
        """Return a name for folders and messages, such as "baseline-rate-16x"."""
        return f"{self.architecture}-{self.recipe_name}-{self.ratio:g}x"

    @property
    def turn(self) -> tuple[str, bool, str, float]:
        """Return what sorts trainings so that those whose weights others start from come first."""
        return self.architecture, bool(self.recipe.start_recipe), self.recipe_name, -self.ratio

    def starts_from(self, other: Order) -> bool:
        """Tell whether the weights that another training makes are what this one starts from."""
        recipe = self.recipe
        return (other.architecture, other.recipe_name, other.ratio) == (
            self.architecture,
            recipe.start_recipe or self.recipe_name,
            recipe.start_from.get(f"{self.ratio:g}"),
        )

    @property
    def colours(self) -> int:
        """Return the channels of the images that the networks take: 1 or 3."""
        return self.recipe.shape(self.architecture, self.ratio).image_channels


@dataclass(frozen=True)
class Origin:
    """What a card says of the training images."""

    sources: Sequence[Mapping[str, Any]]
    """One entry a source: name, licence, attribution."""
    fingerprints: Callable[[], Sequence[str]]
    """Makes the fingerprints of all training images; called when training is over."""


def learn(order: Order, images: Sequence[TrainingImage], origin: Origin, job: Job, weights: Path) -> Path:
    """Train, or go on with what was interrupted, and return the path of the finished weights.

    Args:
        order: what to train.
        images: what to train and to validate on.
        origin: where those come from.
        job: the target ratio, the folder of checkpoints, the machines.
        weights: where the weights and their card go; a neighbour ratio's are looked for there.

    Raises:
        DataError: too few images, or training failed; the message says how.
    """
    parts = split(images, order.recipe, order.ratio, order.colours)
    start = start_of(order, weights)
    inherited = _inherited(order, start)
    claim(job.folder, _identity(order, parts, start), (LAST, BEST, CURVE))
    torch.manual_seed(order.recipe.seed)
    module = started(order, parts, start)
    run(module, parts.validation, job)
    steps, hours = _last_state(order, module, job)
    module.trainable.eval()
    halve(module.trainable, parts.validation)
    reached = fit_to_ratio(module.trainable, parts.validation, order.ratio)
    frozen = module.trainable.frozen()
    card = {
        "architecture": order.architecture,
        "recipe_name": order.recipe_name,
        "ratio": order.ratio,
        "shape": module.trainable.shape,
        "recipe": order.recipe.model_dump(mode="json"),
        "data": [*origin.sources, *(one for one in inherited.sources if one not in origin.sources)],
        "validation": [image.name for image in parts.validation],
        "seed": order.recipe.seed,
        "steps": steps,
        "hours": hours,
        "hardware": _hardware(job.machines),
        "software": {name: version(name) for name in ("torch", "lightning", "numpy")},
        "curve": _validations(job.folder / CURVE),
        "validated": {"ratio": reached, "psnr": psnr_at_one(frozen, parts.validation)},
    }
    path = save(frozen.arrays(), weights, card, joined(origin.fingerprints(), inherited.fingerprints()))
    draw(_steps(job.folder / CURVE), f"{order.name}: {reached:.2f}x on validation images", path.with_suffix(".png"))
    return path


def _identity(order: Order, parts: Split, start: Start) -> dict[str, str]:
    """Return what decides a training, by name."""
    return {
        "recipe": order.recipe.model_dump_json(),
        "images": images_digest([*parts.training, *parts.validation]),
        "weights to start from": start[0].sha256 if start else "",
    }


def started(order: Order, parts: Split, start: Start) -> TrainingModule:
    """Return a module at its first step: a fresh network, or one that starts from other weights."""
    recipe, ratio = order.recipe, order.ratio
    if start is not None:
        recipe = recipe.from_neighbour()
    trainable = order.trainable(recipe.shape(order.architecture, ratio), recipe.choices)
    crops = Crops(parts.training, recipe)
    some, step = torch.from_numpy(crops.batch(8, 0)), recipe.first_step_for(ratio)
    if start is None:
        trainable.prepare(some, step)
    else:
        trainable.load_arrays(load(*start))
        trainable.moved(math.log2(step / recipe.first_step_for(start[0].ratio)))
        step = step_in_gray_levels(trainable, some)
    module = TrainingModule(trainable, recipe, crops, order.architecture)
    module.weight.fill_(DECISION_WEIGHT / step**2)
    return module


@torch.no_grad()
def step_in_gray_levels(trainable: Trainable, images: Tensor) -> float:
    """Return the quantisation step that step 1 of trained networks is worth, in gray levels of 8 bits.

    An orthonormal transform turns noise of variance 1 / 12 a latent, that of rounding at step 1, into a squared error
    of step^2 / 12 a latent: so the error that such noise makes tells the step.

    Args:
        trainable: trained networks.
        images: (images, channels, height, width) in 0..1.
    """
    trainable.eval()
    latents = trainable.latents(images)
    noise = torch.rand(latents.shape, generator=torch.Generator().manual_seed(0)) - 0.5
    error = 255 * (trainable.images(latents + noise) - trainable.images(latents))
    trainable.train()
    return math.sqrt(12 * error.square().sum().item() / latents.numel())


def trial_step(module: TrainingModule) -> None:
    """Do the work of one step of the networks' phase, on one device, without changing a weight."""
    images = torch.from_numpy(module.crops.batch(module.batch, 0))
    loss = module.study_loss(images) if module.recipe.loss == "study" else module.rate_loss(images)
    torch.autograd.backward(loss)
    module.zero_grad()


def start_of(order: Order, folder: Path) -> Start:
    """Return the weights to start from: another ratio's in the folder, or another recipe's, there or shipped."""
    recipe = order.recipe
    ratio = recipe.start_from.get(f"{order.ratio:g}")
    name = recipe.start_recipe or order.recipe_name
    wanted = (order.architecture, name, ratio, recipe.shape(order.architecture, order.ratio))
    for card, path in cards([folder, shipped_folder()] if recipe.start_recipe else [folder]):
        if (card.architecture, card.recipe_name, card.ratio, card.shape) == wanted and _entropy_model_fits(
            card, recipe
        ):
            return card, path
    return None


def _entropy_model_fits(card: Card, recipe: Recipe) -> bool:
    """Tell whether the entropy model of trained weights can be taken over; a network in it need not be there."""
    width = card.recipe.get("entropy_width", 0)
    return card.recipe.get("levels", recipe.levels) == recipe.levels and (not width or width == recipe.entropy_width)


def _inherited(order: Order, start: Start) -> Origin:
    """Return what the weights to start from were trained on: the new ones have seen it, too.

    Raises:
        DataError: it cannot be told.
    """
    if start is None:
        return Origin([], list)
    tiles = fingerprints(*start)
    if tiles is None:
        raise DataError(
            f"the fingerprints beside {start[1]} are of another version, so what the training {order.name} would start "
            "from was trained on cannot be told. Train those weights again, or leave start_from out of the recipe."
        )
    return Origin(start[0].data, lambda: tiles)


def _last_state(order: Order, module: TrainingModule, job: Job) -> tuple[int, float]:
    """Put the last checkpoint's weights into a module; return its steps and the hours that they took."""
    last = torch.load(job.folder / LAST, map_location="cpu", weights_only=True)
    module.to("cpu").load_state_dict(last["state_dict"])
    steps = int(last["global_step"])
    if steps < module.last_step:
        raise DataError(
            f"the training {order.name} ended at step {steps} of {module.last_step}; run it again to go on."
        )
    return steps, _hours(last)


def _hours(checkpoint: Mapping[str, Any]) -> float:
    """Return the hours that all training steps took, interruptions left out."""
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
