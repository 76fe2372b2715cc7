"""Train/test contamination: find a test image among training images, even if cropped, flipped, rotated or re-encoded.

A fingerprint is a set of tiles. The picture itself determines the points around which tiles lie (extrema of a
difference of Gaussians), so a crop has the same tiles. A tile becomes the 63 signs of its low DCT frequencies, and its
position. A flip or a quarter turn changes those signs in a known way, so eight orientations of every tile are compared.
Tiles without structure are left out: skies and walls look alike everywhere. One matching tile proves nothing. Several
that have the same arrangement in a training image and in the test image are not chance (docs/fairness.md has the
measurements).

The numbers below were chosen by trial on photographs, unless they say otherwise: changed copies are found, and other
photographs are not. A change of one of them needs a new `VERSION`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from harness.errors import ConformanceError
from harness.interface import LUMA, Image

VERSION = 3
"""The version of the tiles and of their comparison; tiles of different versions cannot be compared."""
TILE = 64
"""Height and width of a tile, in pixels."""
MOST_TILES = 4096
"""The most tiles of one image: those around its strongest points."""
MOST_DIFFERENT = 4
"""The most signs, of 63, in which matching tiles differ.

If signs were fair and independent, two tiles would match by chance once in 1.4e13: 2^63 over the sum of 63 choose 0..4.
They are not, so one match proves nothing; the number was chosen by trial.
"""
MATCHES_NEEDED = 3
"""An image with so many matching tiles, all moved by the same offset, counts as trained on."""
_FREQUENCIES = 8
"""DCT frequencies used, vertical and horizontal: 8 x 8 without the mean are 63 signs, which fit into 64 bits."""
_SMOOTH = 2.0
"""Standard deviation, in pixels, of the blur before the DCT: half of the 4 pixels over which means are then taken."""
_BLOB = (5.0, 10.0)
"""Standard deviations, in pixels, of the two Gaussians whose difference finds points."""
_APART = 17
"""Height and width, in pixels, of the window in which a point must be the strongest."""
_LEAST_RESPONSE = 0.008
_LEAST_SPREAD = 0.025
"""The least response of a point and standard deviation of a tile, as shares of the sample range."""
_UNIT = 4
"""Positions are stored in steps of this many pixels."""
_ALIKE = 4
"""Width, in those steps, of the cells in which offsets count as equal; cells overlap by half."""
_AT_ONCE = 2**15
"""Training tiles that are compared at once: it bounds memory and changes no verdict."""
_DIGITS = 30
"""Hexadecimal digits of a tile: 16 for its signs, 6 for the number of its image, 4 for its row, 4 for its column."""
NUMBER = slice(16, 22)
"""Which of those digits are the number of its image."""
_TILE = re.compile(f"[0-9a-f]{{{_DIGITS}}}")

_Signs = NDArray[np.bool_]


class _Tiles(NamedTuple):
    """Tiles as arrays."""

    signs: _Signs
    """(tiles, 8, 8)."""
    images: NDArray[np.int64]
    places: NDArray[np.int64]
    """(tiles, 2): row and column."""


def fingerprint(image: Image, peak: int, number: int = 0) -> list[str]:
    """Return the tiles of an image as sorted hexadecimal numbers; none for a picture without structure.

    Args:
        image: 8 or 16 bits, gray or RGB.
        peak: 2^sample_bits - 1, the largest possible sample: 16-bit files often hold 10 or 12 bits.
        number: the number of the image in its training set: tiles of different images never count together.
    """
    from scipy.ndimage import gaussian_filter

    gray = image.astype(np.float64) / peak
    gray = gray @ np.array(LUMA) if gray.shape[2] == 3 else gray[:, :, 0]
    if min(gray.shape) < TILE:
        return []
    smooth = gaussian_filter(gray, _SMOOTH)
    found = []
    for row, column in _points(gray):
        tile = _tile(smooth, row, column)
        if tile.std() >= _LEAST_SPREAD:
            found.append(f"{_packed(_signs(tile))}{number:06x}{row // _UNIT:04x}{column // _UNIT:04x}")
    return sorted(set(found))


def checked(tiles: Sequence[str]) -> tuple[str, ...]:
    """Return the tiles that a codec states, if all of them are tiles.

    Raises:
        ConformanceError: one is not `_DIGITS` lower-case hexadecimal digits.
    """
    wrong = next((tile for tile in tiles if not _TILE.fullmatch(tile)), None)
    if wrong is not None:
        raise ConformanceError(
            f"its training fingerprints hold {wrong[:40]!r}, of {len(wrong)} characters; each is {_DIGITS} lower-case "
            "hexadecimal digits, as harness.data.contamination.fingerprint makes them."
        )
    return tuple(tiles)


def joined(tiles: Sequence[str], others: Sequence[str]) -> list[str]:
    """Return the sorted tiles of two training sets; images that only the second has get the next numbers."""
    known = {frozenset(_without_number(tile) for tile in image) for image in _by_image(tiles)}
    new = [image for image in _by_image(others) if frozenset(_without_number(tile) for tile in image) not in known]
    start = 1 + max((int(tile[NUMBER], 16) for tile in tiles), default=-1)
    added = [
        f"{tile[: NUMBER.start]}{number:06x}{tile[NUMBER.stop :]}"
        for number, image in enumerate(new, start)
        for tile in image
    ]
    return sorted([*tiles, *added])


def _by_image(tiles: Sequence[str]) -> list[list[str]]:
    images: dict[str, list[str]] = {}
    for tile in tiles:
        images.setdefault(tile[NUMBER], []).append(tile)
    return [images[number] for number in sorted(images)]


def _without_number(tile: str) -> str:
    return tile[: NUMBER.start] + tile[NUMBER.stop :]


def overlap(test: Sequence[str], training: Sequence[str]) -> int:
    """Return how many tiles of a test image have the same arrangement in one training image.

    The arrangement may have any of eight orientations and any offset; the result is the most over all training images.
    """
    if not test or not training:
        return 0
    ours, theirs = _read(test), _read(training)
    votes = [_votes(ours, theirs, orientation) for orientation in range(8)]
    pairs = np.concatenate(votes)
    most = 0
    for down, across in ((0, 0), (0, _ALIKE // 2), (_ALIKE // 2, 0), (_ALIKE // 2, _ALIKE // 2)):
        cells = np.column_stack([pairs[:, :3], (pairs[:, 3:] + (down, across)) // _ALIKE])
        distinct = np.unique(cells, axis=0)[:, 1:]  # a tile counts once per cell
        if len(distinct):
            most = max(most, int(np.unique(distinct, axis=0, return_counts=True)[1].max()))
    return most


def leaked(test: Sequence[str], training: Sequence[str]) -> bool:
    """Return whether a test image was trained on: `MATCHES_NEEDED` tiles match and have the same offset."""
    return overlap(test, training) >= MATCHES_NEEDED


def verdict(test: Sequence[str], training: Sequence[str]) -> str:
    """Return "leaked", "clean", or "unknown" where there are too few tiles to decide.

    That is so where the test image, or every training image, has fewer than `MATCHES_NEEDED` tiles.
    """
    most = max(Counter(tile[NUMBER] for tile in training).values(), default=0)
    if min(len(test), most) < MATCHES_NEEDED:
        return "unknown"
    return "leaked" if leaked(test, training) else "clean"


def _points(gray: NDArray[np.float64]) -> list[tuple[int, int]]:
    """Return (row, column) of blobs that are far enough from the edges for a tile, strongest first."""
    from scipy.ndimage import gaussian_filter, maximum_filter

    narrow, wide = (gaussian_filter(gray, width) for width in _BLOB)
    response = np.abs(narrow - wide)
    peak = (response == maximum_filter(response, _APART)) & (response > _LEAST_RESPONSE)
    half = TILE // 2
    inside = np.zeros_like(peak)
    inside[half : gray.shape[0] - half + 1, half : gray.shape[1] - half + 1] = True
    rows, columns = np.nonzero(peak & inside)
    order = np.argsort(-response[rows, columns], kind="stable")[:MOST_TILES]
    return [(int(rows[one]), int(columns[one])) for one in order]


def _tile(smooth: NDArray[np.float64], row: int, column: int) -> NDArray[np.float64]:
    """Return the tile around a point, as means of 4x4 pixels: (16, 16)."""
    half = TILE // 2
    piece = smooth[row - half : row + half, column - half : column + half]
    means: NDArray[np.float64] = piece.reshape(TILE // 4, 4, TILE // 4, 4).mean((1, 3))
    return means


def _signs(tile: NDArray[np.float64]) -> _Signs:
    """Return the signs of the lowest frequencies of the tile's type-II DCT, (8, 8); the mean has none."""
    from scipy.fft import dctn

    lowest: _Signs = dctn(tile, norm="ortho")[:_FREQUENCIES, :_FREQUENCIES] > 0
    lowest[0, 0] = False
    return lowest


