"""Radar images: what a sample stands for, the scenes made here, ENL and EPI, and the suites and trainings of both."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from PIL import Image as Pillow

from harness.config import schema
from harness.config.radar import RadarScale, SceneTable
from harness.data import contamination, datasets
from harness.data.images import pixels_sha256, read_image, to_file
from harness.data.radar_scenes import scene, speckle
from harness.errors import ConfigError, DataError
from harness.interface import Image
from harness.metrics import table
from harness.records.record import read_frame
from harness.training.session import TrainingSession
from tests.support.command import complaint, run
from tests.support.images import packaged_photograph
from tests.support.tiny_model import tiny_shape, tiny_weights

DECIBELS = RadarScale(scale="decibels", low=-30, high=5, looks=4)
SMALL = SceneTable(seed=7, side=128, bits=8, blur=1.0)


def rounded(values: NDArray[np.float64], bits: int) -> Image:
    """Return samples of 8 or 16 bits."""
    return np.rint(values).astype(np.uint8) if bits == 8 else np.rint(values).astype(np.uint16)


@pytest.mark.parametrize(
    ("scale", "sample", "peak", "expected"),
    [
        (DECIBELS, 0, 255, 1e-3),
        (DECIBELS, 255, 255, 10**0.5),
        (DECIBELS, 51, 255, 10**-2.3),
        (DECIBELS, 13107, 65535, 10**-2.3),
        (RadarScale(scale="amplitude"), 12, 255, 144),
        (RadarScale(scale="intensity"), 12, 255, 12),
    ],
)
def test_intensity_of_a_sample_is_that_worked_by_hand(
    scale: RadarScale, sample: int, peak: int, expected: float
) -> None:
    assert scale.intensity(np.array([sample], np.uint16), peak)[0] == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("bits", [8, 16])
def test_every_sample_comes_back_from_its_intensity(bits: int) -> None:
    samples = rounded(np.arange(2.0**bits), bits)
    assert np.array_equal(DECIBELS.samples(DECIBELS.intensity(samples, 2**bits - 1), bits), samples)


def test_intensities_beyond_the_limits_are_clipped() -> None:
    assert DECIBELS.samples(np.array([1e-9, 1e9]), 8).tolist() == [0, 255]


@pytest.mark.parametrize(
    ("radar", "generator", "message"),
    [
        ('{ scale = "decibels" }', "", "needs low and high"),
        ('{ scale = "decibels", low = 5, high = -30 }', "", "low below high"),
        ('{ scale = "amplitude", low = 5 }', "", "are only for scale"),
        ('{ scale = "power" }', "", "data.mine.radar.scale"),
        ('{ scale = "intensity" }', "{ seed = 1, side = 64, bits = 8 }", "a generator needs radar"),
        ('{ scale = "decibels", low = 0, high = 1, looks = 4 }', "{ seed = 1, side = 64, bits = 12 }", "bits"),
    ],
)
def test_a_wrong_radar_table_is_refused_with_its_key(radar: str, generator: str, message: str, tmp_path: Path) -> None:
    lines = ["[data.mine]", 'description = "mine"', 'licence = "none"', "files = {}", f"radar = {radar}"]
    lines += [f"generator = {generator}"] if generator else []
    (tmp_path / "mine.toml").write_text("\n".join(lines))
    with pytest.raises(ConfigError, match=message):
        schema.load(tmp_path / "mine.toml")


@pytest.mark.parametrize("looks", [1, 4])
def test_speckle_follows_the_gamma_entropy_model_of_its_looks(looks: int) -> None:
    from scipy.stats import kstest

    power = speckle(np.random.default_rng(looks), 128, looks, 0.0)
    assert kstest(power.ravel(), "gamma", args=(looks, 0, 1 / looks)).pvalue > 0.01


@pytest.mark.parametrize("looks", [1, 4, 16])
def test_blurred_speckle_keeps_its_looks_and_joins_neighbours(looks: int) -> None:
    power = speckle(np.random.default_rng(looks), 512, looks, 1.0)
    assert power.mean() == pytest.approx(1, rel=0.02)
    assert power.mean() ** 2 / power.var() == pytest.approx(looks, rel=0.05)
    neighbours = float(np.corrcoef(power[:, 1:].ravel(), power[:, :-1].ravel())[0, 1])
    assert neighbours == pytest.approx(np.exp(-1 / 2), abs=0.03)  # of power: the square of exp(-d^2 / 4 blur^2)


def test_the_scenes_of_the_suite_are_those_of_their_hashes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path))
    data = schema.load().data
    assert datasets.state("sar", data["sar"]) == "made when it is first used"
    sources = datasets.from_set("sar", data["sar"])
    images = [read_image(source.path) for source in sources]
    assert {image.pixels.shape for image in images} == {(256, 256, 1)}
    assert len({image.fingerprint for image in images}) == len(sources) == 16
    assert {source.radar for source in sources} == {DECIBELS}
    assert datasets.state("sar", data["sar"]) == "complete"
    deep = read_image(datasets.file_of("sar16", data["sar16"], "scene-00.tif"))
    assert deep.peak == 65535
    assert np.array_equal(np.rint(deep.pixels / 257), images[0].pixels)


def test_the_chip_is_one_16_bit_image_with_homogeneous_windows(
    harness_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HARNESS_DATA", str(harness_data))
    (source,) = datasets.from_set("sar-chip", schema.load().data["sar-chip"])
    image = read_image(source.path, source.name)
    assert (image.pixels.shape, image.peak) == ((256, 256, 1), 65535)
    assert table.measure(image.pixels, image.pixels, 65535, ["enl_ratio"], radar=source.radar) == {"enl_ratio": 1.0}


def test_training_scenes_and_test_scenes_have_no_seed_in_common() -> None:
    tables = {name: data.generator for name, data in schema.load().data.items() if data.generator}
    assert tables["sar-train"].seed not in {tables["sar"].seed, tables["sar16"].seed}


def fingerprint_of(source: datasets.ImageSource) -> list[str]:
    read = read_image(source.path, source.name, source.sample_bits)
    return contamination.fingerprint(read.pixels, read.peak)


@pytest.mark.slow
def test_no_test_scene_passes_for_a_training_scene() -> None:
    data = schema.load().data
    tests, training = (
        [fingerprint_of(source) for source in datasets.from_set(name, data[name])] for name in ("sar", "sar-train")
    )
    every = sorted({tile for tiles in training for tile in tiles})
    assert max(contamination.overlap(tiles, every) for tiles in tests) < contamination.MATCHES_NEEDED
    assert contamination.leaked(training[0], every)


def made_set(folder: Path, seed: int = 7) -> Path:
    """Write a configuration with a set of three small scenes, hashed with seed 7, and a suite of it."""
    lines = []
    for number in range(3):
        lines.append(f'"{number}.tif" = "{pixels_sha256(scene(SMALL, DECIBELS, number))}"')
    path = folder / "mine.toml"
    path.write_text(
        f"""
