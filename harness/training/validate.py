"""Validation: PSNR of a network at a target ratio. Imports torch: import this only when used."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from harness.learned.tensors import normalised, padded_to_multiple
from harness.learned.trainable import Trainable
from harness.training.crops import TrainingImage

CLOSE = 0.01
"""The search ends when the size is this close to the target size, in octaves."""
SECANTS = 5
"""The most steps of that search."""


@dataclass(frozen=True)
class Validation:
    """Results on validation images."""

    octaves: float
    """Base-2 logarithm of the step at which all files together have the target size."""
    psnr: float
    """Mean over images at that step, in dB, of samples rounded to 8 bits."""
    ratio: float
    """Estimated ratio (raw bytes / file bytes) of all images together at step 1."""


def tensor_of(image: TrainingImage, most: int = 0) -> Tensor:
    """Return an image as (1, channels, height, width) in 0..1; with `most`, its middle `most` x `most` pixels."""
    values = normalised(image.pixels)[0]
    if most:
        top, left = (max(0, (size - most) // 2) for size in values.shape[:2])
        values = values[top : top + most, left : left + most]
    return torch.from_numpy(np.ascontiguousarray(values.transpose(2, 0, 1)))[None]


@torch.no_grad()
def validate(trainable: Trainable, images: Sequence[Tensor], ratio: float) -> Validation:
    """Validate a network at a target ratio on images (1, channels, height, width) in 0..1."""
    trainable.eval()
    latents = [trainable.latents(padded_to_multiple(image, trainable.factor)).float() for image in images]
    raw = 8 * sum(image.numel() for image in images)

    def excess(octaves: float) -> float:
        """Return log2(estimated bits / bits of the target)."""
        step = 2.0**octaves
        bits = sum(trainable.quantised(one, step).bits.item() for one in latents)
        return math.log2(max(bits, 1.0) * ratio / raw)

    at_one = excess(0.0)
    octaves = _root(excess, at_one)
    step = 2.0**octaves
    quality = []
    for image, one in zip(images, latents, strict=True):
        made = trainable.images(trainable.quantised(one, step).latents)[..., : image.shape[-2], : image.shape[-1]]
        wrong = (made.clamp(0, 1) * 255).round() / 255 - image
        quality.append(-10 * math.log10(max(wrong.square().mean().item(), 1e-12)))
    return Validation(octaves, float(np.mean(quality)), ratio / 2**at_one)


def _root(excess: Callable[[float], float], at_zero: float) -> float:
    """Return where a falling function is near 0, by the secant method from 0; at most 6 octaves away."""
    before, place = (0.0, at_zero), (max(-2.0, min(2.0, 1.5 * at_zero)), 0.0)
    for _ in range(SECANTS):
        place = (place[0], excess(place[0]))
        if abs(place[1]) < CLOSE or place[0] == before[0]:
            break
        slope = min((place[1] - before[1]) / (place[0] - before[0]), -0.1)
        before, place = place, (max(-6.0, min(6.0, place[0] - place[1] / slope)), 0.0)
    return place[0]
