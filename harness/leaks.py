"""Find a test image among training images, also when it was cropped, flipped, turned or saved again as a JPEG.

A fingerprint is a set of tiles. Tiles lie around points that the picture itself determines (extremes of a
difference of Gaussians), so a crop has the same tiles; each becomes 63 signs of low DCT frequencies. A flip or a
quarter turn changes those signs in a known way, so eight variants of every tile are compared. Tiles without
structure are left out: skies and walls are alike everywhere.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from harness.interface import Image

TILE = 64
"""Height and width of a tile, in pixels."""
MOST_TILES = 96
"""Tiles of one image at most: those of the strongest points."""
MOST_DIFFERENT = 3
"""Signs, of 63, in which matching tiles may differ."""
MATCHES_NEEDED = 3
"""Matching tiles from which on an image counts as trained on."""
_FREQUENCIES = 8
_LEAST_RESPONSE = 0.012
_LEAST_SPREAD = 0.035
"""The least response of a point and standard deviation of a tile, as shares of the sample range."""
_LUMA = np.array([0.299, 0.587, 0.114])
_ONES = np.array([one.bit_count() for one in range(256)], np.uint8)
"""How many bits of a byte are set."""

_Signs = NDArray[np.bool_]


def fingerprint(image: Image) -> list[str]:
    """Return an image's tiles as hexadecimal numbers of 16 digits, sorted; none for a picture without structure."""
    from scipy.ndimage import gaussian_filter

    gray = image.astype(np.float64) / np.iinfo(image.dtype).max
    gray = gray @ _LUMA if gray.shape[2] == 3 else gray[:, :, 0]
    if min(gray.shape) < TILE:
        return []
    smooth = gaussian_filter(gray, 2.0)
    tiles = [_tile(smooth, row, column) for row, column in _points(gray)]
    structured = [tile for tile in tiles if tile.std() >= _LEAST_SPREAD]
    return sorted({_packed(_signs(tile)) for tile in structured})


def overlap(test: Sequence[str], training: Sequence[str]) -> int:
    """Return how many tiles of a test image are among those of training images, in any of eight orientations."""
    if not test or not training:
        return 0
    known = _numbers(training)
    variants = np.array([_numbers([_packed(one) for one in _orientations(_unpacked(tile))]) for tile in test])
    return sum(_any_near(tile, known) for tile in variants)


def leaked(test: Sequence[str], training: Sequence[str]) -> bool:
    """Tell whether a test image was trained on: `MATCHES_NEEDED` tiles match."""
    return overlap(test, training) >= MATCHES_NEEDED


def _points(gray: NDArray[np.float64]) -> list[tuple[int, int]]:
    """Return (row, column) of the strongest blobs, far enough from the edges for a tile, strongest first."""
    from scipy.ndimage import gaussian_filter, maximum_filter

    response = np.abs(gaussian_filter(gray, 5.0) - gaussian_filter(gray, 10.0))
    peak = (response == maximum_filter(response, 17)) & (response > _LEAST_RESPONSE)
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
    """Return the signs of the lowest frequencies of the tile's type-II DCT, (8, 8)."""
    from scipy.fft import dctn

    lowest: _Signs = dctn(tile, norm="ortho")[:_FREQUENCIES, :_FREQUENCIES] > 0
    lowest[0, 0] = False
    return lowest


def _orientations(signs: _Signs) -> list[_Signs]:
    """Return the signs of the tile in its eight orientations: mirrored frequencies of odd order change sign."""
    odd = np.arange(_FREQUENCIES) % 2 == 1
    down, across = np.broadcast_to(odd[:, None], signs.shape), np.broadcast_to(odd[None, :], signs.shape)
    mirrored = [signs, signs ^ down, signs ^ across, signs ^ down ^ across]
    return [*mirrored, *(one.T for one in mirrored)]


def _packed(signs: _Signs) -> str:
    return np.packbits(signs).tobytes().hex()


def _unpacked(tile: str) -> _Signs:
    bits = np.unpackbits(np.frombuffer(bytes.fromhex(tile), np.uint8))
    return bits.reshape(_FREQUENCIES, _FREQUENCIES).astype(np.bool_)


def _numbers(tiles: Sequence[str]) -> NDArray[np.uint64]:
    return np.array([int(tile, 16) for tile in tiles], np.uint64)


def _any_near(variants: NDArray[np.uint64], known: NDArray[np.uint64]) -> bool:
    return any((_bits_set(known ^ variant) <= MOST_DIFFERENT).any() for variant in variants)


def _bits_set(numbers: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return how many bits of each number are set (Warren, Hacker's Delight, section 5-1)."""
    odd, pairs, nibbles = np.uint64(0x5555555555555555), np.uint64(0x3333333333333333), np.uint64(0x0F0F0F0F0F0F0F0F)
    one, two, four = np.uint64(1), np.uint64(2), np.uint64(4)
    counts = numbers - ((numbers >> one) & odd)
    counts = (counts & pairs) + ((counts >> two) & pairs)
    counts = (counts + (counts >> four)) & nibbles
    sums: NDArray[np.uint64] = (counts * np.uint64(0x0101010101010101)) >> np.uint64(56)
    return sums