[data.mine]
description = "three scenes"
licence = "none needed"
radar = {{ scale = "decibels", low = -30, high = 5, looks = 4 }}
generator = {{ seed = {seed}, side = 128, bits = 8, blur = 1.0 }}
[data.mine.files]
{chr(10).join(lines)}
[suites.mine]
description = "three scenes"
data = "mine"
metrics = ["psnr", "enl_ratio", "epi"]
[suites.own]
description = "the user's own, in amplitude"
data = "mine"
metrics = ["psnr", "enl_ratio", "epi"]
images_radar = {{ scale = "amplitude", looks = 4 }}
[recipes.rate]
data = "mine"
loss = "rate"
steps = 2
entropy_steps = 2
crop = 32
batch = 2
validation_images = 1
[recipes.rate.shapes.baseline]
image_channels = 1
base_channels = 16
latent_channels = 64
stages = 3
activation = "gdn"
final = "none"
start = "lapped"
margin = 1
"""
    )
    return path


def test_a_table_that_is_not_that_of_its_hashes_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
    loaded = schema.load(made_set(tmp_path, seed=8))
    with pytest.raises(DataError, match=r"0\.tif of the data set 'mine' have sha256"):
        datasets.from_set("mine", loaded.data["mine"])
    assert not list((tmp_path / "cache").rglob("*.tif"))


def test_a_scene_is_held_to_its_pixels_however_its_file_was_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
    data = schema.load(made_set(tmp_path)).data["mine"]
    path = datasets.file_of("mine", data, "0.tif")
    before = path.read_bytes()
    Pillow.open(path).save(path, compression="tiff_deflate")
    assert path.read_bytes() != before
    assert datasets.file_of("mine", data, "0.tif") == path
    assert datasets.fetch("mine", data)[0] == path
    Pillow.open(datasets.file_of("mine", data, "1.tif")).save(path)
    with pytest.raises(DataError, match=r"0\.tif of the data set 'mine' has sha256 .* Remove it"):
        datasets.file_of("mine", data, "0.tif")
    path.write_bytes(before[:100])
    with pytest.raises(DataError, match=r"0\.tif is .* Remove it"):
        datasets.file_of("mine", data, "0.tif")


def test_a_recipe_trains_on_the_data_set_that_it_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("HARNESS_DATA", raising=False)
    session = TrainingSession(schema.load(made_set(tmp_path)), folder=tmp_path, machines={"accelerator": "cpu"})
    (job,) = session.jobs([session.config.codec_spec("baseline").at_ratio(8)])
    assert session.has_images(job)
    session.train(job, bar=False)
    (card,) = [json.loads(path.read_text()) for path in tmp_path.glob("*.json")]
    assert [(source["name"], source["from"]) for source in card["data"]] == [(f"{n}", "mine") for n in range(3)]
    assert card["shape"]["image_channels"] == 1
    assert card["validated"]["ratio"] == pytest.approx(8, rel=0.03)


def test_a_named_folder_or_set_goes_before_the_recipe_s(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
    (tmp_path / "photos").mkdir()
    to_file(packaged_photograph()[:64, :64].copy(), tmp_path / "photos" / "one.png")
    loaded = schema.load(made_set(tmp_path))
    for data, names in ((str(tmp_path / "photos"), ["one.png"]), ("demo", list(loaded.data["demo"].files))):
        session = TrainingSession(loaded, data)
        (job,) = session.jobs([loaded.codec_spec("baseline").at_ratio(8)])
        assert [image.name for image in session.images(job).images] == names


def looped_enl_ratio(before: Image, after: Image, scale: RadarScale, peak: int) -> float:
    """ENL ratio by plain loops over windows, in decibels by the textbook's formula."""
    squared: list[tuple[float, float]] = []
    for top in range(before.shape[0] - 14):
        for left in range(before.shape[1] - 14):
            both = []
            for image in (before, after):
                window = image[top : top + 15, left : left + 15, 0].astype(float)
                power = 10 ** ((scale.decibels[0] + window / peak * (scale.decibels[1] - scale.decibels[0])) / 10)
                both.append(float((np.std(power) / np.mean(power)) ** 2))
            squared.append((both[0], both[1]))
    looks = scale.looks or np.inf
    kept = [pair for pair in squared if (pair[0] - 1 / looks) / (1 + 1 / looks) < 0.3**2]
    first, second = np.mean(kept, axis=0)
    return float(first / second)