def _packed(signs: _Signs) -> str:
    return np.packbits(signs).tobytes().hex()


def _read(tiles: Sequence[str]) -> _Tiles:
    """Return tiles from their hexadecimal numbers."""
    data = np.frombuffer(bytes.fromhex("".join(tiles)), np.uint8).reshape(-1, _DIGITS // 2).astype(np.int64)
    signs = np.unpackbits(data[:, :8].astype(np.uint8), axis=1).reshape(-1, _FREQUENCIES, _FREQUENCIES)
    images = data[:, 8] * 65536 + data[:, 9] * 256 + data[:, 10]
    places = np.column_stack([data[:, 11] * 256 + data[:, 12], data[:, 13] * 256 + data[:, 14]])
    return _Tiles(signs.astype(np.bool_), images, places)


def _turned(tiles: _Tiles, orientation: int) -> _Tiles:
    """Return the tiles of the picture in one of eight orientations: a flip changes the sign of odd frequencies.

    Orientation bit 0 flips vertically, bit 1 horizontally, and bit 2 then swaps rows and columns.
    """
    odd = np.arange(_FREQUENCIES) % 2 == 1
    signs, places = tiles.signs, tiles.places.copy()
    if orientation & 1:
        signs, places[:, 0] = signs ^ odd[:, None], -places[:, 0]
    if orientation & 2:
        signs, places[:, 1] = signs ^ odd[None, :], -places[:, 1]
    if orientation & 4:
        signs, places = signs.transpose(0, 2, 1), places[:, ::-1]
    return _Tiles(signs, tiles.images, places)


def _votes(ours: _Tiles, theirs: _Tiles, orientation: int) -> NDArray[np.int64]:
    """Return a row for each pair of matching tiles: our tile, orientation, their image, offset of rows and columns."""
    turned = _turned(ours, orientation)
    found = [np.empty((0, 5), np.int64)]
    for first, second in _near(_plus_minus(turned.signs), theirs.signs):
        alike = np.full(len(first), orientation)
        moved = theirs.places[second] - turned.places[first]
        found.append(np.column_stack([first, alike, theirs.images[second], moved]))
    return np.concatenate(found)


def _near(ours: NDArray[np.float32], theirs: _Signs) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Yield the indices of our and their tiles whose signs differ in at most `MOST_DIFFERENT`."""
    least = _FREQUENCIES**2 - 1 - 2 * MOST_DIFFERENT
    for start in range(0, len(theirs), _AT_ONCE):
        first, second = np.nonzero(ours @ _plus_minus(theirs[start : start + _AT_ONCE]).T >= least)
        yield first, second + start


def _plus_minus(signs: _Signs) -> NDArray[np.float32]:
    """Return signs as -1 and 1, (tiles, 64), 0 for the mean: a product of two tiles is 63 - 2 x their differences."""
    values = np.where(signs, np.float32(1), np.float32(-1)).reshape(len(signs), -1)
    values[:, 0] = 0
    return values
