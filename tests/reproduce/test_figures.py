"""Published curves are read as they were published; a figure is measured, drawn and judged point by point."""

from __future__ import annotations

import hashlib
import io
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import PIL.Image
import pytest

from harness.analysis.run import rows_of
from harness.config.schema import Config, load
from harness.data.images import TestImage
from harness.errors import ConfigError, DataError, UnknownNameError
from harness.records.record import read_frame
from harness.reproduce.figure import gray8
from harness.reproduce.published import read_curve
from harness.reproduce.spec import CurveRecipe, PointRecipe, recipe
from tests.support.bench_runs import crops
from tests.support.command import Ended, call, complaint, run
from tests.support.images import packaged_photograph, psnr

SETTINGS = (20, 40, 60, 80)
BARE_FIGURE = {"description": "one", "kind": "curves", "data": "tiny", "metrics": ["psnr"], "codecs": ["webp"]}


# Reading what was published.


def config_with(folder: Path, name: str, text: str) -> tuple[Config, CurveRecipe]:
    """Return a configuration with one published file, which lies below $HARNESS_DATA, and the recipe of its curve."""
    path = folder / "theirs" / name
    path.parent.mkdir(parents=True)
    path.write_text(text, encoding="utf-8")
    overlay = folder / "mine.toml"
    overlay.write_text(data_table("theirs", path.parents[name.count("/")], [name]), encoding="utf-8")
    return load(overlay), CurveRecipe(label="it", source="them", data="theirs", file=name)


def data_table(name: str, folder: Path, files: list[str]) -> str:
    """Return the table of a data set in benchmarks.toml, with the files' hashes."""
    hashes = [f'"{file}" = "{hashlib.sha256((folder / file).read_bytes()).hexdigest()}"' for file in files]
    head = f'[data.{name}]\ndescription = "made by a test"\nlicence = "none"\nmirror = "{name}"\n'
    return head + f"[data.{name}.files]\n" + "\n".join(hashes) + "\n"


COMPRESSAI = json.dumps({"results": {"bpp": [0.5, 1.0], "psnr-rgb": [30.0, 34.0], "ms-ssim-rgb": [0.9, 0.99]}})
GOOGLE = "# Aggregate data.\n\n0.5, 30.0\n1.0, 34.0\n"
PLAIN = json.dumps({"bpp": [0.5, 1.0], "psnr": [30.0, 34.0]})
COOL_CHIC = "lmbda\tseq_name\tpsnr_db\trate_bpp\n" + "\n".join(
    f"{weight}\t{image}\t{value}\t{rate}"
    for weight, image, value, rate in (
        (0.1, "a", 29, 0.4),
        (0.01, "a", 33, 0.9),
        (0.1, "b", 31, 0.6),
        (0.01, "b", 35, 1.1),
    )
)
FORMS = {
    "kodak/jpeg.json": COMPRESSAI,
    "PSNR_sRGB_RGB/minnen.txt": GOOGLE,
    "mlic.json": PLAIN,
    "cool.tsv": COOL_CHIC,
}


