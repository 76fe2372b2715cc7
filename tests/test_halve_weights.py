"""Weights that are kept in 16 bits afterwards, with their cards."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from harness.checkpoint import cards, fingerprints, load, write_card
from scripts.halve_weights import halve
from tests.bench_runs import write
from tests.images import packaged_photograph
from tests.tiny_model import tiny_shape, tiny_weights


def test_weights_get_smaller_and_their_card_says_what_they_reach_now(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (pictures := tmp_path / "pictures").mkdir()
    write(pictures / "coffee.png", packaged_photograph("coffee.png")[:120, :160])
    weights = tmp_path / "weights"
    old = tiny_weights(weights, "baseline", tiny_shape(3, lapped=True), tiles=["0" * 30])
    old.with_suffix(".png").touch()
    card, _ = next(cards([weights]))
    write_card(card.model_copy(update={"validation": ["coffee.png"]}), old.with_suffix(".json"))
    before, size = load(card, old), old.stat().st_size
    halve(weights, str(pictures))
    ((card, path),) = cards([weights])
    assert capsys.readouterr().out.startswith(f"{old.name} -> {path.name}: ")
    assert {file.suffix for file in weights.iterdir()} == {".safetensors", ".json", ".png", ".fingerprints"}
    assert path.stat().st_size < 0.6 * size
    assert fingerprints(card, path) == ["0" * 30]
    assert card.validated["psnr"] > 20
    after = load(card, path)
    assert all(np.allclose(array, after[name], rtol=1e-3) for name, array in before.items())
    halve(weights, str(pictures))
    assert path.is_file()
    assert not capsys.readouterr().out


def test_weights_whose_validation_images_are_absent_are_left_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (pictures := tmp_path / "pictures").mkdir()
    write(pictures / "coffee.png", packaged_photograph("coffee.png")[:120, :160])
    old = tiny_weights(tmp_path, "baseline", tiny_shape(3))
    card, _ = next(cards([tmp_path]))
    write_card(card.model_copy(update={"validation": ["scene.tif"]}), old.with_suffix(".json"))
    halve(tmp_path, str(pictures))
    assert "its validation image scene.tif is not in" in capsys.readouterr().out
    assert old.is_file()
