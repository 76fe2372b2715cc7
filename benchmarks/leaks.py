"""How often the leak check raises a false alarm, and what it misses: `python benchmarks/leaks.py`.

Needs HARNESS_DATA with kodak/ and train/. False alarms: photographs that were not trained on, against the tiles that
weights trained on train/ carry, those at half size included (the demo's and Kodak's; and one image of each training
source, at full size, against all other sources). Misses: Kodak's images, changed, against the tiles of the unchanged
ones. What it prints stands in docs/fairness.md.
"""

from __future__ import annotations

import argparse
import io
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import PIL.Image

from harness.config import schema
from harness.data import datasets
from harness.data.contamination import MATCHES_NEEDED, NUMBER, fingerprint, overlap
from harness.data.images import read_image
from harness.interface import Image
from harness.training.images import TrainingSet, read_training_set


def main() -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    training = read_training_set(Path(os.environ["HARNESS_DATA"]) / "train")
    tiles = training.fingerprints()
    print(
        f"{len(training.images)} training images of {len(training.sources)} sources, {len(tiles)} tiles\n", flush=True
    )
    print("| not trained on | images | most tiles alike | false alarms |\n|---|---|---|---|")
    for name, overlaps in alarms(training, tiles):
        false = sum(one >= MATCHES_NEEDED for one in overlaps)
        print(f"| {name} | {len(overlaps)} | {max(overlaps)} | {false} |", flush=True)
    print("\n| trained on, but changed | found |\n|---|---|")
    kodak = images_of("kodak")
    unchanged = [fingerprint(image, 255) for image in kodak]
    for name, change in CHANGES.items():
        found = [overlap(fingerprint(change(image), 255), known) for image, known in zip(kodak, unchanged, strict=True)]
        print(f"| {name} | {sum(one >= MATCHES_NEEDED for one in found)} of {len(found)} |", flush=True)


def images_of(name: str) -> list[Image]:
    """Return the images of a data set."""
    return [read_image(source.path).pixels for source in datasets.from_set(name, schema.load().data_set(name))]


def alarms(training: TrainingSet, tiles: Sequence[str]) -> Iterator[tuple[str, Sequence[int]]]:
    """Yield what was looked for among images that do not hold it, and the tiles that were alike."""
    for name in ("demo", "kodak"):
        yield name, [overlap(fingerprint(image, 255), tiles) for image in images_of(name)]
    by_source: dict[str, dict[int, list[str]]] = {}
    for tile in tiles:
        number = int(tile[NUMBER], 16)  # whole images have even numbers, halves odd ones
        by_source.setdefault(training.images[number // 2].source, {}).setdefault(number, []).append(tile)
    found = []
    for source, images in sorted(by_source.items()):
        others = [tile for other, some in by_source.items() if other != source for one in some.values() for tile in one]
        found.append(overlap(images[min(number for number in images if number % 2 == 0)], others))
    yield "an image of each training source, among all other sources", found


def jpeg(image: Image, quality: int) -> Image:
    """Return an image as a JPEG of a quality decodes."""
    file = io.BytesIO()
    PIL.Image.fromarray(image).save(file, "JPEG", quality=quality)
    return np.asarray(PIL.Image.open(file))


def crop(image: Image, size: int) -> Image:
    """Return a square crop whose corner lies at row 31, column 45."""
    return image[31 : 31 + size, 45 : 45 + size].copy()


def mirrored(image: Image) -> Image:
    """Return an image left to right."""
    return np.ascontiguousarray(image[:, ::-1])


CHANGES: dict[str, Callable[[Image], Image]] = {
    "JPEG of quality 20": lambda image: jpeg(image, 20),
    "a quarter turn": lambda image: np.ascontiguousarray(np.rot90(image)),
    "brighter and flatter": lambda image: (image * 0.8 + 40).astype(np.uint8),
    "crop of 256x256": lambda image: crop(image, 256),
    "crop of 256x256, mirrored, JPEG of quality 75": lambda image: jpeg(mirrored(crop(image, 256)), 75),
    "crop of 192x192, mirrored, JPEG of quality 75": lambda image: jpeg(mirrored(crop(image, 192)), 75),
    "crop of 128x128": lambda image: crop(image, 128),
    "crop of 128x128, mirrored, JPEG of quality 75": lambda image: jpeg(mirrored(crop(image, 128)), 75),
}


if __name__ == "__main__":
    main()
