"""Finish a trained network: round kernels to fp16, and fit the size of real files to the target ratio.

Imports torch: import this only when used.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from harness.errors import DataError
from harness.learned.tensors import normalised
from harness.learned.trainable import Frozen, Trainable
from harness.training.crops import TrainingImage

TOLERANCE = 0.03
"""How much the total size of all validation images' files may differ from the target size, as a share of it."""
_ATTEMPTS = 6
"""In this many attempts the fit must reach a quarter of the tolerance; after them, the whole tolerance is enough."""
_MOST_ATTEMPTS = 12
_KERNEL_DIMENSIONS = 4
_HALF_COST = 0.05
"""The PSNR that rounding kernels to fp16 may cost, in dB on whole validation images."""


def fit_to_ratio(trainable: Trainable, images: Sequence[TrainingImage], ratio: float) -> float:
    """Rescale latents until real files of whole images have the target ratio, and return the ratio reached.

    Raises:
        DataError: the target ratio cannot be reached.
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
        trainable.rescale(move)
        place += move
    raise DataError(
        f"the trained network's files cannot be brought to {ratio:g}x: they are at {ratio / 2**excess:.2f}x after "
        "rescaling. Train with another number of latent channels."
    )


@torch.no_grad()
def round_to_fp16(trainable: Trainable, images: Sequence[TrainingImage]) -> None:
    """Round the kernels of convolutions to fp16, in place, except where that costs PSNR."""
    kernels = [one.numpy() for one in trainable.groups().networks if one.ndim == _KERNEL_DIMENSIONS]
    round_kernels_to_fp16(kernels, lambda: psnr_at_one(trainable.frozen(), images), _HALF_COST)


def round_kernels_to_fp16(kernels: Sequence[NDArray[np.float32]], psnr: Callable[[], float], allowed: float) -> None:
    """Round arrays to fp16 in place; if rounding all of them costs too much, try each half of them alone.

    Args:
        kernels: the arrays, float32.
        psnr: returns the PSNR, in dB, with the arrays as they are now.
        allowed: the loss of PSNR that is allowed for all of them; half of it for each half.
    """
    whole, before = [kernel.copy() for kernel in kernels], psnr()
    with np.errstate(over="ignore"):
        rounded = [kernel.astype(np.float16) for kernel in kernels]
    if all(np.isfinite(half).all() for half in rounded):
        _fill(kernels, rounded)
        if before - psnr() <= allowed:
            return
        _fill(kernels, whole)
    if len(kernels) > 1:
        middle = len(kernels) // 2
        for some in (kernels[:middle], kernels[middle:]):
            round_kernels_to_fp16(some, psnr, allowed / 2)


def _fill(arrays: Sequence[NDArray[np.float32]], values: Sequence[NDArray[Any]]) -> None:
    for array, value in zip(arrays, values, strict=True):
        array[...] = value


def psnr_at_one(frozen: Frozen, images: Sequence[TrainingImage]) -> float:
    """Return the mean PSNR, in dB, of whole images coded at step 1 and rounded to integer samples."""
    found = []
    for image in images:
        reference, low, high = normalised(image.pixels)
        levels = high - low
        error = np.rint(frozen.decoded(image.pixels).clip(0, 1) * levels) / levels - reference
        found.append(-10 * math.log10(max(float(np.square(error).mean()), 1e-12)))
    return float(np.mean(found))