@pytest.mark.parametrize("bits", [8, 16])
def test_enl_ratio_of_decibels_agrees_with_plain_loops(bits: int) -> None:
    peak = 2**bits - 1
    before = scene(SMALL.model_copy(update={"bits": bits}), DECIBELS, 0)
    rng = np.random.default_rng(0)
    after = rounded(np.clip(before + rng.normal(0, peak / 20, before.shape), 0, peak), bits)
    found = table.METRICS["enl_ratio"](before, after, peak, DECIBELS)
    assert found == pytest.approx(looped_enl_ratio(before, after, DECIBELS, peak), rel=1e-9)


def test_enl_ratio_of_a_board_in_decibels_is_that_worked_by_hand() -> None:
    # Levels 204 and 255 of 255 are -2 and 5 dB - a factor of 5.01 - where they were 204 and 213: -2 and -0.765 dB.
    # A window holds 112 or 113 of each; C = (p - q) / (p + q) up to that one pixel: 0.1412 and 0.6673.
    board = np.indices((60, 60)).sum(0)[..., None] % 2
    before, after = (np.where(board, 204, level).astype(np.uint8) for level in (213, 255))
    scale = RadarScale(scale="decibels", low=-30, high=5)
    ratio = table.METRICS["enl_ratio"](before, after, 255, scale)
    first, second = (((10 ** (gap / 10) - 1) / (10 ** (gap / 10) + 1)) ** 2 for gap in (9 * 35 / 255, 7.0))
    assert ratio == pytest.approx(first / second, rel=0.01)


def test_enl_counts_the_speckle_of_declared_looks_as_homogeneous() -> None:
    ground = DECIBELS.samples(0.1 * speckle(np.random.default_rng(5), 128, 4, 0.0), 16)[..., None]
    smooth = DECIBELS.samples(0.1 * speckle(np.random.default_rng(6), 128, 12, 0.0), 16)[..., None]
    found = table.measure(ground, smooth, 65535, ["enl_ratio"], radar=DECIBELS)["enl_ratio"]
    assert found == pytest.approx(3, rel=0.1)
    undeclared = DECIBELS.model_copy(update={"looks": None})
    assert table.measure(ground, smooth, 65535, ["enl_ratio"], radar=undeclared) == {"enl_ratio": None}


def test_enl_and_epi_apply_to_gray_alone_and_enl_to_a_declared_scale() -> None:
    gray, colour = packaged_photograph()[:64, :64, :1].copy(), packaged_photograph()[:64, :64].copy()
    assert table.measure(colour, colour, 255, ["enl_ratio", "epi"], radar=DECIBELS) == {
        "enl_ratio": None,
        "epi": None,
    }
    assert table.measure(gray, gray, 255, ["enl_ratio", "epi"]) == {"enl_ratio": None, "epi": pytest.approx(1)}


