"""The meaning of a radar image's samples: the tables of benchmarks.toml that declare it, and the conversions.

A file does not say whether its samples are decibels, amplitude or intensity. So a data set declares it; harness never
guesses.
"""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from harness.interface import Image
from harness.system.strict import StrictModel


class RadarScale(StrictModel):
    """How samples 0..peak map to intensity (the power that came back; backscatter where it is calibrated)."""

    scale: Literal["decibels", "amplitude", "intensity"]
    """decibels: linear from `low` to `high`; amplitude: the root of intensity; amplitude and intensity in any unit."""
    low: float | None = None
    """The decibels of sample 0; lower values are clipped."""
    high: float | None = None
    """The decibels of the largest sample; higher values are clipped."""
    looks: Annotated[float | None, Field(ge=1)] = None
    """The number of looks of the images, where it is known: speckle varies by 1 / sqrt(looks)."""

    @model_validator(mode="after")
    def _check_limits(self) -> RadarScale:
        given = self.low is not None and self.high is not None
        if self.scale == "decibels" and not (given and self.decibels[0] < self.decibels[1]):
            raise ValueError('scale = "decibels" needs low and high, low below high')
        if self.scale != "decibels" and (self.low is not None or self.high is not None):
            raise ValueError('low and high are only for scale = "decibels"')
        return self

    @property
    def decibels(self) -> tuple[float, float]:
        """What the smallest and the largest sample stand for, in dB."""
        return float(self.low or 0), float(self.high or 0)

    def intensity(self, samples: Image, peak: int) -> NDArray[np.float64]:
        """Return the intensity of samples 0..peak: linear, 1 at 0 dB (decibels), otherwise in the samples' own unit."""
        values: NDArray[np.float64] = samples.astype(np.float64)
        if self.scale == "intensity":
            return values
        if self.scale == "amplitude":
            return values**2
        low, high = self.decibels
        power: NDArray[np.float64] = 10 ** ((low + (high - low) * values / peak) / 10)
        return power

    def samples(self, intensity: NDArray[np.float64], bits: int) -> Image:
        """Return intensity above 0 as rounded samples of 8 or 16 bits on the scale of decibels; the shape stays."""
        low, high = self.decibels
        share = (10 * np.log10(intensity) - low) / (high - low)
        made: Image = np.rint(share.clip(0, 1) * (2**bits - 1)).astype(np.uint8 if bits == 8 else np.uint16)
        return made


class SceneTable(StrictModel):
    """Which radar scenes to generate (harness/data/radar_scenes.py): the same scenes on every machine."""

    seed: Annotated[int, Field(ge=0)]
    """Sets with different seeds share no scene."""
    side: Annotated[int, Field(ge=32, le=4096)]
    """Height and width, in pixels."""
    bits: Literal[8, 16]
    """Bits per sample."""
    blur: Annotated[float, Field(ge=0, le=8)] = 0
    """Standard deviation of the point response, in pixels: neighbours share speckle. 0: they share none."""
