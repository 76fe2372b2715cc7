"""How often the leak check raises a false alarm, and what it misses: `python benchmarks/leaks.py`.

Needs HARNESS_DATA with kodak/ and train/. False alarms: photographs that were not trained on, against the tiles of the
training images (the demo's and Kodak's; and an image of each training source, against all other sources). Misses:
Kodak's images, changed, against the tiles of the unchanged ones.
"""

from __future__ import annotations

import argparse
import io
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import PIL.Image

from harness import config, datasets
from harness.images import read_image
from harness.interface import Image
from harness.leaks import MATCHES_NEEDED, fingerprint, overlap
from harness.training import read_training_set


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sources", type=int, default=80, help="how many training sources are held against the others")
    sources = parser.parse_args().sources
    print("| not trained on | images | most tiles alike | false alarms |\n|---|---|---|---|")
    for name, overlaps in alarms(sources):
        false = sum(one >= MATCHES_NEEDED for one in overlaps)
        print(f"| {name} | {len(overlaps)} | {max(overlaps)} | {false} |", flush=True)
    print("\n| trained on, but changed | found |\n|---|---|")
    kodak = images_of("kodak")
    tiles = [fingerprint(image, 255) for image in kodak]
    for name, change in CHANGES.items():
        found = [overlap(fingerprint(change(image), 255), known) for image, known in zip(kodak, tiles, strict=True)]
        print(f"| {name} | {sum(one >= MATCHES_NEEDED for one in found)} of {len(found)} |", flush=True)


def images_of(name: str) -> list[Image]:
    """Return the images of a data set."""
    return [read_image(source.path).pixels for source in datasets.from_set(name, config.load().data_set(name))]


def alarms(most_sources: int) -> Iterator[tuple[str, Sequence[int]]]:
    """Yield what was looked for among images that do not hold it, and the tiles that were alike."""
    training = read_training_set(Path(os.environ["HARNESS_DATA"]) / "train")
    tiles = [fingerprint(image.pixels, image.peak, number) for number, image in enumerate(training.images)]
    everything = [tile for some in tiles for tile in some]
    for name in ("demo", "kodak"):
        yield name, [overlap(fingerprint(image, 255), everything) for image in images_of(name)]
    sources = [image.source for image in training.images]
    found = []
    for source in sorted(set(sources))[:most_sources]:
        others = [tile for some, one in zip(tiles, sources, strict=True) if one != source for tile in some]
        found.append(overlap(tiles[sources.index(source)], others))
    yield "a training source, among the others", found


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