@pytest.mark.parametrize("name", FORMS)
def test_every_form_of_publication_gives_the_same_curve(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HARNESS_DATA", str(tmp_path))
    curve = read_curve(*config_with(tmp_path, name, FORMS[name]), "psnr")
    assert curve.bpp == pytest.approx((0.5, 1.0))
    assert curve.values == pytest.approx((30.0, 34.0))
    assert (curve.label, curve.source) == ("it", "them")


def test_ms_ssim_is_the_decibels_of_the_published_mean(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARNESS_DATA", str(tmp_path))
    curve = read_curve(*config_with(tmp_path, "kodak/jpeg.json", COMPRESSAI), "ms_ssim")
    assert curve.values == pytest.approx((10.0, 20.0))


def test_a_curve_is_read_off_between_its_points_and_not_beyond(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARNESS_DATA", str(tmp_path))
    curve = read_curve(*config_with(tmp_path, "mlic.json", PLAIN), "psnr")
    assert curve.at(0.5**0.5) == pytest.approx(32.0)  # the middle in log rate
    assert (curve.at(0.49), curve.at(1.01)) == (None, None)


def test_some_points_of_a_file_can_be_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARNESS_DATA", str(tmp_path))
    config, whole = config_with(tmp_path, "mlic.json", PLAIN)
    second = read_curve(config, whole.model_copy(update={"points": (2,)}), "psnr")
    assert (second.bpp, second.values) == ((1.0,), (34.0,))
    with pytest.raises(DataError, match="2 points of psnr"):
        read_curve(config, whole.model_copy(update={"points": (3,)}), "psnr")


@pytest.mark.parametrize(
    ("name", "text", "metric"),
    [
        ("kodak/jpeg.json", "{}", "psnr"),
        ("kodak/jpeg.json", "not json", "psnr"),
        ("PSNR_sRGB_RGB/minnen.txt", GOOGLE, "ms_ssim"),
        ("PSNR_sRGB_RGB/minnen.txt", "0.5, thirty\n", "psnr"),
        ("cool.tsv", COOL_CHIC, "ms_ssim"),
    ],
)
def test_a_file_without_the_curve_is_told_by_its_name(
    name: str, text: str, metric: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HARNESS_DATA", str(tmp_path))
    with pytest.raises(DataError, match=name):
        read_curve(*config_with(tmp_path, name, text), metric)


def test_a_published_file_that_is_absent_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path))
    monkeypatch.delenv("HARNESS_DATA", raising=False)
    config = load()
    curve = recipe(config, "kodak-psnr").curves[0]
    with pytest.raises(DataError, match="harness data fetch published-compressai"):
        read_curve(config, curve, "psnr")


def test_a_published_file_that_was_changed_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARNESS_DATA", str(tmp_path))
    config, curve = config_with(tmp_path, "mlic.json", PLAIN)
    (tmp_path / "theirs" / "mlic.json").write_text(PLAIN + " ")
    with pytest.raises(DataError, match="sha256"):
        read_curve(config, curve, "psnr")


# Recipes.


@pytest.mark.parametrize("name", load().figures)
def test_every_recipe_names_codecs_data_and_settings_that_exist(name: str) -> None:
    config = load()
    chosen = recipe(config, name)
    config.data_set(chosen.data)
    for codec in (*chosen.codecs, *([chosen.anchor] if chosen.anchor else [])):
        config.codec_spec(codec)
    for curve in chosen.curves:
        assert curve.file in config.data_set(curve.data).files
        assert curve.codec in ("", *chosen.codecs)
        assert set(curve.settings) <= set(config.codecs[curve.codec].sweep if curve.codec else ())
        assert curve.why
    for point in chosen.points:
        assert point.codec in chosen.codecs
        assert set(point.values) <= set(chosen.metrics)


def test_an_unknown_figure_is_named_with_the_nearest_known() -> None:
    assert "Did you mean 'kodak-psnr'?" in complaint(call("reproduce", "kodak-pnsr"))


def test_reproduce_lists_its_figures() -> None:
    listed = call("reproduce", "--list")
    assert [line.split(":")[0] for line in listed.out.splitlines()] == list(load().figures)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"kind": "pie"}, "figures.one.kind"),
        ({"codecs": []}, "figures.one.codecs"),
        ({"colour": 1}, "is not a known key"),
    ],
)
def test_a_wrong_recipe_is_told_by_its_key(change: Mapping[str, Any], told: str) -> None:
    config = load().model_copy(update={"figures": {"one": {**BARE_FIGURE, **change}}})
    with pytest.raises(ConfigError, match=told):
        recipe(config, "one")


def test_a_figure_that_is_not_there_is_an_error_of_its_own_kind() -> None:
    with pytest.raises(UnknownNameError):
        recipe(load(), "nothing")


def test_gray_is_rounded_luma_and_deep_samples_are_scaled() -> None:
    colours = np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255], [10, 20, 30]]], np.uint8)
    assert gray8(TestImage("rgb", colours, 8, ()))[..., 0].tolist() == [[76, 150, 29, 18]]
    deep = np.array([[[0], [4095], [2048], [8]]], np.uint16)
    assert gray8(TestImage("deep", deep, 12, ()))[..., 0].tolist() == [[0, 255, 128, 0]]


# A whole figure: JPEG files that Pillow writes here and now are "published", and the bench must land on them.


