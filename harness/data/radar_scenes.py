"""Synthetic radar scenes, made from a seed alone: fields, water, roads and buildings, with speckle of known looks.

The speckle follows the fully developed model (Goodman, J. Opt. Soc. Am. 66(11), 1976): circular complex Gaussian
fields, blurred by the point response, whose powers are averaged over the looks. So the intensity over ground of one
backscatter follows a Gamma distribution whose shape is the number of looks. Neighbouring pixels share speckle, as in
detected products whose sampling is finer than their resolution.

The ground is a model without a source: its areas, shares, periods and decibels were chosen so that a scene has
something of each kind, and none is fitted to a product.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from harness.config.radar import RadarScale, SceneTable
from harness.interface import Image

Plane = NDArray[np.float64]

_FIELD_PIXELS = 1800
"""The mean area of a field: about 36 fields in a scene of 256x256 pixels."""
_LAND, _LAND_SPREAD, _WATER = -11.0, 3.0, -22.0
"""In dB: mean backscatter of fields, its standard deviation between fields, and backscatter of calm water. Chosen to
resemble C band in VV."""


def scene(table: SceneTable, scale: RadarScale, number: int) -> Image:
    """Return scene `number` of a set as samples, (side, side, 1)."""
    random = np.random.default_rng([table.seed, number])
    ground = backscatter(random, table.side)
    intensity = 10 ** (ground / 10) * speckle(random, table.side, round(scale.looks or 1), table.blur)
    intensity += buildings(random, table.side, max(table.blur, 0.5))
    return scale.samples(intensity, table.bits)[:, :, None]


def speckle(random: np.random.Generator, side: int, looks: int, blur: float) -> Plane:
    """Return speckle of mean 1, (side, side): Gamma of shape `looks` at every pixel."""
    power = np.zeros((side, side))
    for _ in range(looks):
        parts = (_smooth(random.standard_normal((side, side)), blur) for _ in range(2))
        power += sum(part**2 for part in parts) / (2 * looks)
    return power


def backscatter(random: np.random.Generator, side: int) -> Plane:
    """Return the ground's backscatter in dB, (side, side): fields with texture or furrows, water, roads."""
    rows, columns = np.mgrid[:side, :side].astype(np.float64)
    owner = _fields(random, rows, columns)
    count = int(owner.max()) + 1
    ground = random.normal(_LAND, _LAND_SPREAD, count)[owner]
    rough = random.uniform(0, 1.5, count) * (random.random(count) < 0.6)
    ground += rough[owner] * _smooth(random.standard_normal((side, side)), 2.5)
    ground += _furrows(random, rows, columns, owner, count)
    if random.random() < 0.5:
        shore = _smooth(random.standard_normal((side, side)), side / 8)
        ground[shore > random.uniform(0.3, 1.2)] = _WATER
    for _ in range(int(random.integers(1, 5))):
        angle, place = random.uniform(0, np.pi), random.uniform(0, side)
        ground[np.abs(_across(rows, columns, angle) - place) < random.uniform(0.7, 2.0)] -= 6.0
    return ground


def buildings(random: np.random.Generator, side: int, blur: float) -> Plane:
    """Return the intensity of strong point reflectors, (side, side): settlements and single buildings."""
    targets = np.zeros((side, side))
    for _ in range(int(random.integers(1, 6))):
        count = int(random.integers(1, 40))
        spread = random.uniform(2, 14)
        places = random.uniform(0, side, 2) + random.normal(0, spread, (count, 2))
        rows, columns = np.rint(places).astype(np.int64).T % side
        np.add.at(targets, (rows, columns), 10 ** (random.uniform(-5, 12, count) / 10))
    # The point response of power is the square of the field's; its peak keeps the reflector's intensity.
    width = blur / np.sqrt(2)
    intensity: Plane = _gaussian(targets, width) * (2 * np.pi * width**2)
    return intensity


def _fields(random: np.random.Generator, rows: Plane, columns: Plane) -> NDArray[np.int64]:
    """Return the field that each pixel belongs to: the nearest of random centres, in a stretched metric."""
    from scipy.spatial import cKDTree

    side = len(rows)  # centres lie up to a tenth of a side outside: (1.2 side)^2 = 1.44 side^2
    angle, stretch = random.uniform(0, np.pi), random.uniform(1, 2.5)
    centres = random.uniform(-0.1 * side, 1.1 * side, (max(4, int(1.44 * side**2 / _FIELD_PIXELS)), 2))

    def stretched(first: Plane, second: Plane) -> Plane:
        return np.stack([_across(first, second, angle) * stretch, _across(first, second, angle + np.pi / 2)], -1)

    _, owner = cKDTree(stretched(centres[:, 0], centres[:, 1])).query(stretched(rows, columns))
    nearest: NDArray[np.int64] = np.unique(owner, return_inverse=True)[1].reshape(rows.shape)
    return nearest


def _furrows(random: np.random.Generator, rows: Plane, columns: Plane, owner: NDArray[np.int64], count: int) -> Plane:
    """Return the waves of ploughed fields, in dB: some fields have waves, each with its own direction and period."""
    height = random.uniform(0.5, 2.0, count) * (random.random(count) < 0.3)
    angle, period = random.uniform(0, np.pi, count), random.uniform(4, 14, count)
    waves: Plane = height[owner] * np.sin(2 * np.pi * _across(rows, columns, angle[owner]) / period[owner])
    return waves


def _across(rows: Plane, columns: Plane, angle: float | Plane) -> Plane:
    """Return the coordinate, in pixels, along a direction."""
    coordinate: Plane = rows * np.cos(angle) + columns * np.sin(angle)
    return coordinate


def _gaussian(plane: Plane, width: float) -> Plane:
    """Return a plane under a Gaussian filter that wraps around, so that every pixel has the same distribution."""
    from scipy.ndimage import gaussian_filter

    filtered: Plane = gaussian_filter(plane, width, mode="wrap", truncate=6)
    return filtered


def _smooth(noise: Plane, width: float) -> Plane:
    """Return white noise of variance 1 under a Gaussian filter, again of variance 1 in expectation."""
    if width == 0:
        return noise
    point = np.zeros_like(noise)
    point[0, 0] = 1
    gain = np.sqrt(np.square(_gaussian(point, width)).sum())
    scaled: Plane = _gaussian(noise, width) / gain
    return scaled
