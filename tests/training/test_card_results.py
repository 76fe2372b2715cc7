"""What trained weights reached, in their cards: the numbers of a real run, for the weights that it measured."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.learned.checkpoint import Card, cards
from scripts.card_results import main
from tests.support.bench_runs import BenchRun, crops
from tests.support.command import Ended, run
from tests.support.tiny_model import tiny_shape, tiny_weights


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of weights for 8x and for 16x, and a run that measured those for 8x."""
    folder = tmp_path_factory.mktemp("desk")
    for ratio in (8, 16):
        tiny_weights(folder / "weights", "baseline", tiny_shape(3, lapped=True), ratio, seed=ratio)
    (config := folder / "small.toml").write_text(
        '[suites.small]\ndescription = "small"\ndata = "demo"\nmetrics = ["psnr"]\n'
    )
    ended = run(
        *("--config", config, "bench", "--suite", "small", "--images", crops(folder / "images")),
        *("--codecs", "baseline,jpeg-444", "--ratios", "8", "--protocol", "both", "--results", folder / "results"),
        HARNESS_WEIGHTS=str(folder / "weights"),
    )
    assert ended.status == 0, ended.err
    return folder


def card_at(ratio: float, weights: Path) -> Card:
    return next(card for card, _ in cards([weights]) if card.ratio == ratio)


def test_the_card_of_measured_weights_holds_the_means_of_the_run_and_other_cards_stay(desk: Path) -> None:
    run = next((desk / "results").glob("*/manifest.json")).parent
    main(desk / "weights", [run])
    table = BenchRun(Ended(0, "", ""), run).frame
    at_ratio = table[table["protocol"] == "ratio"]
    found = card_at(8, desk / "weights").results["images"]
    assert found["ratio"]["images"] == at_ratio["image"].nunique()
    assert set(found["ratio"]["psnr"]) == set(at_ratio["codec"])
    for codec, value in found["ratio"]["psnr"].items():
        rows = at_ratio[at_ratio["codec"] == codec]
        if isinstance(value, str):
            assert (rows["status"] != "reached").any()
        else:
            assert value == pytest.approx(rows["psnr"].mean(), abs=1e-3)
    swept = table[(table["protocol"] == "sweep") & (table["codec"] == "baseline")]
    assert {point["setting"] for point in found["sweep"]} == set(swept["setting"])
    for point in found["sweep"]:
        rows = swept[swept["setting"] == point["setting"]]
        assert (point["images"], point["bpp"]) == (len(rows), pytest.approx(rows["bpp"].mean(), abs=1e-4))
    assert card_at(16, desk / "weights").results == {}


def test_a_run_that_measured_none_of_the_weights_changes_nothing(desk: Path, tmp_path: Path) -> None:
    tiny_weights(tmp_path, "baseline", tiny_shape(3), 8, seed=1)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    run = next((desk / "results").glob("*/manifest.json")).parent
    with pytest.raises(SystemExit, match="measured none of the weights"):
        main(tmp_path, [run])
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before