@dataclass(frozen=True)
class Desk:
    """A folder with two images, four published curves of them, and a recipe."""

    folder: Path

    def reproduce(self, name: str, *more: str) -> Ended:
        """Run `harness reproduce`."""
        options = ("--config", str(self.folder / "mine.toml"), "reproduce", name, "--jobs", "1", *more)
        return run(*options, "--results", str(self.folder / "results"), HARNESS_DATA=str(self.folder / "data"))

    def verdicts(self, name: str) -> pd.DataFrame:
        """Return the verdict table of the newest run of a figure."""
        return pd.read_csv(self.figure(name) / "verdict.csv", keep_default_na=False, na_values=[""])

    def figure(self, name: str) -> Path:
        """Return the folder of the newest run of a figure."""
        return sorted((self.folder / "results").glob(f"*-{name}/figure"))[-1]


def pillow_means(images: list[Path], quality: int) -> tuple[float, float]:
    """Return mean bits per pixel and mean PSNR of Pillow's own JPEG files: the reference, without our code."""
    rates, values = [], []
    for path in images:
        with PIL.Image.open(path) as picture:
            reference = np.array(picture.convert("RGB"))
        file = io.BytesIO()
        PIL.Image.fromarray(reference).save(file, "JPEG", quality=quality, subsampling="4:2:0")
        with PIL.Image.open(file) as picture:
            values.append(psnr(reference, np.array(picture)))
        rates.append(8 * file.tell() / (reference.shape[0] * reference.shape[1]))
    return float(np.mean(rates)), float(np.mean(values))


def curve_table(figure: str, label: str, more: str = "") -> str:
    head = f'[[figures.{figure}.curves]]\nlabel = "{label}"\nsource = "them"\ndata = "theirs"\nfile = "{label}.json"\n'
    return f'{head}why = "made by a test"\n{more}\n'


def recipe_toml() -> str:
    checked = f'codec = "probe"\nsettings = {list(SETTINGS)}\ntolerance = 0.05'
    return (
        f'[codecs.probe]\ncodec = "jpeg"\nsubsampling = "4:2:0"\noptimize = false\nprogressive = false\n'
        f"sweep = {list(SETTINGS)}\n"
        '[figures.tiny]\ndescription = "two crops"\nkind = "curves"\ndata = "tiny"\nmetrics = ["psnr"]\n'
        'codecs = ["probe", "png"]\nimages = 2\n'
        + curve_table("tiny", "right", checked)
        + curve_table("tiny", "wrong-quality", checked)
        + curve_table("tiny", "wrong-rate", checked)
        + curve_table("tiny", "read-off", 'codec = "probe"\ntolerance = 0.05')
        + curve_table("tiny", "nobody")
        + '[figures.both]\ndescription = "both"\nkind = "combined"\ndata = "tiny"\nmetrics = ["psnr"]\n'
        'codecs = ["probe", "png"]\nimages = 2\nratios = [6, 8]\n'
        + curve_table("both", "right", 'codec = "probe"\ntolerance = 0.05')
        + '[figures.old]\ndescription = "a study"\nkind = "differences"\ndata = "tiny"\ngray = true\n'
        'metrics = ["psnr", "ssim"]\ncodecs = ["jpegxr", "attention-study", "probe"]\nanchor = "probe"\nratios = [6]\n'
        'other_data = "other data"\n'
        '[[figures.old.points]]\ncodec = "jpegxr"\nratio = 6\nvalues = { psnr = -1.5 }\nsource = "a study"\n'
        '[[figures.old.points]]\ncodec = "attention-study"\nratio = 6\nvalues = { ssim = 0.1 }\nsource = "a study"\n'
    )


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    folder = tmp_path_factory.mktemp("desk")
    images, published = folder / "data" / "tiny", folder / "data" / "theirs"
    images.mkdir(parents=True)
    published.mkdir()
    for number in range(2):
        crop = packaged_photograph()[60 + 40 * number : 156 + 40 * number, 130:258]
        PIL.Image.fromarray(crop).save(images / f"crop{number}.png")
    means = [pillow_means(sorted(images.glob("*.png")), quality) for quality in SETTINGS]
    rates, values = np.array(means).T
    curves = {
        "right": (rates, values),
        "wrong-quality": (rates, values + 0.06),
        "wrong-rate": (rates * 1.02, values),
        "read-off": (rates[1:3] * 1.01, values[1:3]),
        "nobody": (rates, values + 3),
    }
    for label, (bpp, decibels) in curves.items():
        (published / f"{label}.json").write_text(json.dumps({"bpp": bpp.tolist(), "psnr": decibels.tolist()}))
    tables = [data_table(each.name, each, sorted(path.name for path in each.iterdir())) for each in (images, published)]
    (folder / "mine.toml").write_text("\n".join(tables) + recipe_toml())
    return Desk(folder)


