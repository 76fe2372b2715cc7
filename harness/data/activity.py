"""How busy an image is: what file sizes of other images are compared by."""

from __future__ import annotations

import math

import numpy as np

from harness.interface import Image

_LINES = 256
"""So many rows, and columns, tell how busy an image is."""


def activity(image: Image) -> float:
    """Return how busy an image is: log of the mean step between neighbours, across and down, in grey levels.

    Some rows and columns of a large image are enough; a flat image counts as one of a thousandth of a level.
    """
    height, width, _ = image.shape
    across = np.diff(image[:: -(-height // _LINES)].astype(np.int32), axis=1)
    down = np.diff(image[:, :: -(-width // _LINES)].astype(np.int32), axis=0)
    return math.log(max(sum(float(np.abs(steps).mean()) for steps in (across, down) if steps.size), 1e-3))
