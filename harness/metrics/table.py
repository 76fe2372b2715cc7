"""Quality metrics, all in one table: pure functions of the reference, the decoded image and the peak.

The decoded image holds the integers that the decoder returned. A metric that does not apply to a pair of images gives
None ("not applicable"), never a substitute. torch is imported when a metric that needs it is computed, never to list
the table.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from harness.config.radar import RadarScale
from harness.errors import UnknownNameError, UsageError
from harness.interface import FORMATS, LUMA, Image, image_format
from harness.metrics import perceptual
from harness.metrics import radar as radar_metrics
from harness.metrics.pair import MS_SSIM_SMALLEST_SIDE, WINDOW_SIDE, Pair

_BLOCK = 2**15
"""Rows that are squared at a time: a block stays in the processor's cache."""
_GRAY = ("gray8", "gray16")
_DISPLAYED = ("rgb8", "gray8")
"""Formats of pictures to look at: 16-bit gray is measurement data, which models of vision do not cover."""


@dataclass(frozen=True)
class Metric:
    """One metric: call it, or compute several at once with `measure`."""

    name: str
    unit: str
    """"dB", "points", or "" for a plain number."""
    direction: Literal["higher", "lower", "nearer 1"]
    """Which values are better."""
    compute: Callable[[Pair], float | None]
    formats: tuple[str, ...] = FORMATS
    """The image formats that it takes."""
    smallest_side: int = 1
    """In pixels; the metric does not apply to an image with a smaller height or width."""
    default: bool = False
    """Whether a run computes it by default."""
    libraries: tuple[str, ...] = ()
    """The packages, besides numpy, whose version may change its values."""
    revision: int = 1
    """A number to raise whenever a change of its code changes its values."""
    source: str = ""
    """Where a plugin metric comes from: the start of the sha256 of its file, or a package and its version."""

    @property
    def version(self) -> str:
        """What its values depend on, for the key of a record: "1; torch 2.13.0"."""
        first = [str(self.revision), *([self.source] if self.source else [])]
        return "; ".join([*first, *(f"{name} {_installed(name)}" for name in self.libraries)])

    def applies_to(self, image: Image) -> bool:
        """Return whether the metric takes images of this format and size."""
        return image_format(image) in self.formats and min(image.shape[:2]) >= self.smallest_side

    def __call__(self, reference: Image, decoded: Image, peak: int, radar: RadarScale | None = None) -> float | None:
        """Return its value on the CPU, or None where it does not apply; arguments and errors are as for `measure`."""
        return measure(reference, decoded, peak, [self.name], table={self.name: self}, radar=radar)[self.name]


