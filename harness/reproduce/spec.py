"""Recipes of figures: the `[figures.NAME]` tables of benchmarks.toml, checked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field, ValidationError

from harness.config.schema import Config
from harness.errors import ConfigError, UnknownNameError
from harness.system.strict import WHOLE_TABLE, StrictModel, explain

MetricName = Literal["psnr", "ms_ssim", "ssim"]
Kind = Literal["curves", "combined", "ratios", "architectures", "differences"]
Positive = Annotated[float, Field(gt=0)]


class CurveRecipe(StrictModel):
    """A published rate-distortion curve, and what of ours should land on it."""

    label: str
    source: str
    """Who published it, as the figure's legend says."""
    data: str
    """The data set that holds the file."""
    file: str
    key: str = ""
    """The curve's name inside a file of several."""
    points: tuple[Annotated[int, Field(ge=1)], ...] = ()
    """Which points of the file, counted from 1; empty: all."""
    codec: str = ""
    """Our codec that its points are checked against; empty: drawn for comparison, nothing here makes it."""
    settings: tuple[float, ...] = ()
    """The setting of each point in turn; empty: our curve is read off at each point's bits per pixel."""
    rate_tolerance: Positive = 0.01
    """How far our bits per pixel may be off, as a share of the published ones."""
    tolerance: Positive = 0.1
    """How far our quality may be off, in dB."""
    why: str = ""
    """The reason for the tolerance, or for there being nothing to check."""


class PointRecipe(StrictModel):
    """One published mean at one ratio of the study that the figure is from."""

    codec: str
    ratio: Annotated[float, Field(gt=1)]
    values: Mapping[str, float]
    """Column -> value: psnr in dB, ssim, or their difference to the anchor."""
    source: str
    n: int | None = None
    """How many images the study's mean is over."""


class FigureRecipe(StrictModel):
    """What a figure shows, on which images, beside which published numbers."""

    description: str
    kind: Kind
    data: str
    """The data set it is measured on."""
    gray: bool = False
    """Measure on the 8-bit gray pictures of the data set: BT.601 luma, 16-bit samples scaled to 8."""
    metrics: Annotated[tuple[MetricName, ...], Field(min_length=1)]
    """What is drawn; each is measured, PSNR and MS-SSIM always."""
    codecs: Annotated[tuple[str, ...], Field(min_length=1)]
    ratios: Annotated[tuple[Positive, ...], Field(min_length=1)] = (4, 8, 12, 16)
    anchor: str | None = None
    images: int | None = None
    """How many images the published means are over: over fewer, nothing is compared."""
    other_data: str = ""
    """Why the published numbers cannot be compared whatever is measured; empty: they can."""
    rate_limits: tuple[float, float] | None = None
    """The range of bits per pixel that is drawn."""
    quality_limits: tuple[float, float] | None = None
    """The range of the metric that is drawn."""
    curves: tuple[CurveRecipe, ...] = ()
    points: tuple[PointRecipe, ...] = ()

    @property
    def protocol(self) -> Literal["ratio", "sweep", "both"]:
        """The protocol that its kind needs."""
        sweeps: dict[Kind, Literal["sweep", "both"]] = {"curves": "sweep", "combined": "both"}
        return sweeps.get(self.kind, "ratio")


def recipe(config: Config, name: str) -> FigureRecipe:
    """Return a figure's recipe.

    Raises:
        UnknownNameError: there is none of that name.
        ConfigError: it is wrong.
    """
    if name not in config.figures:
        raise UnknownNameError("figure", name, config.figures)
    try:
        return FigureRecipe.model_validate(config.figures[name])
    except ValidationError as error:
        raise ConfigError(explain(error, f"benchmarks.toml: figures.{name}.", WHOLE_TABLE)) from error
