"""From a trained network to a checkpoint: the last step to the target ratio is taken by real bytes.

Imports torch: import this only when used.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch

from harness.errors import DataError
from harness.models._data import TrainingImage
from harness.tensors import normalised
from harness.trainable import Frozen, Trainable

TOLERANCE = 0.03
"""How far, as a share, the files of all validation images together may be from the target's bytes."""
_ATTEMPTS = 6
"""After so many the whole tolerance will do; before, a quarter of it is asked for."""
_MOST_ATTEMPTS = 12
_KERNEL_DIMENSIONS = 4
_HALF_COST = 0.05
"""Kernels are kept in 16 bits unless that costs more PSNR than this, in dB, on whole validation images."""


def fit_to_ratio(trainable: Trainable, images: Sequence[TrainingImage], ratio: float) -> float:
    """Rescale latents until real files of whole images are at the target, and return the ratio they reach.

    Raises:
        DataError: it cannot be reached.
    """
    raw = sum(image.pixels.nbytes for image in images)
    slope, place, excess = -0.7, 0.0, 0.0
    before: tuple[float, float] | None = None
    finer, coarser = -math.inf, math.inf
    for attempt in range(_MOST_ATTEMPTS):
        frozen = trainable.frozen()
        excess = math.log2(sum(frozen.file_bytes(image.pixels) for image in images) * ratio / raw)
        if abs(excess) < math.log2(1 + TOLERANCE) / (4 if attempt < _ATTEMPTS else 1.1):
            return ratio / 2**excess
        finer, coarser = (max(finer, place), coarser) if excess > 0 else (finer, min(coarser, place))
        if before is not None and place != before[0]:
            slope = min((excess - before[1]) / (place - before[0]), -0.2)
        before = (place, excess)
        move = float(np.clip(-excess / slope, -2, 2))
        if finer < coarser < math.inf and -math.inf < finer and not finer < place + move < coarser:
            move = (finer + coarser) / 2 - place
        trainable.moved(move)
        place += move
    raise DataError(
        f"the trained network's files cannot be brought to {ratio:g}x: they are at {ratio / 2**excess:.2f}x after "
        "rescaling. Its latents hold too much or too little; choose another number of latent channels."
    )


@torch.no_grad()
def halve(trainable: Trainable, images: Sequence[TrainingImage]) -> bool:
    """Round convolution kernels to 16-bit floats unless that costs too much PSNR; return whether they are rounded."""
    kernels = [one for one in trainable.groups().networks if one.ndim == _KERNEL_DIMENSIONS]
    if not all(torch.isfinite(kernel.half()).all() for kernel in kernels):
        return False
    whole = [kernel.clone() for kernel in kernels]
    before = psnr_at_one(trainable.frozen(), images)
    for kernel in kernels:
        kernel.copy_(kernel.half())
    if before - psnr_at_one(trainable.frozen(), images) <= _HALF_COST:
        return True
    for kernel, values in zip(kernels, whole, strict=True):
        kernel.copy_(values)
    return False


def psnr_at_one(frozen: Frozen, images: Sequence[TrainingImage]) -> float:
    """Return the mean PSNR, in dB, of whole images coded at step 1, rounded to their samples."""
    found = []
    for image in images:
        reference, low, high = normalised(image.pixels)
        levels = high - low
        error = np.rint(frozen.decoded(image.pixels).clip(0, 1) * levels) / levels - reference
        found.append(-10 * math.log10(max(float(np.square(error).mean()), 1e-12)))
    return float(np.mean(found))
