"""From a trained network to a checkpoint: the last step to the target ratio is taken by real bytes.

Imports torch: import this only when used.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch

from harness.errors import DataError
from harness.models._coder import Coder
from harness.models._context import ContextModel
from harness.models._data import TrainingImage
from harness.models._law import Law
from harness.models._model import analysed
from harness.models._train import moved
from harness.stream import HEADER_BYTES
from harness.tensors import normalised

TOLERANCE = 0.03
"""How far, as a share, the files of all validation images together may be from the target's bytes."""
_ATTEMPTS = 6


def coded_bytes(coder: Coder, law: Law, images: Sequence[TrainingImage]) -> int:
    """Return the length of all images' files at step 1, headers included."""
    return sum(HEADER_BYTES + len(law.encode(analysed(coder, image.pixels, "cpu"), 0).data) for image in images)


def fit_to_ratio(coder: Coder, context: ContextModel, images: Sequence[TrainingImage], ratio: float) -> float:
    """Rescale latents until real files of whole images are at the target, and return the ratio they reach.

    Raises:
        DataError: it cannot be reached.
    """
    raw = sum(image.pixels.nbytes for image in images)
    slope = -0.7
    before: tuple[float, float] | None = None
    place = 0.0
    for _ in range(_ATTEMPTS):
        excess = math.log2(coded_bytes(coder, context.law(), images) * ratio / raw)
        if abs(excess) < math.log2(1 + TOLERANCE) / 4:
            return ratio / 2**excess
        if before is not None and place != before[0]:
            slope = min((excess - before[1]) / (place - before[0]), -0.2)
        before = (place, excess)
        move = float(np.clip(-excess / slope, -2, 2))
        moved(coder, context, move)
        place += move
    raise DataError(
        f"the trained network's files cannot be brought to {ratio:g}x: they are at {ratio / 2 ** before[1]:.2f}x "
        "after rescaling. Its latents hold too much or too little; choose other latent_channels."
        if before
        else "no attempt was made."
    )


@torch.inference_mode()
def psnr_at_one(coder: Coder, law: Law, images: Sequence[TrainingImage]) -> float:
    """Return the mean PSNR, in dB, of whole images coded at step 1, rounded to their samples."""
    found = []
    for image in images:
        latents = law.encode(analysed(coder, image.pixels, "cpu"), 0).latents
        values = coder.images(torch.from_numpy(latents.astype(np.float32)))
        height, width, _ = image.pixels.shape
        reference, low, high = normalised(image.pixels)
        made = values[..., :height, :width].numpy().reshape(-1, height, width).transpose(1, 2, 0)
        levels = high - low
        error = np.rint(made.clip(0, 1) * levels) / levels - reference
        found.append(-10 * math.log10(max(float(np.square(error).mean()), 1e-12)))
    return float(np.mean(found))
