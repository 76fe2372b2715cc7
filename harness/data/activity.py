"""The complexity of an image: the search for a size starts from images of a similar one."""

from __future__ import annotations

import math

import numpy as np

from harness.interface import Image

_LINES = 256
"""At most this many rows, and columns, are looked at."""


def activity(image: Image) -> float:
    """Return the complexity of an image: log of the mean difference of neighbours, across and down, in gray levels.

    Some rows and columns of a large image are enough. The mean difference of a flat image counts as 0.001.
    """
    height, width, _ = image.shape
    across = np.diff(image[:: -(-height // _LINES)].astype(np.int32), axis=1)
    down = np.diff(image[:, :: -(-width // _LINES)].astype(np.int32), axis=0)
    return math.log(max(sum(float(np.abs(steps).mean()) for steps in (across, down) if steps.size), 1e-3))
