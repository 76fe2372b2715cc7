"""Recipes of figures: the `[figures.NAME]` tables of benchmarks.toml, validated."""

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
    """A published rate-distortion curve, and the codec of ours that should reproduce it."""

    label: str
    source: str
    """Who published it, for the legend."""
    data: str
    """The data set with the file."""
    file: str
    key: str = ""
    """The curve's name in a file with several."""
    points: tuple[Annotated[int, Field(ge=1)], ...] = ()
    """Indices of points in the file, from 1; empty: all."""
    codec: str = ""
    """Our codec to check against its points; empty: drawn only, no codec here makes it."""
    settings: tuple[float, ...] = ()
    """The setting of each point; empty: our curve is interpolated at each point's bits per pixel."""
    rate_tolerance: Positive = 0.01
    """The largest error of our bits per pixel, as a share of the published value."""
    tolerance: Positive = 0.1
    """The largest error of our quality, in dB."""
    why: str = ""
    """The reason for the tolerance, or why it is not checked."""


class PointRecipe(StrictModel):
    """A published mean at one ratio, of the study that the figure is from."""

    codec: str
    ratio: Annotated[float, Field(gt=1)]
    values: Mapping[str, float]
    """Column -> value: psnr in dB, ssim, or their difference to the anchor."""
    source: str
    n: int | None = None
    """The number of images of the study's mean."""


class FigureRecipe(StrictModel):
    """A figure: its codecs, images, metrics and published numbers."""

    description: str
    kind: Kind
    data: str
    """The data set to measure."""
    gray: bool = False
    """Measure 8-bit gray versions of the images: BT.601 luma, 16-bit samples scaled to 8."""
    metrics: Annotated[tuple[MetricName, ...], Field(min_length=1)]
    """The metrics to draw; PSNR and MS-SSIM are always measured."""
    codecs: Annotated[tuple[str, ...], Field(min_length=1)]
    ratios: Annotated[tuple[Positive, ...], Field(min_length=1)] = (4, 8, 12, 16)
    anchor: str | None = None
    images: int | None = None
    """The number of images of the published means; over another number, nothing is compared."""
    other_data: str = ""
    """Why the published numbers are not comparable with any measurement here; empty: they are."""
    rate_limits: tuple[float, float] | None = None
    """The range of bits per pixel to draw."""
    quality_limits: tuple[float, float] | None = None
    """The range of the metric to draw."""
    curves: tuple[CurveRecipe, ...] = ()
    points: tuple[PointRecipe, ...] = ()

    @property
    def protocol(self) -> Literal["ratio", "sweep", "both"]:
        """The protocol for its kind."""
        sweeps: dict[Kind, Literal["sweep", "both"]] = {"curves": "sweep", "combined": "both"}
        return sweeps.get(self.kind, "ratio")


def recipe(config: Config, name: str) -> FigureRecipe:
    """Return a figure's recipe.

    Raises:
        UnknownNameError: no figure has that name.
        ConfigError: its table is wrong.
    """
    if name not in config.figures:
        raise UnknownNameError("figure", name, config.figures)
    try:
        return FigureRecipe.model_validate(config.figures[name])
    except ValidationError as error:
        raise ConfigError(explain(error, f"benchmarks.toml: figures.{name}.", WHOLE_TABLE)) from error