@pytest.fixture(scope="module")
def done(desk: Desk) -> Ended:
    return desk.reproduce("tiny")


def test_a_figure_ends_well_and_counts_its_verdicts(done: Ended) -> None:
    assert done.status == 0, done.err
    assert "Traceback" not in done.err
    assert "4 published points reproduced" in done.out


@pytest.mark.parametrize(
    ("curve", "verdict", "why"),
    [
        ("right", "reproduced", "made by a test"),
        ("wrong-quality", "not reproduced", "made by a test"),
        ("wrong-rate", "not reproduced", "-1.96 % bits per pixel, 1 % are allowed"),
        ("read-off", "not reproduced", "made by a test"),
        ("nobody", "not measured", "made by a test"),
    ],
)
def test_every_published_point_has_its_verdict(done: Ended, desk: Desk, curve: str, verdict: str, why: str) -> None:
    rows = desk.verdicts("tiny")
    mine = rows[rows["curve"] == curve]
    assert len(mine) == (2 if curve == "read-off" else 4)
    assert set(mine["verdict"]) == {verdict}
    assert set(mine["why"]) == {why}


def test_a_measured_point_is_that_of_pillow_to_the_last_digit(done: Ended, desk: Desk) -> None:
    rows = desk.verdicts("tiny")
    mine = rows[rows["curve"] == "right"]
    assert mine["measured_bpp"].tolist() == pytest.approx(mine["published_bpp"].tolist(), rel=1e-12)
    assert mine["difference"].abs().max() < 1e-4


def test_a_figure_is_there_in_three_forms_with_its_data(done: Ended, desk: Desk) -> None:
    folder = desk.figure("tiny")
    assert {path.name for path in folder.iterdir()} == {
        *(f"tiny.{ending}" for ending in ("pdf", "svg", "png", "csv")),
        "verdict.csv",
        "verdict.md",
    }
    with PIL.Image.open(folder / "tiny.png") as picture:
        assert picture.width == 1050  # one column of 3.5 inches at 300 dots per inch
    assert (folder / "tiny.pdf").read_bytes().startswith(b"%PDF")
    table = pd.read_csv(folder / "tiny.csv")
    assert dict(table["origin"].value_counts()) == {"measured here": 4, "published": 18}
    svg = (folder / "tiny.svg").read_text()
    assert all(text in svg for text in ("measured here", "published (source)", "nobody (them)", "bits per pixel"))


def test_a_second_time_nothing_is_measured_and_the_bytes_are_the_same(done: Ended, desk: Desk) -> None:
    folder = desk.figure("tiny")
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    again = desk.reproduce("tiny")
    assert again.status == 0
    assert "record/s" not in again.err
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_over_fewer_images_nothing_is_compared(done: Ended, desk: Desk) -> None:
    assert desk.reproduce("tiny", "--limit", "1").status == 0
    rows = desk.verdicts("tiny")
    assert set(rows.loc[rows["curve"] != "nobody", "verdict"]) == {"not comparable"}
    assert set(rows.loc[rows["curve"] == "right", "why"]) == {"measured over 1 images, published over 2"}


def test_over_other_images_nothing_is_compared_however_many_they_are(done: Ended, desk: Desk, tmp_path: Path) -> None:
    assert desk.reproduce("tiny", "--images", str(crops(tmp_path / "mine"))).status == 0
    folder = desk.figure("mine")
    rows = pd.read_csv(folder / "verdict.csv", keep_default_na=False, na_values=[""])
    assert set(rows["verdict"]) == {"not comparable", "not measured"}
    assert set(rows.loc[rows["curve"] == "right", "why"]) == {"other images: the published ones are of tiny"}
    assert "here on other images" in (folder / "verdict.md").read_text()


