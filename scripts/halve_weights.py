"""Keep trained weights in 16 bits: `python scripts/halve_weights.py WEIGHTS DATA`.

`harness train` does so at the end of each training; this is for weights that were trained before. The kernels of each
network in WEIGHTS are rounded where that costs next to nothing on the validation images that its card names, which are
looked for in DATA, a data set or a folder. The card's `validated` is measured anew; its `results` belong to the old
weights and are left out (scripts/card_results.py).
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from harness.checkpoint import Card, cards, fingerprints, load, save
from harness.config import load as configuration
from harness.interface import Image
from harness.models._export import HALF_COST, KERNEL_DIMENSIONS, round_kernels
from harness.registry import build, find
from harness.training import read_training_set, training_set_of


def halve(weights: Path, data: str) -> None:
    """Round the kernels of every card's weights whose validation images lie in a data set or folder."""
    sets = configuration().data
    found = training_set_of(data, sets[data]) if data in sets else read_training_set(Path(data))
    images = {image.name: image.pixels for image in found.images}
    for card, path in list(cards([weights])):
        if absent := [name for name in card.validation if name not in images]:
            print(f"{path.name}: its validation image {absent[0]} is not in {data}; left as it is")
        else:
            _replace(card, path, [images[name] for name in card.validation])


def _replace(card: Card, path: Path, images: Sequence[Image]) -> None:
    """Write weights and their card again, kernels rounded."""
    said = card.model_dump(exclude={"sha256", "fingerprints", "results"})
    arrays, tiles = load(card, path), fingerprints(card, path) or []
    arrays |= {name: array.astype(np.int64) for name, array in arrays.items() if name.startswith("law.net.")}

    def validated() -> Mapping[str, float]:
        with tempfile.TemporaryDirectory() as folder:
            save(arrays, Path(folder), said, tiles)
            return _validated(card, Path(folder), images)

    before = validated()
    kernels = [array for array in arrays.values() if array.ndim == KERNEL_DIMENSIONS and array.dtype == np.float32]
    round_kernels(kernels, lambda: validated()["psnr"], HALF_COST)
    after = validated()
    new = save(arrays, path.parent, {**said, "validated": after}, tiles)
    if new == path:
        return
    path.with_suffix(".png").rename(new.with_suffix(".png"))
    for old in (path, path.with_suffix(".json")):
        old.unlink()
    print(f"{path.name} -> {new.name}: {after['psnr'] - before['psnr']:+.4f} dB, {after['ratio']:.3f}x")


def _validated(card: Card, folder: Path, images: Sequence[Image]) -> Mapping[str, float]:
    """Return ratio and mean PSNR, in dB, of images at step 1 with the weights of a folder."""
    asked: dict[str, Any] = {"ratio": card.ratio, "recipe": card.recipe_name, "weights": str(folder)}
    codec = build(find(card.architecture, asked))
    files = [codec.encode(image, 0) for image in images]
    errors = [codec.decode(data).astype(np.float64) - image for data, image in zip(files, images, strict=True)]
    psnrs = [
        10 * np.log10(np.iinfo(image.dtype).max ** 2 / np.square(error).mean())
        for error, image in zip(errors, images, strict=True)
    ]
    return {"ratio": sum(image.nbytes for image in images) / sum(map(len, files)), "psnr": float(np.mean(psnrs))}


if __name__ == "__main__":
    halve(Path(sys.argv[1]), sys.argv[2])
