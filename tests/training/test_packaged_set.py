"""The script that makes the training set from its originals, and the page that explains training."""

from __future__ import annotations

import hashlib
import io
import subprocess
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import PIL.Image
import pytest

from harness.config.registry import find
from harness.config.schema import load
from harness.errors import DataError, UsageError
from harness.learned.shape import Shape, Widths
from harness.training.curve import draw
from harness.training.jobs import TrainingJob, job_for
from harness.training.recipe import TrainingRecipe
from harness.training.session import TrainingSession, is_trained_here
from scripts.make_training_set import crop_of, crops, cut, fetch_blob, git_hash
from tests.support.images import packaged_photograph

ROOT = Path(__file__).parents[2]


def test_every_row_of_the_table_is_read_and_no_file_comes_twice() -> None:
    rows = list(crops())
    assert len({row.file for row in rows}) == len(rows) == 281
    assert {row.repository for row in rows if row.blob is None} == {"imazen/codec-corpus"}
    assert all(row.shrink >= 1 and row.top >= 0 and row.left >= 0 for row in rows)


def test_content_is_known_by_the_hash_that_git_gives_it(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"some bytes\n")
    told = subprocess.run(["git", "hash-object", tmp_path / "file"], capture_output=True, text=True, check=True)
    assert git_hash(b"some bytes\n") == told.stdout.strip()


ROW = {
    "file": "one.jpg",
    "source": "owner/name https://example.org/a A picture.png blob {}",
    "region": "crop y=40 x=20",
    "scale": "1/0.50 Lanczos",
}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """The address of a server of a folder's files."""
    (tmp_path / "served").mkdir()

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(tmp_path / "served"))) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}/{{blob}}"
        running.shutdown()


def test_an_original_is_fetched_once_and_only_what_has_its_hash(tmp_path: Path, server: str) -> None:
    blob = git_hash(b"the original")
    crop = crop_of({**ROW, "source": ROW["source"].format(blob)})
    assert crop.path == "A picture.png"
    (tmp_path / "served" / blob).write_bytes(b"another file")
    with pytest.raises(ValueError, match="another file than A picture"):
        fetch_blob(crop, tmp_path / "cache", server)
    (tmp_path / "served" / blob).write_bytes(b"the original")
    assert fetch_blob(crop, tmp_path / "cache", server) == b"the original"
    (tmp_path / "served" / blob).unlink()
    assert fetch_blob(crop, tmp_path / "cache", server) == b"the original"


def test_a_crop_is_cut_after_the_original_was_resized() -> None:
    file = io.BytesIO()
    PIL.Image.fromarray(packaged_photograph("chelsea.png")).save(file, "PNG")
    made = PIL.Image.open(io.BytesIO(cut(file.getvalue(), crop_of({**ROW, "source": ROW["source"].format("0" * 40)}))))
    assert made.size == (512, 512)
    assert made.format == "JPEG"


def test_crops_of_the_lossless_originals_equal_the_pack_s(harness_data: Path) -> None:
    pack = harness_data / "train" / "pack_jpeg444_q94"
    originals = harness_data / "train" / "originals" / "clic2025_validation"
    if not pack.is_dir():
        pytest.skip(f"{harness_data} holds no training images")
    for row in [row for row in crops() if row.blob is None][::40]:
        made = cut((originals / Path(row.path).name).read_bytes(), row)
        assert hashlib.sha256(made).digest() == hashlib.sha256((pack / row.file).read_bytes()).digest()


@pytest.mark.parametrize("key", [*TrainingRecipe.model_fields, *Shape.model_fields, *Widths.model_fields])
def test_the_page_explains_every_key_of_a_recipe(key: str) -> None:
    assert f"`{key}`" in (ROOT / "docs" / "training.md").read_text(encoding="utf-8")


def job() -> TrainingJob:
    return job_for(find("baseline", {"recipe": "rate", "ratio": 16.0}), load().recipes)


def test_training_images_come_from_a_data_set_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    images = TrainingSession(load(), "demo").images(job())
    assert [image.source for image in images.images] == ["astronaut", "chelsea", "coffee", "motorcycle_left"]
    assert all("CC0" in source["licence"] for source in images.sources)
    assert all(image.lossless for image in images.images)


@pytest.mark.parametrize(
    ("data", "words"), [("nowhere", "no data set of images is called 'nowhere'"), (None, "HARNESS_DATA")]
)
def test_training_without_images_says_what_to_name(
    data: str | None, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HARNESS_DATA", raising=False)
    assert not TrainingSession(load(), data).has_images(job())
    with pytest.raises(DataError, match=words):
        TrainingSession(load(), data).images(job())


def test_only_sets_of_images_are_named_as_something_to_train_on() -> None:
    with pytest.raises(DataError) as refused:
        TrainingSession(load(), "compressai-weights").check_data()
    listed = str(refused.value).partition("data sets of images are: ")[2]
    assert {"demo", "kodak", "sar-train"} <= set(listed.strip(".").split(", "))
    assert "published" not in listed
    assert "weights" not in listed


def test_too_few_images_are_told_before_training_with_how_many_it_takes() -> None:
    with pytest.raises(DataError, match=r"training to 16x takes images from 5 sources or more, 4 of them.*found 4"):
        TrainingSession(load(), "demo").check_images([job()])


@pytest.mark.parametrize("ratio", [1.9, 64.5, 5000])
def test_nothing_is_trained_to_a_ratio_far_from_every_first_step(ratio: float) -> None:
    spec = find("baseline", {"recipe": "rate", "ratio": ratio})
    assert not is_trained_here(spec)
    with pytest.raises(UsageError, match="targets are from 2x to 64x"):
        job_for(spec, load().recipes)


def test_a_curve_is_drawn_with_a_panel_for_each_column_that_it_has(tmp_path: Path) -> None:
    rows = [{"step": float(step), "loss": 1 / step} for step in range(1, 11)]
    rows[4] |= {"psnr": 30.0, "ratio": 15.0}
    rows[9] |= {"psnr": 31.0, "ratio": 16.0}
    heights = []
    for count, kept in enumerate((["step", "loss"], ["step", "loss", "psnr", "ratio"])):
        path = tmp_path / f"{count}.png"
        draw([{key: row[key] for key in kept if key in row} for row in rows], "a curve", path)
        with PIL.Image.open(path) as picture:
            heights.append(picture.height)
    assert heights[1] == 3 * heights[0]