def _installed(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _psnr(pair: Pair) -> float:
    """10 log10(peak^2 / MSE), MSE over all channels; infinite when the images are equal."""
    errors = pair.planes.difference.reshape(-1)
    return _decibels(_sum_of_squares(errors) / errors.size, pair.peak)


def _psnr_y(pair: Pair) -> float:
    """PSNR of unrounded Y; the PSNR of a gray image."""
    if pair.reference.shape[2] == 1:
        return _psnr(pair)
    errors = pair.planes.difference.reshape(-1, 3)
    return _decibels(_sum_of_squares(errors, np.array(LUMA)) / len(errors), pair.peak)


def _sum_of_squares(errors: NDArray[np.float32], weights: NDArray[np.float64] | None = None) -> float:
    """Return the sum of squared errors, or of squared weighted sums of each row; it is exact without weights."""
    total = 0.0
    for start in range(0, len(errors), _BLOCK):
        block = errors[start : start + _BLOCK].astype(np.float64)
        block = block if weights is None else block @ weights
        total += float(block @ block)
    return total


def _decibels(mean_squared_error: float, peak: int) -> float:
    return math.inf if mean_squared_error == 0 else 10 * math.log10(peak**2 / mean_squared_error)


def _table(*metrics: Metric) -> Mapping[str, Metric]:
    return {metric.name: metric for metric in metrics}


METRICS: Mapping[str, Metric] = _table(
    Metric("psnr", "dB", "higher", _psnr, default=True),
    Metric("psnr_y", "dB", "higher", _psnr_y, default=True),
    Metric(
        "ssim",
        "",
        "higher",
        lambda pair: pair.ssim,
        smallest_side=WINDOW_SIDE,
        default=True,
        libraries=("torch",),
    ),
    Metric(
        "ms_ssim",
        "",
        "higher",
        lambda pair: pair.ms_ssim,
        smallest_side=MS_SSIM_SMALLEST_SIDE,
        default=True,
        libraries=("torch",),
    ),
    Metric(
        "ssimulacra2",
        "points",
        "higher",
        perceptual.ssimulacra2,
        formats=_DISPLAYED,
        smallest_side=8,
        default=True,
        libraries=("torch", "frame-analytics"),
    ),
    Metric(
        "lpips",
        "",
        "lower",
        perceptual.lpips,
        formats=_DISPLAYED,
        smallest_side=32,
        libraries=("torch", "frame-analytics"),
    ),
    Metric(
        "psnr_hvs_m",
        "dB",
        "higher",
        perceptual.psnr_hvs_m,
        smallest_side=8,
        libraries=("torch", "frame-analytics"),
    ),
    Metric(
        "vmaf",
        "points",
        "higher",
        perceptual.vmaf,
        formats=_DISPLAYED,
        smallest_side=perceptual.VMAF_SMALLEST_SIDE,
        libraries=("imageio-ffmpeg",),
    ),
    Metric(
        "enl_ratio",
        "",
        "nearer 1",
        radar_metrics.enl_ratio,
        formats=_GRAY,
        smallest_side=radar_metrics.ENL_WINDOW_SIDE,
        libraries=("scipy",),
        revision=2,
    ),
    Metric("epi", "", "higher", radar_metrics.epi, formats=_GRAY, smallest_side=3, libraries=("scipy",)),
)
"""Name -> metric, in the order of the report's columns."""

DEFAULT_METRICS: tuple[str, ...] = tuple(name for name, metric in METRICS.items() if metric.default)


def find(name: str, table: Mapping[str, Metric] = METRICS) -> Metric:
    """Return the metric of that name.

    Raises:
        UnknownNameError: there is none.
    """
    if name not in table:
        raise UnknownNameError("metric", name, table)
    return table[name]


def measure(
    reference: Image,
    decoded: Image,
    peak: int,
    names: Iterable[str] = DEFAULT_METRICS,
    device: str = "cpu",
    *,
    table: Mapping[str, Metric] = METRICS,
    radar: RadarScale | None = None,
) -> dict[str, float | None]:
    """Return the value of each named metric, None where it does not apply; the metrics share their work.

    Args:
        reference: the image.
        decoded: the decoded image, of the same shape and dtype.
        peak: the largest possible sample, 2^sample_bits - 1.
        names: the metrics to compute.
        device: where torch computes, "cpu" or "cuda".
        table: name -> metric.
        radar: what a sample of a radar image stands for.

    Raises:
        UnknownNameError: a name is not in the table.
        UsageError: the images differ in shape or dtype, or the reference exceeds the peak.
        MissingDependencyError: a named metric needs a program or library that is not installed.
    """
    chosen = [find(name, table) for name in names]
    pair = replace(_checked_pair(reference, decoded, peak, device), radar=radar)
    return {metric.name: _value(metric, pair) for metric in chosen}


def _value(metric: Metric, pair: Pair) -> float | None:
    return metric.compute(pair) if metric.applies_to(pair.reference) else None


def _checked_pair(reference: Image, decoded: Image, peak: int, device: str) -> Pair:
    if reference.shape != decoded.shape or image_format(reference) != image_format(decoded):
        raise UsageError(
            f"metrics compare images of one shape and dtype; the reference is {reference.dtype} "
            f"{reference.shape}, the decoded image {decoded.dtype} {decoded.shape}."
        )
    largest = int(reference.max())
    if largest > peak:
        raise UsageError(
            f"the reference holds the sample {largest}, above the peak {peak}: "
            "the peak is 2^sample_bits - 1 of the image."
        )
    return Pair(reference, decoded, peak, device)
