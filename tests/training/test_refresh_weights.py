"""Fingerprints that are written anew: for the cards of the same images, and for no others."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.data.contamination import leaked
from harness.learned.checkpoint import Card, cards, fingerprints, write_card
from scripts.refresh_weights import refresh
from tests.support.bench_runs import write
from tests.support.images import packaged_photograph
from tests.support.tiny_model import tiny_shape, tiny_weights


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    (folder := tmp_path / "pictures").mkdir()
    write(folder / "coffee.png", packaged_photograph("coffee.png")[:200, :300])
    return folder


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """A folder of weights for 8x and for 16x, all of unnamed images."""
    for ratio in (8, 16):
        tiny_weights(tmp_path / "weights", "baseline", tiny_shape(3), ratio, seed=ratio, tiles=[f"{ratio:030x}"])
    return tmp_path / "weights"


def card_at(ratio: float, weights: Path) -> tuple[Card, Path]:
    return next((card, path) for card, path in cards([weights]) if card.ratio == ratio)


def test_only_the_cards_of_the_same_images_get_new_fingerprints(pictures: Path, weights: Path) -> None:
    card, path = card_at(8, weights)
    write_card(
        card.model_copy(update={"data": [{"name": "coffee", "from": "pictures", "licence": "CC0"}]}),
        path.with_suffix(".json"),
    )
    path.with_suffix(".png").touch()
    other, _ = card_at(16, weights)
    refresh(weights, str(pictures))
    tiles = fingerprints(*card_at(8, weights))
    assert tiles is not None
    assert leaked(tiles, tiles)
    assert card_at(16, weights)[0] == other
    assert fingerprints(*card_at(16, weights)) == [f"{16:030x}"]
    assert len(list(weights.glob("*.fingerprints"))) == 2


def test_nothing_is_written_where_no_card_is_of_these_images(pictures: Path, weights: Path) -> None:
    before = {path: path.read_bytes() for path in weights.iterdir()}
    with pytest.raises(SystemExit, match=r"of 2 cards in .* none was made from the images of"):
        refresh(weights, str(pictures))
    assert {path: path.read_bytes() for path in weights.iterdir()} == before
