"""Which of a user's own images a run measures, and what it says about the others."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from harness.config.schema import load
from harness.errors import ImageError
from harness.plan.planner import make_plan
from harness.plan.request import Request, ResolvedRequest, resolve
from tests.support.bench_runs import crops


def request(folder: Path) -> ResolvedRequest:
    return resolve(Request(load(), images=folder, codecs=("raw",), ratios=(4.0,), device="cpu"))


@pytest.mark.parametrize(("count", "told"), [(3, 3), (10, 10), (12, 10)])
def test_up_to_ten_unusable_images_are_named_with_their_reason(count: int, told: int, tmp_path: Path) -> None:
    for number in range(count - 1):
        (tmp_path / f"text{number:02}.png").write_text("no image")
    PIL.Image.fromarray(np.zeros((4, 4), np.float32)).save(tmp_path / "float.tif")
    with pytest.raises(ImageError) as refused:
        make_plan(request(tmp_path))
    message = str(refused.value)
    assert "float.tif has 32-bit float samples" in message
    assert message.count(" is not an image that can be read") == told - 1
    assert message.endswith(f" {count - told} more cannot be taken.") == (count > told)


def test_images_with_equal_pixels_are_measured_once_and_the_copies_are_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    crops(tmp_path, 2)
    shutil.copy(tmp_path / "crop00.png", tmp_path / "one.png")
    with PIL.Image.open(tmp_path / "crop00.png") as picture:
        picture.save(tmp_path / "two.bmp")
    plan = make_plan(request(tmp_path))
    assert [image.source.name for image in plan.images] == ["crop00.png", "crop01.png"]
    assert caplog.messages == [
        "left out, because their pixels equal another image's: one.png (as crop00.png), two.bmp (as crop00.png)"
    ]
