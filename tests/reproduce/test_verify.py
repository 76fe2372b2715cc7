"""The self-check: passes on what is right, fails on what is wrong, and says what it could not check."""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from harness.analysis.bd_rate import Curve
from harness.config.schema import load
from harness.reproduce import oracles
from harness.reproduce.oracles import Check, run_oracles
from harness.reproduce.verify import Extent, _zoo, run_checks
from tests.reproduce.test_figures import data_table, pillow_means
from tests.support.command import Ended, run
from tests.support.images import packaged_photograph, psnr

LISTED = ("pass", "fail", "not possible here")


def by_name(checks: list[Check]) -> dict[str, Check]:
    return {check.name: check for check in checks}


@pytest.fixture
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No data but what packages carry."""
    monkeypatch.delenv("HARNESS_DATA", raising=False)
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))


@pytest.mark.usefixtures("nowhere")
def test_the_oracles_pass_wherever_they_can_be_checked() -> None:
    checks = by_name(list(run_oracles(load())))
    states = {name: check.state for name, check in checks.items()}
    assert states.pop("BD-rate, Minnen 2018 against Balle 2018") == "not possible here"
    assert len(states) == 5
    assert set(states.values()) == {"pass"}, checks


@pytest.mark.usefixtures("nowhere")
def test_an_oracle_that_does_not_hold_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    anchor, test = oracles.BD_EXAMPLE
    longer = Curve(tuple(1.01 * rate for rate in test.rates), test.qualities)
    monkeypatch.setattr(oracles, "BD_EXAMPLE", (anchor, longer))
    monkeypatch.setattr(oracles, "SSIMULACRA2", {"chelsea": {50: 70.0}})
    states = {check.name: check.state for check in run_oracles(load())}
    assert states["BD-rate, bjontegaard's example"] == "fail"
    assert states["SSIMULACRA2 of chelsea after JPEG, as libjxl's program"] == "fail"


# The whole of it, on two small crops that stand for Kodak.


def figure_toml(name: str, metric: str, shift: float) -> str:
    """Return a recipe of one curve, JPEG at quality 50, whose published value is off by `shift`."""
    return (
        f'[figures.{name}]\ndescription = "crops"\nkind = "curves"\ndata = "crops"\nmetrics = ["{metric}"]\n'
        f'codecs = ["jpeg-420-pillow"]\nimages = 2\n[[figures.{name}.curves]]\nlabel = "JPEG {shift:+g}"\n'
        f'source = "Pillow"\ndata = "theirs"\nfile = "jpeg{shift:+g}.json"\ncodec = "jpeg-420-pillow"\n'
        f"settings = [50]\ntolerance = 0.05\n"
    )


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with crops, what Pillow makes of them as published, right and wrong, and one damaged data set."""
    import PIL.Image

    folder = tmp_path_factory.mktemp("desk")
    crops, theirs, damaged = (folder / name for name in ("crops", "theirs", "damaged"))
    for each in (crops, theirs, damaged):
        each.mkdir()
    for number in range(2):
        crop = packaged_photograph()[60 + 40 * number : 236 + 40 * number, 130:306]
        PIL.Image.fromarray(crop).save(crops / f"crop{number}.png")
    bpp, value = pillow_means(sorted(crops.iterdir()), 50)
    for shift in (0, 0.1):
        (theirs / f"jpeg{shift:+g}.json").write_text(json.dumps({"bpp": [bpp], "psnr": [value + shift]}))
    shutil.copy(crops / "crop0.png", damaged)
    tables = [data_table(each.name, each, sorted(path.name for path in each.iterdir())) for each in (crops, theirs)]
    digest = hashlib.sha256(b"something else").hexdigest()
    tables.append('[data.damaged]\ndescription = "d"\nlicence = "l"\nmirror = "damaged"\n[data.damaged.files]\n')
    tables[-1] += f'"crop0.png" = "{digest}"\n'
    figures = figure_toml("kodak-psnr", "psnr", 0) + figure_toml("kodak-msssim", "psnr", 0.1)
    (folder / "mine.toml").write_text("\n".join(tables) + figures)
    return folder


@pytest.fixture(scope="module")
def ended(desk: Path) -> Ended:
    options = ("--config", desk / "mine.toml", "verify", "--quick", "--jobs", "1")
    return run(*options, HARNESS_DATA=str(desk), HARNESS_CACHE=str(desk / "cache"))


def line_of(ended: Ended, name: str) -> str:
    """Return the state of a check in the output."""
    lines = [line for line in ended.out.splitlines() if f"  {name}: " in line]
    assert len(lines) == 1, ended.out
    return lines[0]


@pytest.mark.parametrize(
    ("name", "state"),
    [
        ("data demo", "pass"),
        ("data crops", "pass"),
        ("data damaged", "fail"),
        ("data kodak", "not possible here"),
        ("BD-rate, bjontegaard's example", "pass"),
        ("lossless control", "pass"),
        ("JPEG +0 on crops, psnr, against Pillow", "pass"),
        ("JPEG +0.1 on crops, psnr, against Pillow", "fail"),
        ("mbt2018, quality 5, on crops, psnr, against CompressAI", "not possible here"),
    ],
)
def test_a_check_says_in_one_line_what_it_found(ended: Ended, name: str, state: str) -> None:
    assert line_of(ended, name).startswith(f"{state} ")