def test_a_gray_figure_is_measured_on_the_images_that_are_there_now(desk: Desk, tmp_path: Path) -> None:
    images = crops(tmp_path / "twice")
    PIL.Image.open(images / "crop01.png").save(images / "crop00.tif")
    (images / "crop01.png").unlink()
    assert desk.reproduce("old", "--images", str(images)).status == 0
    first = read_frame(desk.figure("old").parent)
    assert set(first["image"]) == {"crop00.png", "crop00.tif.png"}
    (images / "crop00.png").unlink()
    assert desk.reproduce("old", "--images", str(images)).status == 0
    assert set(read_frame(desk.figure("old").parent)["image"]) == {"crop00.tif.png"}


def test_both_protocols_stand_in_panels_of_their_own(done: Ended, desk: Desk) -> None:
    assert desk.reproduce("both").status == 0
    table = pd.read_csv(desk.figure("both") / "both.csv")
    assert set(table["panel"]) == {"sweep", "ratio"}
    assert set(table.loc[table["panel"] == "ratio", "origin"]) == {"measured here"}
    rows = desk.verdicts("both")
    assert rows["point"].tolist() == ["6x", "8x"]
    assert rows["published_bpp"].tolist() == [4, 3]


def test_a_study_on_other_data_is_never_called_reproduced(done: Ended, desk: Desk) -> None:
    assert desk.reproduce("old").status == 0
    measured, unmeasured = rows_of(desk.verdicts("old"))
    assert (measured["codec"], measured["verdict"], measured["why"]) == ("jpegxr", "not comparable", "other data")
    assert measured["difference"] == pytest.approx(measured["measured"] + 1.5)
    assert (unmeasured["codec"], unmeasured["verdict"]) == ("attention-study", "not measured")
    assert re.match("missing: .*for 6x.*other data", unmeasured["why"])


def test_without_any_published_curve_a_figure_is_refused(desk: Desk) -> None:
    empty = run("--config", desk.folder / "mine.toml", "reproduce", "tiny", "--results", desk.folder / "none")
    assert "lacks right.json" in complaint(empty)


# The data at hand.


@pytest.mark.slow
@pytest.mark.parametrize("name", ["kodak-psnr", "kodak-msssim"])
def test_every_published_curve_of_a_recipe_is_as_it_was_flattened(name: str, harness_data: Path) -> None:
    flat = pd.read_csv(harness_data / "published" / "all_points.csv")
    flat = flat[flat["dataset"] == "kodak"]
    config = load()
    chosen = recipe(config, name)
    column = {"psnr": "psnr_rgb_db", "ms_ssim": "ms_ssim_db"}[chosen.metrics[0]]
    for curve in chosen.curves:
        found = read_curve(config, curve, chosen.metrics[0])
        points = np.column_stack([found.bpp, found.values])
        known = flat[["bpp", column]].dropna().to_numpy()
        distance = np.abs(points[:, None] - known[None]).max(axis=2).min(axis=1)
        assert distance.max() < 2e-4, curve.label


def row_of(table: pd.DataFrame, point: PointRecipe) -> dict[str, Any]:
    """Return the row of the study's table that a point is from."""
    name = f"{point.codec.removesuffix('-study')}_{point.ratio:g}x"
    return rows_of(table[table["name"] == name])[0]


@pytest.mark.slow
def test_the_points_of_the_study_are_those_of_its_tables(harness_data: Path) -> None:
    config = load()
    table = pd.read_csv(harness_data / "origin" / "results_summary_8bit_n50.csv")
    for point in recipe(config, "architectures-16x").points:
        row = row_of(table, point)
        assert point.values == pytest.approx({"psnr": row["psnr_mean"], "ssim": row["ssim_mean"]})
        assert point.n == row["n_samples"]
    table = pd.read_csv(harness_data / "origin" / "bitrate_matched_summary.csv").rename(columns={"model": "name"})
    for point in recipe(config, "equal-bytes").points:
        row = row_of(table, point)
        assert point.values == pytest.approx({"psnr": row["psnr_diff"], "ssim": row["ssim_diff"]})
