"""A folder of training images: how many bits of a 16-bit file's samples carry the image."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from harness.config.schema import DataConfig
from harness.data.contamination import fingerprint, leaked
from harness.errors import DataError, ImageError
from harness.interface import LUMA, Image
from harness.system.hashing import file_sha256
from harness.training.images import PACK_INDEX, read_training_set, training_set_of
from tests.support.images import packaged_photograph


def detector_image() -> Image:
    """A photograph as 12-bit samples, uint16 (height, width, 1)."""
    gray = packaged_photograph("astronaut.png") @ np.array(LUMA)
    image: Image = np.rint(gray / 255 * 4095).astype(np.uint16)[:, :, None]
    return image


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with one 16-bit file of 12-bit samples."""
    PIL.Image.fromarray(detector_image()[:, :, 0]).save(tmp_path / "one.png")
    return tmp_path


def write_index(folder: Path, sample_bits: object) -> None:
    (folder / PACK_INDEX).write_text(f"file,source,licence,sample_bits\none.png,one,mine,{sample_bits}\n")


def test_the_index_says_how_many_bits_and_the_contamination_check_then_recognises_the_image(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_index(folder, 12)
    found = read_training_set(folder)
    assert found.images[0].peak == 4095
    assert leaked(fingerprint(detector_image(), 4095), found.fingerprints())
    assert not caplog.messages


def test_a_data_set_says_it_in_its_table(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARNESS_DATA", str(folder.parent))
    files = {"one.png": file_sha256(folder / "one.png")}
    table = DataConfig(description="x", licence="x", mirror=folder.name, sample_bits=12, files=files)
    assert training_set_of("mine", table).images[0].sample_bits == 12


def test_16_bit_files_that_look_like_12_bits_are_warned_of_unless_declared(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert read_training_set(folder).images[0].sample_bits == 16
    assert "is above" in caplog.messages[0]
    assert "column sample_bits of pack_index.csv" in caplog.messages[0]
    caplog.clear()
    write_index(folder, 16)
    read_training_set(folder)
    assert not caplog.messages


@pytest.mark.parametrize(
    ("sample_bits", "error", "message"),
    [
        ("twelve", DataError, "sample_bits of one.png is 'twelve'"),
        (17, DataError, "whole number from 2 to 16"),
        (10, ImageError, "more than sample_bits = 10 allows"),
    ],
)
def test_bits_that_cannot_be_are_refused(
    folder: Path, sample_bits: object, error: type[Exception], message: str
) -> None:
    write_index(folder, sample_bits)
    with pytest.raises(error, match=message):
        read_training_set(folder)
