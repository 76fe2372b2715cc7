"""Which codecs and images a mean at one ratio is over, so that every mean is over the same images.

The images of a ratio are those on which at least half of the codecs that are reached anywhere at that ratio
are reached. A codec is compared when it is reached on every one of them: then all means are over the same
images. Another codec has no mean: it is listed apart, with its counts and its paired difference to the anchor
over the images on which both are reached.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from harness.analysis.run import Run

RULE = (
    "Means at a ratio are over one set of images, the same for every codec: those on which at least half of "
    "the codecs that are reached anywhere at that ratio are reached. A codec that is not reached on every one "
    "of these images has no mean and no rank: it is listed below the ranking, with its counts and its paired "
    "difference to the anchor over the images on which both are reached. (The images that cap are the easy "
    "ones; a mean without them would be biased by dB.) Where an image that most codecs lack is in no mean, each mean "
    "of that ratio says over how many images it is."
)


@dataclass(frozen=True)
class Comparison:
    """What is compared at one ratio."""

    ratio: float
    codecs: tuple[str, ...]
    """Reached on every image of `images`; best mean PSNR first."""
    apart: tuple[str, ...]
    """Every other codec that has a record at this ratio."""
    images: tuple[str, ...]
    left_out: tuple[str, ...]
    """Images with records at this ratio that no mean is over."""


def reached(frame: pd.DataFrame) -> NDArray[np.bool_]:
    """Tell for each record whether it is reached with a finite PSNR."""
    found: NDArray[np.bool_] = np.isfinite(frame["psnr"].to_numpy(float)) & frame["status"].eq("reached").to_numpy(bool)
    return found


def comparison(run: Run, ratio: float) -> Comparison:
    """Apply the rule at the top of this file to one ratio."""
    frame = run.at_ratio(ratio)
    every_image = sorted(frame["image"].unique())
    present = set(frame["codec"].unique())
    codecs = [codec for codec in run.codecs if codec in present]
    values = frame[reached(frame)].pivot(index="image", columns="codec", values="psnr")
    values = values.reindex(sorted(values.index))
    shared = values[values.notna().mean(axis=1) >= 0.5]
    means = shared.loc[:, shared.notna().all()].mean() if len(shared) else pd.Series(dtype=float)
    ranked = sorted((codec for codec in codecs if codec in means), key=lambda codec: -float(means[codec]))
    images = dict.fromkeys(str(image) for image in shared.index) if ranked else {}
    return Comparison(
        ratio=ratio,
        codecs=tuple(ranked),
        apart=tuple(codec for codec in codecs if codec not in ranked),
        images=tuple(images),
        left_out=tuple(image for image in every_image if image not in images),
    )


def anchor_of(run: Run, comparisons: list[Comparison]) -> str | None:
    """Return the codec that others are held against: the manifest's `anchor`.

    Where it names none, the first codec of the run among those compared at the most ratios; None without codecs.
    """
    named = run.manifest.get("anchor")
    if named in run.codecs:
        return str(named)
    counts = {codec: sum(codec in found.codecs for found in comparisons) for codec in run.codecs}
    return max(run.codecs, key=lambda codec: counts[codec], default=None)
