"""What a sample of a radar image means: the tables of benchmarks.toml that say it, and samples to intensity and back.

A file of samples does not say whether they are decibels, amplitude or intensity, so it is declared, never guessed.
"""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from harness.interface import Image
from harness.system.strict import StrictModel


class RadarScale(StrictModel):
    """How samples 0..peak stand for intensity (the power that came back; backscatter where it is calibrated)."""

    scale: Literal["decibels", "amplitude", "intensity"]
    """decibels: from `low` to `high`, evenly; amplitude: the root of intensity; both others: in any unit."""
    low: float | None = None
    """The decibels of sample 0; what is less is clipped."""
    high: float | None = None
    """The decibels of the greatest sample; what is more is clipped."""
    looks: Annotated[float | None, Field(ge=1)] = None
    """The number of looks that the images were made with, where it is known: speckle varies by 1 / sqrt(looks)."""

    @model_validator(mode="after")
    def _check_limits(self) -> RadarScale:
        given = self.low is not None and self.high is not None
        if self.scale == "decibels" and not (given and self.decibels[0] < self.decibels[1]):
            raise ValueError('scale = "decibels" needs low and high, low below high')
        if self.scale != "decibels" and (self.low is not None or self.high is not None):
            raise ValueError('low and high belong to scale = "decibels" alone')
        return self

    @property
    def decibels(self) -> tuple[float, float]:
        """What the least and the greatest sample stand for, in dB."""
        return float(self.low or 0), float(self.high or 0)

    def intensity(self, samples: Image, peak: int) -> NDArray[np.float64]:
        """Return the intensity of samples 0..peak: linear, 1 at 0 dB (decibels), else in the samples' own unit."""
        values: NDArray[np.float64] = samples.astype(np.float64)
        if self.scale == "intensity":
            return values
        if self.scale == "amplitude":
            return values**2
        low, high = self.decibels
        power: NDArray[np.float64] = 10 ** ((low + (high - low) * values / peak) / 10)
        return power

    def samples(self, intensity: NDArray[np.float64], bits: int) -> Image:
        """Return intensity above 0 as samples of 8 or 16 bits of a scale of decibels, rounded; same shape."""
        low, high = self.decibels
        share = (10 * np.log10(intensity) - low) / (high - low)
        made: Image = np.rint(share.clip(0, 1) * (2**bits - 1)).astype(np.uint8 if bits == 8 else np.uint16)
        return made


class SceneTable(StrictModel):
    """Which radar scenes are made here (harness/data/radar_scenes.py): the same ones on every machine."""

    seed: Annotated[int, Field(ge=0)]
    """Sets of different seeds have no scene in common."""
    side: Annotated[int, Field(ge=32, le=4096)]
    """Height and width, in pixels."""
    bits: Literal[8, 16]
    """Of each sample."""
    blur: Annotated[float, Field(ge=0, le=8)] = 0
    """Standard deviation of the point response, in pixels: neighbours share speckle. 0: they do not."""
