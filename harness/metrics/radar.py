"""Metrics for radar images: speckle and edges.

Each takes a `Pair` whose format and size `harness.metrics.table` has checked.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from harness.interface import Image
from harness.metrics.pair import Pair

ENL_WINDOW_SIDE = 15
"""In pixels: height and width of the windows that are tested for homogeneity.

A choice: if they were independent and Gaussian, 225 samples would give a variance to sqrt(2 / 224), about 9 %.
"""

_HOMOGENEOUS = 0.3
"""The largest coefficient of variation (standard deviation / mean) of homogeneous ground: a choice."""
_NO_SPECKLE = 1e-9
"""A squared coefficient of variation below this counts as 0: rounding alone causes as much.

The filter adds up along rows and columns, so bright neighbours leave a rounding error in a window, of the order of
1e-16 x (brightest / mean)^2 in float64. That is up to 1e-9 at 35 dB, the range of generated scenes; measured: 5e-10.
"""


def enl_ratio(pair: Pair) -> float | None:
    """Equivalent number of looks (mean^2 / variance of intensity) after decoding / before.

    It is over all homogeneous 15x15 windows of the reference; the number of looks is 1 / the mean squared coefficient
    of variation of those windows. 1 means that the speckle is unchanged, above 1 that it is smoothed, infinite that it
    is gone. None where no window is homogeneous, or where the data set does not declare what a sample stands for.

    A window is homogeneous when the ground below the speckle has a coefficient of variation R below 0.3. Speckle of L
    looks is multiplicative: C^2 = R^2 + (1 + R^2) / L, where C belongs to the intensity (Lee, IEEE Trans. PAMI 2(2),
    1980, section IV). Where the looks are not declared, C itself must be below 0.3 (L = infinity).
    """
    if pair.radar is None:
        return None
    before, after = (
        _squared_variation(pair.radar.intensity(image[..., 0], pair.peak)) for image in (pair.reference, pair.decoded)
    )
    of_speckle = 1 / pair.radar.looks if pair.radar.looks else 0.0
    homogeneous = before < _HOMOGENEOUS**2 * (1 + of_speckle) + of_speckle
    if not homogeneous.any():
        return None
    remaining = float(np.nan_to_num(after[homogeneous]).mean())  # a window that decodes to 0 has no speckle
    original = float(before[homogeneous].mean())
    if remaining == 0:
        return 1.0 if original == 0 else float("inf")
    return original / remaining


def _squared_variation(intensity: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return variance / mean^2 of every whole window; NaN where the mean is 0."""
    from scipy.ndimage import uniform_filter

    inside = (slice(ENL_WINDOW_SIDE // 2, -(ENL_WINDOW_SIDE // 2)),) * 2
    centre = intensity.mean()  # subtracted, so that rounding does not swallow the variance
    mean = uniform_filter(intensity - centre, ENL_WINDOW_SIDE)[inside]
    variance = uniform_filter((intensity - centre) ** 2, ENL_WINDOW_SIDE)[inside] - mean**2
    level = mean + centre
    undefined: NDArray[np.float64] = np.full_like(level, np.nan)
    squared = np.divide(variance, level**2, out=undefined, where=level > 0)
    squared[squared < _NO_SPECKLE] = 0
    return squared


def epi(pair: Pair) -> float | None:
    """Edge preservation: cosine of the angle between the two images' Sobel gradient magnitudes, 1 is best.

    None where the reference has no gradient at all; 0 where only the decoded image has none.
    """
    before, after = _gradient(pair.reference), _gradient(pair.decoded)
    if not before.any():
        return None
    norms = float(np.sqrt((before**2).sum() * (after**2).sum()))
    return float((before * after).sum()) / norms if norms else 0.0


def _gradient(image: Image) -> NDArray[np.float64]:
    """Return the magnitude of the Sobel gradient at every pixel that has eight neighbours."""
    from scipy.ndimage import sobel

    samples = image[..., 0].astype(np.float64)
    magnitude: NDArray[np.float64] = np.hypot(sobel(samples, axis=0), sobel(samples, axis=1))[1:-1, 1:-1]
    return magnitude