def test_epi_agrees_with_scikit_image_s_sobel_filters() -> None:
    import importlib

    filters: Any = importlib.import_module("skimage.filters")
    before = scene(SMALL, DECIBELS, 1)
    after = np.clip(before + np.random.default_rng(2).normal(0, 20, before.shape), 0, 255).astype(np.uint8)
    first, second = (
        np.hypot(filters.sobel_h(image[..., 0].astype(float)), filters.sobel_v(image[..., 0].astype(float)))[
            1:-1, 1:-1
        ].ravel()
        for image in (before, after)
    )
    expected = first @ second / np.sqrt((first @ first) * (second @ second))
    assert table.METRICS["epi"](before, after, 255) == pytest.approx(float(expected), rel=1e-12)


def test_a_file_says_which_samples_of_16_bits_became_0_and_1(tmp_path: Path) -> None:
    from harness.learned.bitstream import Stream
    from harness.models.baseline import Baseline

    tiny_weights(tmp_path, "baseline", tiny_shape(1, lapped=True), ratio=4)
    image = np.random.default_rng(0).integers(1000, 3001, (24, 40, 1)).astype(np.uint16)
    image[0, 0], image[0, 1] = 1000, 3000
    codec = Baseline(weights=str(tmp_path), ratio=4)
    data = codec.encode(image, codec.ladder[-1])
    stream = Stream.from_bytes(data, "baseline")
    assert (stream.kind, stream.low, stream.high) == ("gray16", 1000, 3000)
    decoded = Baseline(weights=str(tmp_path), ratio=4).decode(data)
    assert (decoded.min(), decoded.max()) == (1000, 3000)
    assert np.abs(decoded.astype(int) - image).max() < 20


def benched(folder: Path, configuration: Path, *options: str) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Run `harness bench` with a cache of its own and return its records and its manifest."""
    results, cache = folder / "results", folder / "cache"
    ended = run("--config", configuration, "bench", "--results", results, *options, HARNESS_CACHE=str(cache))
    assert ended.status == 0, ended.err
    (manifest,) = results.glob("*/manifest.json")
    return read_frame(manifest.parent), json.loads(manifest.read_text())


def test_a_bench_of_radar_scenes_fills_enl_and_epi(tmp_path: Path) -> None:
    made = made_set(tmp_path)
    options = ("--suite", "mine", "--codecs", "jpeg2000,png", "--ratios", "4,16")
    frame, manifest = benched(tmp_path, made, *options)
    assert manifest["images"][0]["radar"] == {"scale": "decibels", "low": -30, "high": 5, "looks": 4}
    rows = frame[frame["protocol"] == "ratio"]
    assert len(rows) == 6
    assert (rows["enl_ratio"] > 0.5).all()
    assert rows["epi"].between(0.3, 1).all()
    assert (rows[rows["target_ratio"] == 16]["enl_ratio"] > 1).all()  # a small file loses speckle
    assert rows[rows["target_ratio"] == 4]["epi"].mean() > rows[rows["target_ratio"] == 16]["epi"].mean()


@pytest.mark.parametrize(("suite", "known"), [("mine", False), ("own", True)])
def test_own_images_have_an_enl_where_the_suite_says_what_their_samples_are(
    suite: str, known: bool, tmp_path: Path
) -> None:
    (tmp_path / "rasters").mkdir()
    amplitude = np.sqrt(speckle(np.random.default_rng(1), 64, 4, 0.0)) * 3000
    Pillow.fromarray(np.rint(amplitude).astype(np.uint16)).save(tmp_path / "rasters" / "one.tif")
    made = made_set(tmp_path)
    options = ("--suite", suite, "--codecs", "jpeg2000", "--ratios", "8", "--images", str(tmp_path / "rasters"))
    frame, _ = benched(tmp_path, made, *options)
    assert frame["enl_ratio"].notna().all() == known
    assert frame["epi"].notna().all()


def test_a_float_raster_is_refused_with_what_is_taken(tmp_path: Path) -> None:
    Pillow.fromarray(np.zeros((32, 32), np.float32)).save(tmp_path / "one.tif")
    ended = run("bench", "--suite", "sar", "--images", tmp_path, "--results", tmp_path / "results")
    assert "and 16-bit gray" in complaint(ended)


def test_the_page_s_way_from_a_float_raster_to_samples_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (Path(__file__).parents[2] / "docs" / "sar.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    backscatter = 0.1 * speckle(np.random.default_rng(3), 64, 4, 0.0)
    (tmp_path / "rasters").mkdir()
    Pillow.fromarray(backscatter.astype(np.float32)).save(tmp_path / "sigma0.tif")
    monkeypatch.chdir(tmp_path)
    exec(code, {})
    image = read_image(tmp_path / "rasters" / "sigma0.png")
    back = DECIBELS.intensity(image.pixels[..., 0], image.peak)
    assert back == pytest.approx(backscatter.clip(1e-3, 10**0.5), rel=1e-4)
