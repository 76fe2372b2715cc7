"""Write again what stands beside trained weights: `python scripts/refresh_weights.py WEIGHTS DATA`.

Makes the fingerprints of the training images anew, for when harness/leaks.py changed, and the picture of each
card's curve where it is absent. DATA is the folder that the weights of WEIGHTS were trained on: a card whose sources
are not those of the folder is left alone and named. The weights are not touched.
"""

from __future__ import annotations

import sys
from pathlib import Path

from harness.models._checkpoint import Card, cards, write_card, write_fingerprints
from harness.models._curve import draw
from harness.training import read_training_set


def refresh(weights: Path, data: Path) -> None:
    """Refresh every card of a folder that was made from the images of another."""
    images = read_training_set(data)
    sources = {str(source["name"]) for source in images.sources}
    name = write_fingerprints(images.fingerprints(), weights)
    kept = {name}
    for card, path in list(cards([weights])):
        if {str(source["name"]) for source in card.data} != sources:
            print(f"{path.name}: trained on other images than those of {data}; left as it is")
            kept.add(card.fingerprints)
            continue
        write_card(card.model_copy(update={"fingerprints": name}), path.with_suffix(".json"))
        if not path.with_suffix(".png").is_file():
            draw(card.curve, title(card), path.with_suffix(".png"))
    for old in weights.glob("*.fingerprints"):
        if old.name not in kept:
            old.unlink()
    print(f"fingerprints: {name}")


def title(card: Card) -> str:
    """Return what stands above the picture of a card's curve."""
    reached = card.validated["ratio"]
    return f"{card.architecture}-{card.recipe_name}-{card.ratio:g}x: {reached:.2f}x on validation images"


if __name__ == "__main__":
    refresh(Path(sys.argv[1]), Path(sys.argv[2]))