def test_a_line_names_versions_and_tolerances(ended: Ended) -> None:
    line = line_of(ended, "JPEG +0.1 on crops, psnr, against Pillow")
    assert "-0.100 dB (0.05 dB allowed)" in line
    assert "+0.00 % bits per pixel (1 % allowed)" in line
    assert "pillow 1" in line.lower()


def test_a_failed_check_ends_with_status_1_and_a_count(ended: Ended) -> None:
    assert ended.status == 1
    states = [next(state for state in LISTED if line.startswith(state)) for line in ended.out.splitlines()[:-1]]
    counts = ", ".join(f"{states.count(state)} {state}" for state in LISTED)
    assert ended.out.splitlines()[-1] == counts


LEARNED = """
from typing import Any, ClassVar
import numpy as np
from harness.interface import Image, LearnedCodec, Setting

class Planes(LearnedCodec):
    name: ClassVar[str] = "planes"
    formats: ClassVar[tuple[str, ...]] = ("rgb8",)

    def __init__(self, ratio: float = 16, quality: int = 8) -> None:
        self.step = 16 // quality * quality

    @property
    def ladder(self) -> range:
        return range(0, 2)

    def encode(self, image: Image, setting: Setting) -> bytes:
        return bytes(image.shape[:2]) + (image // self.step).tobytes()

    def decode(self, data: bytes) -> Image:
        samples = np.frombuffer(data[2:], np.uint8).reshape(data[0], data[1], 3)
        return np.ascontiguousarray(samples * np.uint8(self.step))

    def provenance(self) -> dict[str, Any]:
        return {"step": self.step}

    def missing(self) -> str | None:
        return None

    def training_fingerprints(self) -> None:
        return None

    def estimated_bits(self, image: Image, setting: Setting) -> None:
        return None
"""
"""A codec with the keywords of CompressAI's, whose step is 15 at quality 5."""


@pytest.mark.parametrize(("shift", "state"), [(0.0, "pass"), (0.1, "fail")])
@pytest.mark.usefixtures("nowhere")
def test_a_published_model_whose_weights_are_here_is_measured_at_the_quality_that_is_checked(
    shift: float, state: str, desk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import numpy as np
    import PIL.Image

    monkeypatch.setenv("HARNESS_DATA", str(tmp_path))
    shutil.copytree(desk / "crops", tmp_path / "crops")
    crops = [np.asarray(PIL.Image.open(path)) for path in sorted((desk / "crops").iterdir())]
    mean = np.mean([psnr(crop, (crop // 15 * 15).astype(np.uint8)) for crop in crops])
    bpp = np.mean([8 * (2 + crop.size) / crop[:, :, 0].size for crop in crops])
    folder = tmp_path / "published-compressai"
    theirs = folder / "8bit-decoded/kodak/compressai-planes_mse_ans_cuda.json"
    theirs.parent.mkdir(parents=True)
    theirs.write_text(json.dumps({"results": {"bpp": [0.1] * 4 + [bpp], "psnr-rgb": [20.0] * 4 + [mean + shift]}}))
    table = data_table("published-compressai", folder, [theirs.relative_to(folder).as_posix()])
    (tmp_path / "mine.toml").write_text((desk / "mine.toml").read_text() + table)
    (tmp_path / "planes.py").write_text(LEARNED)
    config = load(tmp_path / "mine.toml", [tmp_path / "planes.py"])
    check = _zoo(config, "planes", Extent(jobs=1), tmp_path / "results")
    assert check.state == state, check
    assert "at worst +0.00 % bits per pixel" in check.detail


@pytest.mark.usefixtures("nowhere")
def test_over_fewer_images_than_published_nothing_is_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    config = load()
    published = {name: about for name, about in config.data.items() if name.startswith("published-")}
    config = config.model_copy(update={"data": published})
    monkeypatch.setattr("harness.reproduce.verify._lossless_control", lambda *_: Check("lossless control", "pass", ""))
    checks = by_name(list(run_checks(config, replace(Extent(), limit=2))))
    found = checks["WebP on kodak, psnr, against CompressAI"]
    assert found.state == "not possible here"
    assert found.detail == "2 images were asked for, the published means are over 24"


@pytest.mark.slow
def test_on_the_data_at_hand_nothing_fails(harness_data: Path, tmp_path: Path) -> None:
    ended = run("verify", "--quick", HARNESS_DATA=str(harness_data), HARNESS_CACHE=str(tmp_path), timeout=900)
    assert ended.status == 0, ended.out
    for codec in ("JPEG", "WebP"):
        assert line_of(ended, f"{codec} on kodak, psnr, against CompressAI").startswith("pass ")
