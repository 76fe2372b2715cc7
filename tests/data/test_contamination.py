"""The fingerprint finds images that were cropped, flipped, rotated or saved again, and no others."""

from __future__ import annotations

import gzip
import io
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
from numpy.typing import NDArray

from harness.data.contamination import MATCHES_NEEDED, checked, fingerprint, joined, leaked, overlap, verdict
from harness.errors import ConformanceError
from harness.interface import LUMA, Image
from harness.learned.checkpoint import cards, shipped_folder
from harness.training.crops import TrainingImage, halved
from harness.training.images import TrainingSet
from tests.support.images import packaged_photograph

PHOTOGRAPHS = ("astronaut.png", "chelsea.png", "coffee.png", "motorcycle_left.png")


def tiles_of(image: Image) -> list[str]:
    return fingerprint(image, int(np.iinfo(image.dtype).max))


def saved_as_jpeg(image: Image, quality: int) -> Image:
    file = io.BytesIO()
    PIL.Image.fromarray(image).save(file, "JPEG", quality=quality)
    return np.asarray(PIL.Image.open(file))


def crop(image: Image, size: int, row: int = 31, column: int = 45) -> Image:
    return image[row : row + size, column : column + size].copy()


CHANGES: dict[str, Callable[[Image], NDArray[Any]]] = {
    "the image itself": lambda image: image,
    "saved as a good JPEG": lambda image: saved_as_jpeg(image, 90),
    "saved as a bad JPEG": lambda image: saved_as_jpeg(image, 20),
    "mirrored": lambda image: np.ascontiguousarray(image[:, ::-1]),
    "upside down": lambda image: np.ascontiguousarray(image[::-1]),
    "a quarter turn": lambda image: np.ascontiguousarray(np.rot90(image)),
    "a crop": lambda image: crop(image, 256),
    "a crop, mirrored and saved as a JPEG": lambda image: saved_as_jpeg(
        np.ascontiguousarray(crop(image, 256)[:, ::-1]), 75
    ),
    "brighter": lambda image: (image * 0.8 + 40).astype(np.uint8),
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("name", PHOTOGRAPHS)
def test_a_changed_copy_is_found(name: str, change: str) -> None:
    image = packaged_photograph(name)
    assert leaked(tiles_of(CHANGES[change](image)), tiles_of(image))


@pytest.mark.parametrize("name", PHOTOGRAPHS)
def test_another_photograph_is_not_found(name: str) -> None:
    others = [tile for other in PHOTOGRAPHS if other != name for tile in tiles_of(packaged_photograph(other))]
    assert overlap(tiles_of(packaged_photograph(name)), others) <= 1


@pytest.mark.parametrize("value", [0, 128, 255])
def test_a_picture_without_structure_has_no_tiles(value: int) -> None:
    assert tiles_of(np.full((200, 300, 3), value, np.uint8)) == []


def test_a_picture_smaller_than_a_tile_has_no_tiles() -> None:
    assert tiles_of(crop(packaged_photograph(), 63)) == []


def test_gray_and_colour_versions_of_one_picture_match() -> None:
    image = packaged_photograph("astronaut.png")
    gray = np.rint(image @ np.array(LUMA)).astype(np.uint8)[:, :, None]
    assert leaked(tiles_of(gray), tiles_of(image))
    assert leaked(tiles_of(gray.astype(np.uint16) * 257), tiles_of(image))


@pytest.mark.parametrize("sample_bits", [10, 12])
def test_an_image_of_fewer_bits_than_its_file_is_found(sample_bits: int) -> None:
    gray = np.rint(packaged_photograph("astronaut.png") @ np.array(LUMA))[:, :, None]
    peak = 2**sample_bits - 1
    held = np.rint(gray / 255 * peak).astype(np.uint16)
    training = tiles_of(gray.astype(np.uint8))
    assert leaked(fingerprint(held, peak), training)
    assert leaked(training, TrainingSet([TrainingImage("one", "one", held, True, sample_bits)], []).fingerprints())


def test_few_matching_tiles_are_no_contamination() -> None:
    tiles = tiles_of(packaged_photograph("coffee.png"))
    assert overlap(tiles[:2], tiles) == 2 < MATCHES_NEEDED
    assert not leaked(tiles[:2], tiles)


def test_tiles_of_different_images_do_not_count_together() -> None:
    tiles = tiles_of(packaged_photograph("coffee.png"))
    scattered = [tile[:16] + f"{number:06x}" + tile[22:] for number, tile in enumerate(tiles)]
    assert overlap(tiles, scattered) == 1


def test_tiles_that_are_moved_differently_do_not_count_together() -> None:
    tiles = tiles_of(packaged_photograph("coffee.png"))
    elsewhere = [tile[:22] + f"{40 * number:04x}0000" for number, tile in enumerate(tiles)]
    assert overlap(tiles, tiles) == len(tiles)
    assert not leaked(tiles[:20], elsewhere[:20])


def test_a_verdict_is_leaked_or_clean_where_there_are_tiles_enough() -> None:
    tiles = tiles_of(packaged_photograph("coffee.png"))
    assert verdict(tiles, tiles) == "leaked"
    assert verdict(tiles, tiles_of(packaged_photograph("chelsea.png"))) == "clean"


@pytest.mark.parametrize("test", ["flat", "smaller than a tile", "two tiles"])
def test_an_image_of_too_few_tiles_is_unknown_even_among_its_own(test: str) -> None:
    tiles = tiles_of(packaged_photograph("coffee.png"))
    few = {
        "flat": tiles_of(np.full((200, 300, 3), 128, np.uint8)),
        "smaller than a tile": tiles_of(crop(packaged_photograph("coffee.png"), 63)),
        "two tiles": tiles[: MATCHES_NEEDED - 1],
    }
    assert verdict(few[test], tiles) == "unknown"


@pytest.mark.parametrize("training", ["no image", "images of one tile each"])
def test_training_images_of_too_few_tiles_leave_a_test_image_unknown(training: str) -> None:
    tiles = tiles_of(packaged_photograph("coffee.png"))
    scattered = [tile[:16] + f"{number:06x}" + tile[22:] for number, tile in enumerate(tiles)]
    assert verdict(tiles, {"no image": [], "images of one tile each": scattered}[training]) == "unknown"


def test_tiles_are_what_they_are_checked_for() -> None:
    tiles = tiles_of(packaged_photograph("coffee.png"))
    assert checked(tiles) == tuple(tiles)


@pytest.mark.parametrize("wrong", ["", "0" * 29, "0" * 31, "g" * 30, "F" * 30])
def test_what_is_no_tile_is_refused(wrong: str) -> None:
    with pytest.raises(ConformanceError, match=f"of {len(wrong)} characters; each is 30"):
        checked(["0" * 30, wrong])


def test_nothing_overlaps_with_nothing() -> None:
    tiles = tiles_of(packaged_photograph("coffee.png"))
    assert overlap([], tiles) == 0
    assert overlap(tiles, []) == 0


def read(path: Path) -> Image:
    with PIL.Image.open(path) as picture:
        return np.asarray(picture.convert("RGB"))


def test_a_crop_of_a_half_size_copy_is_found_because_training_sees_halves() -> None:
    whole = TrainingImage("coffee", "coffee", packaged_photograph("coffee.png"), lossless=True, sample_bits=8)
    tiles = TrainingSet([whole], []).fingerprints()
    assert leaked(tiles_of(crop(halved(whole).pixels, 160)), tiles)
    assert leaked(tiles_of(whole.pixels), tiles)


@pytest.mark.slow
@pytest.mark.parametrize("tiles", sorted(shipped_folder().glob("*.fingerprints")), ids=lambda path: path.stem)
def test_no_kodak_image_counts_as_one_of_the_images_that_shipped_weights_were_trained_on(
    tiles: Path, harness_data: Path
) -> None:
    training = shipped_tiles(tiles)
    test_images = sorted((harness_data / "kodak").glob("*.png"))
    assert [path.name for path in test_images if leaked(tiles_of(read(path)), training)] == []


@pytest.mark.slow
def test_shipped_fingerprints_find_a_crop_of_an_image_that_was_trained_on(harness_data: Path) -> None:
    original = min((harness_data / "train" / "originals").rglob("*.png"), default=None)
    if original is None:
        pytest.skip(f"{harness_data} holds no training originals")
    crops = [saved_as_jpeg(crop(read(original), 256, 300, column), 75) for column in (200, 700, 1200)]
    found = {(card.architecture, card.recipe_name): card for card, _ in cards([shipped_folder()])}
    card = found["baseline", "rate"]
    training = shipped_tiles(shipped_folder() / card.fingerprints)
    assert any(leaked(tiles_of(one), training) for one in crops)


@cache
def shipped_tiles(path: Path) -> tuple[str, ...]:
    return tuple(gzip.decompress(path.read_bytes()).decode().split()[1:])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "least"),
    [("saved as a bad JPEG", 24), ("a quarter turn", 24), ("a crop", 24), ("a crop, mirrored and saved as a JPEG", 23)],
)
def test_changed_kodak_images_are_found(change: str, least: int, harness_data: Path) -> None:
    paths = sorted((harness_data / "kodak").glob("*.png"))
    images = [read(path) for path in paths]
    found = [leaked(tiles_of(CHANGES[change](image)), tiles_of(image)) for image in images]
    assert sum(found) >= least


def test_joined_training_sets_keep_their_images_apart_and_none_twice() -> None:
    first, second, third = (packaged_photograph(name) for name in ("astronaut.png", "chelsea.png", "coffee.png"))
    ours = sorted([*fingerprint(first, 255, 0), *fingerprint(second, 255, 1)])
    theirs = sorted([*fingerprint(second, 255, 0), *fingerprint(third, 255, 1)])
    whole = sorted([*ours, *fingerprint(third, 255, 2)])
    assert joined(ours, theirs) == whole
    assert joined(ours, ours) == joined(ours, []) == joined([], ours) == ours
