"""Predict the size of a file at every step from the latents alone, which is far cheaper than coding them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from harness.learned.bitstream import HEADER_BYTES, STEPS_PER_OCTAVE

_LEAST_OCTAVE, _OCTAVES = -30, 60
"""The range of the histogram of mean magnitudes: its least octave, in trained steps, and its length in octaves."""
_BITS = {-2: 0.0, -1: 0.99, 0: 2.58, 1: 3.89, 2: 4.76, 3: 5.30, 4: 5.67, 5: 6.02, 6: 6.42, 7: 6.88, 8: 7.36}
"""log2(mean magnitude of a latent and its eight neighbours, in steps) -> bits of the latent, linear in between. Fitted
to files of 60 training images by the shipped weights of `baseline`, at three steps each."""


def predicted_bytes(latents: NDArray[np.float32], exponents: Sequence[int]) -> list[float]:
    """Return the predicted size of a file, in bytes, at each of the steps 2^(k / 32).

    Args:
        latents: (planes, channels, height, width), in trained steps.
        exponents: k of each step.
    """
    counts = _counted(latents)
    octaves = _LEAST_OCTAVE + np.arange(len(counts)) / STEPS_PER_OCTAVE
    known, bits = zip(*_BITS.items(), strict=True)
    return [
        HEADER_BYTES + float(counts @ np.interp(octaves - k / STEPS_PER_OCTAVE, known, bits)) / 8 for k in exponents
    ]


def _counted(latents: NDArray[np.float32]) -> NDArray[np.int64]:
    """Return the histogram of the mean magnitude of each latent and its neighbours, in bins of 1 / 32 octave."""
    around = np.pad(np.abs(latents), ((0, 0), (0, 0), (1, 1), (1, 1)), "symmetric")
    rows = around[:, :, :-2] + around[:, :, 1:-1] + around[:, :, 2:]
    means = (rows[..., :-2] + rows[..., 1:-1] + rows[..., 2:]) / 9
    octaves = np.log2(np.maximum(means, 2.0**_LEAST_OCTAVE)) - _LEAST_OCTAVE
    last = _OCTAVES * STEPS_PER_OCTAVE
    places = np.rint(octaves * STEPS_PER_OCTAVE).clip(0, last).astype(np.intp)
    return np.bincount(places.ravel(), minlength=last + 1)
