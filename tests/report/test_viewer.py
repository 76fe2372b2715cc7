"""The viewer's pictures: bounded, lossless, and of the places where codecs differ."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from PIL import Image

from harness.analysis.run import RunRecords, prepare
from harness.records.artifacts import Pictures
from harness.records.manifest import ImageEntry, Manifest
from harness.report import write_report
from harness.report.page.viewer import viewer_data
from tests.support.browser import Browser, find_browser
from tests.support.synthetic import record

CODECS = ("good", "bad")
RATIOS = (4.0, 16.0)
HEIGHT, WIDTH = 256, 384


def png(samples: NDArray[np.uint8] | NDArray[np.uint16]) -> bytes:
    out = io.BytesIO()
    Image.fromarray(samples).save(out, "PNG")
    return out.getvalue()


def scenery(images: int) -> tuple[RunRecords, Pictures]:
    """Noise images; "good" is exact; "bad" is wrong in the square from (left, top) = (224, 96) of side 64."""
    rng = np.random.default_rng(4)
    originals, decoded, rows = {}, {}, []
    for name in (f"image{index}" for index in range(images)):
        samples = rng.integers(60, 200, (HEIGHT, WIDTH, 3), dtype=np.uint8)
        wrong = samples.copy()
        wrong[96:160, 224:288] += 40
        originals[name] = png(samples)
        for ratio in RATIOS:
            decoded[name, "good", ratio], decoded[name, "bad", ratio] = png(samples), png(wrong)
            rows += [record(name, codec, ratio, psnr=40.0 + ratio) for codec in CODECS]
    return prepare(pd.DataFrame(rows), Manifest()), Pictures(originals, decoded)


def samples_of(url: str) -> NDArray[np.uint8]:
    data = base64.b64decode(url.removeprefix("data:image/webp;base64,"))
    with Image.open(io.BytesIO(data)) as picture:
        return np.asarray(picture.convert("RGB"))


def test_the_first_crop_is_where_the_codecs_differ_most() -> None:
    run, pictures = scenery(1)
    data = viewer_data(run, pictures)
    assert data is not None
    left, top, width, height = data["scenes"][0]["views"][0]["box"]
    assert (width, height) == (128, 128)
    assert left <= 224 and left + width >= 288
    assert top <= 96 and top + height >= 160


def test_crops_do_not_overlap() -> None:
    run, pictures = scenery(1)
    data = viewer_data(run, pictures)
    assert data is not None
    boxes = [view["box"] for view in data["scenes"][0]["views"] if view["name"].startswith("crop")]
    covered = np.zeros((HEIGHT, WIDTH), int)
    for left, top, width, height in boxes:
        covered[top : top + height, left : left + width] += 1
    assert len(boxes) == 3
    assert covered.max() == 1


def test_pictures_are_exactly_what_was_decoded() -> None:
    run, pictures = scenery(1)
    data = viewer_data(run, pictures)
    assert data is not None
    for view in data["scenes"][0]["views"]:
        left, top, width, height = view["box"]
        for codec in CODECS:
            source = pictures.decoded["image0", codec, 16.0]
            assert isinstance(source, bytes)
            with Image.open(io.BytesIO(source)) as picture:
                expected = np.asarray(picture)[top : top + height, left : left + width]
            np.testing.assert_array_equal(samples_of(view["pictures"][codec]), expected)


@pytest.mark.parametrize("max_bytes", [500_000, 1_500_000, 6_000_000])
def test_pictures_take_no_more_than_the_bound(max_bytes: int) -> None:
    run, pictures = scenery(3)
    data = viewer_data(run, Pictures(pictures.originals, pictures.decoded, max_bytes))
    assert data is not None
    urls = [url for scene in data["scenes"] for view in scene["views"] for url in view["pictures"].values()]
    assert 0 < sum(map(len, urls)) + sum(len(scene["overview"]) for scene in data["scenes"]) <= max_bytes


def test_the_largest_ratio_and_every_image_come_first() -> None:
    run, pictures = scenery(3)
    data = viewer_data(run, Pictures(pictures.originals, pictures.decoded, 700_000))
    assert data is not None
    assert [(scene["image"], scene["ratio"]) for scene in data["scenes"]][:3] == [
        (f"image{index}", 16.0) for index in range(3)
    ]


def test_without_room_or_with_one_codec_there_is_no_viewer() -> None:
    run, pictures = scenery(1)
    assert viewer_data(run, Pictures(pictures.originals, pictures.decoded, 100)) is None
    one = {key: source for key, source in pictures.decoded.items() if key[1] == "good"}
    assert viewer_data(run, Pictures(pictures.originals, one)) is None


def test_deep_samples_are_shown_by_their_upper_bits() -> None:
    gray = np.arange(64 * 64, dtype=np.uint16).reshape(64, 64)
    rows = [record("deep", codec, 4.0) for codec in CODECS]
    deep = ImageEntry(name="deep", width=64, height=64, channels=1, sample_bits=12, sha256="")
    run = prepare(pd.DataFrame(rows), Manifest(images=(deep,)))
    data = viewer_data(run, Pictures({"deep": png(gray)}, {("deep", codec, 4.0): png(gray) for codec in CODECS}))
    assert data is not None
    shown = samples_of(data["scenes"][0]["views"][0]["pictures"]["good"])
    np.testing.assert_array_equal(shown[..., 0], gray >> 4)


@pytest.fixture(scope="module")
def viewer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """A browser that shows a page with a viewer."""
    program = find_browser()
    if program is None:
        pytest.skip("no Chromium is on the PATH: apt-get install chromium")
    folder = tmp_path_factory.mktemp("viewer")
    run, pictures = scenery(2)
    paths = {}
    for (image, codec, ratio), source in pictures.decoded.items():
        paths[image, codec, ratio] = folder / f"{image}-{codec}-{ratio:g}.png"
        paths[image, codec, ratio].write_bytes(source if isinstance(source, bytes) else b"")
    write_report(folder, run.records, Manifest(), Pictures(pictures.originals, paths))
    with Browser(program) as opened:
        opened.show()
        opened.open(folder / "report.html")
        yield opened


@pytest.mark.browser
def test_the_slider_moves_from_the_keyboard(viewer: Browser) -> None:
    viewer.choose("viewer-controls", "Show", "slider")
    clip = "document.querySelectorAll('.viewer-frame img')[1].style.clipPath"
    viewer.evaluate("document.getElementById('viewer-slider').focus()")
    before = viewer.evaluate(clip)
    viewer.press("ArrowRight", "ArrowRight")
    assert before == "inset(0px 50% 0px 0px)"
    assert viewer.evaluate(clip) == "inset(0px 48% 0px 0px)"
    assert viewer.complaints() == []


@pytest.mark.browser
def test_a_flip_shows_the_other_codec(viewer: Browser) -> None:
    viewer.choose("viewer-controls", "Show", "flip")
    words = "document.querySelector('#viewer-stage p').textContent"
    assert viewer.evaluate(words) == "shown: bad"
    viewer.evaluate("document.querySelector('.viewer-flip').focus()")
    viewer.press("Enter")
    assert viewer.evaluate(words) == "shown: good"
    viewer.press(" ")
    assert viewer.evaluate(words) == "shown: bad"


@pytest.mark.browser
def test_difference_maps_show_where_a_codec_is_wrong(viewer: Browser) -> None:
    viewer.choose("viewer-controls", "Show", "difference")
    viewer.choose("viewer-controls", "View", "crop 1")
    viewer.wait_for("document.querySelectorAll('.viewer-maps canvas').length === 2")
    samples = "canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data"
    largest = f"Math.max(...{samples}.filter((_, at) => at % 4 < 3))"
    canvases = "[...document.querySelectorAll('.viewer-maps canvas')]"
    assert viewer.evaluate(f"{canvases}.map(canvas => {largest})") == [255, 0]


@pytest.mark.browser
def test_bytes_and_metrics_stand_beside_the_pictures(viewer: Browser) -> None:
    viewer.choose("viewer-controls", "Ratio", "16")
    text = viewer.evaluate("document.querySelector('#viewer-stage table').textContent")
    assert "73728" in text
    assert "56.00" in text
    viewer.choose("viewer-controls", "Ratio", "4")
    assert "44.00" in viewer.evaluate("document.querySelector('#viewer-stage table').textContent")


def test_a_page_with_other_pictures_is_made_again(tmp_path: Path) -> None:
    run, pictures = scenery(1)
    write_report(tmp_path, run.records, Manifest(), pictures)
    first = (tmp_path / "report.html").read_bytes()
    changed = {**pictures.decoded, ("image0", "bad", 16.0): pictures.decoded["image0", "good", 16.0]}
    write_report(tmp_path, run.records, Manifest(), Pictures(pictures.originals, changed))
    assert (tmp_path / "report.html").read_bytes() != first
