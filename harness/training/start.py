"""How a training begins: with fresh networks, or with the weights of another ratio or recipe.

Imports torch and lightning: import this only when used.
"""

from __future__ import annotations

import math
import time
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from harness.learned.checkpoint import Card, cards, load, shipped_folder
from harness.learned.trainable import Trainable
from harness.models.entropy.model import DECISION_WEIGHT
from harness.training.crops import Crops, Split, split
from harness.training.images import TrainingSet
from harness.training.jobs import TrainingJob
from harness.training.module import TrainingModule
from harness.training.recipe import TrainingRecipe

Start = tuple[Card, Path] | None
"""Card and path of the weights that a training starts from; None: fresh networks."""
_TIMED_STEPS = 3


def start_of(job: TrainingJob, folder: Path) -> Start:
    """Return the weights to start from, of another ratio or of another recipe.

    Args:
        job: the training; its recipe says which weights it starts from.
        folder: where weights are looked for. Weights of another recipe may also be shipped ones.
    """
    recipe = job.recipe
    ratio = recipe.start_from.get(f"{job.ratio:g}")
    name = recipe.start_recipe or job.recipe_name
    wanted = (job.architecture, name, ratio, recipe.shape(job.architecture, job.ratio))
    for card, path in cards([folder, shipped_folder()] if recipe.start_recipe else [folder]):
        if (card.architecture, card.recipe_name, card.ratio, card.shape) == wanted and _entropy_model_fits(
            card, recipe
        ):
            return card, path
    return None


def _entropy_model_fits(card: Card, recipe: TrainingRecipe) -> bool:
    """Return whether a recipe's entropy model can load the weights of a card; its scale network may be absent there."""
    width = card.recipe.get("entropy_width", 0)
    return card.recipe.get("levels", recipe.levels) == recipe.levels and (not width or width == recipe.entropy_width)


def initialised_module(job: TrainingJob, parts: Split, start: Start) -> TrainingModule:
    """Return the training module at its first step."""
    recipe, ratio = job.recipe, job.ratio
    if start is not None:
        recipe = recipe.from_neighbour()
    trainable = job.trainable(recipe.shape(job.architecture, ratio), recipe.choices)
    crops = Crops(parts.training, recipe)
    some, step = torch.from_numpy(crops.batch(8, 0)), recipe.first_step_for(ratio)
    if start is None:
        trainable.prepare(some, step)
    else:
        trainable.load_arrays(load(*start))
        trainable.rescale(math.log2(step / recipe.first_step_for(start[0].ratio)))
        step = step_in_gray_levels(trainable, some)
    module = TrainingModule(trainable, recipe, crops, job.architecture)
    module.weight.fill_(DECISION_WEIGHT / step**2)
    return module


@torch.no_grad()
def step_in_gray_levels(trainable: Trainable, images: Tensor) -> float:
    """Return the quantisation step, in gray levels of 8 bits, that step 1 of trained networks amounts to.

    Rounding at step 1 acts on each latent like noise of variance 1 / 12. An orthonormal transform turns this noise
    into a squared error of step^2 / 12 per latent, so the measured error gives the step.

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


def estimate_seconds(job: TrainingJob, images: TrainingSet, weights: Path, whole: bool = True) -> float:
    """Return about how many seconds a training takes here: time a few real steps, without validation.

    Args:
        job: the training.
        images: what it trains on.
        weights: the folder of weights, where those to start from are looked for.
        whole: False if the weights to start from do not exist yet, but will before this training begins.
    """
    if not whole:
        job = replace(job, recipe=job.recipe.from_neighbour())
    parts = split(images.images, job.recipe, job.ratio, job.colours)
    module = initialised_module(job, parts, start_of(job, weights))
    trial_step(module)
    begin = time.perf_counter()
    for _ in range(_TIMED_STEPS):
        trial_step(module)
    return (time.perf_counter() - begin) / _TIMED_STEPS * module.last_step
