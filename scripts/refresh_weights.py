"""Refresh the files beside trained weights: `python scripts/refresh_weights.py WEIGHTS DATA`.

The script computes the fingerprints of the training images again (after a change of harness/data/contamination.py),
draws absent pictures of curves, and adds licences that a configured data set states. DATA is the name or folder of the
data set that the weights in WEIGHTS were trained on. Cards with other sources are named and left unchanged; the weights
are never changed.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from harness.config.schema import DataConfig, load
from harness.learned.checkpoint import Card, cards, write_card, write_fingerprints
from harness.training.curve import draw
from harness.training.images import read_training_set, training_set_of


def refresh(weights: Path, data: str) -> None:
    """Refresh the cards in a folder whose weights were trained on a data set (its name or folder)."""
    sets = load().data
    images = training_set_of(data, sets[data]) if data in sets else read_training_set(Path(data))
    sources = names(images.sources)
    found = list(cards([weights]))
    others = [(card, path) for card, path in found if names(card.data) != sources]
    for _, path in others:
        print(f"{path.name}: not trained on the images of {data}; left unchanged")
    if len(others) == len(found):
        sys.exit(f"of {len(found)} cards in {weights} none was made from the images of {data}; nothing is written.")
    name = write_fingerprints(images.fingerprints(), weights)
    for card, path in found:
        if (card, path) in others:
            continue
        stated = [licensed(source, sets) for source in card.data]
        write_card(card.model_copy(update={"fingerprints": name, "data": stated}), path.with_suffix(".json"))
        if not path.with_suffix(".png").is_file():
            draw(card.curve, title(card), path.with_suffix(".png"))
    kept = {name, *(card.fingerprints for card, _ in others)}
    for old in weights.glob("*.fingerprints"):
        if old.name not in kept:
            old.unlink()
    print(f"fingerprints: {name}")


def names(sources: Iterable[Mapping[str, Any]]) -> set[str]:
    """Return the names of sources, without the suffix of a file."""
    return {Path(str(source["name"])).stem for source in sources}


def licensed(source: Mapping[str, Any], sets: Mapping[str, DataConfig]) -> Mapping[str, Any]:
    """Return a source; if it has no licence, add the licence of the configured data set that has its file."""
    for name, about in sets.items():
        if source["licence"] == "not stated" and any(Path(file).stem == source["name"] for file in about.files):
            return {**source, "from": name, "licence": about.licence}
    return source


def title(card: Card) -> str:
    """Return the title of the picture of a card's curve."""
    reached = card.validated["ratio"]
    return f"{card.architecture}-{card.recipe_name}-{card.ratio:g}x: {reached:.2f}x on validation images"


if __name__ == "__main__":
    refresh(Path(sys.argv[1]), sys.argv[2])
