"""A reply of a codec process is taken only if its model takes it: numbers are finite and of their own type."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from harness.errors import ConformanceError
from harness.sandbox.replies import Decoded, Description, Failure, ImageShape, PredictedSizes, Reply, Timed, read

TIMED = {"seconds": [0.5, 0.25], "peak_rss_mb": 80.5, "peak_cuda_mb": 0.0}
DESCRIBED = {
    "formats": ["rgb8"],
    "ladder": [1, 2.0],
    "lossless": False,
    "budget": False,
    "learned": False,
    "threaded": False,
    "missing": None,
    "provenance": {"library": "1.0", "options": [1, None, {"fast": True}]},
}
IMAGE = {"dtype": "uint8", "shape": [4, 5, 3]}


def test_settings_keep_their_type() -> None:
    ladder = read(Description, DESCRIBED).ladder
    assert [(type(setting), setting) for setting in ladder] == [(int, 1), (float, 2.0)]


MALFORMED: dict[str, tuple[type[Reply], Any, str]] = {
    "no mapping": (Timed, [1], "input should be a valid dictionary"),
    "no field": (Timed, {}, "seconds is missing"),
    "a time of nan": (Timed, {**TIMED, "seconds": [float("nan")]}, "seconds.0: input should be a finite number"),
    "a time of infinity": (Timed, {**TIMED, "peak_rss_mb": float("inf")}, "peak_rss_mb: input should be a finite"),
    "a negative time": (Timed, {**TIMED, "seconds": [-1.0]}, "seconds.0: input should be greater than or equal to 0"),
    "a time as text": (Timed, {**TIMED, "peak_rss_mb": "1"}, "peak_rss_mb: input should be a valid number"),
    "no times": (Timed, {**TIMED, "seconds": []}, "seconds: tuple should have at least 1 item"),
    "a setting as text": (Description, {**DESCRIBED, "ladder": ["1"]}, "ladder.0: input should be a finite number"),
    "a setting of true": (Description, {**DESCRIBED, "ladder": [True]}, "ladder.0: input should be a finite number"),
    "nan deep inside": (Description, {**DESCRIBED, "provenance": {"a": [float("nan")]}}, "should be a finite number"),
    "a format as number": (Description, {**DESCRIBED, "formats": [8]}, "formats.0: input should be a valid string"),
    "one text of formats": (Description, {**DESCRIBED, "formats": "rgb8"}, "formats: input should be a valid tuple"),
    "a size of nothing": (PredictedSizes, {"sizes": [1.0, 0]}, "sizes.1: input should be greater than 0"),
    "another dtype": (Decoded, {**TIMED, "image": {**IMAGE, "dtype": "object"}}, "image.dtype: input should be"),
    "a side of 0": (Decoded, {**TIMED, "image": {**IMAGE, "shape": [0, 5, 3]}}, "image.shape.0: input should be"),
    "a negative side": (Decoded, {**TIMED, "image": {**IMAGE, "shape": [-4, -5, 3]}}, "image.shape.0: input should be"),
    "many axes": (Decoded, {**TIMED, "image": {**IMAGE, "shape": [1] * 100}}, "image.shape: tuple should have at most"),
    "an error without message": (Failure, {"error": "CodecError"}, "message is missing"),
    "an error of a number": (Failure, {"error": 5, "message": ""}, "error: input should be a valid string"),
}


@pytest.mark.parametrize("case", MALFORMED)
def test_a_malformed_reply_is_refused_with_what_is_wrong(case: str) -> None:
    model, reply, words = MALFORMED[case]
    with pytest.raises(ConformanceError) as refusal:
        read(model, reply)
    assert words in str(refusal.value)
    assert len(str(refusal.value)) < 500


@pytest.mark.parametrize("size", [0, 59, 61])
def test_an_image_has_as_many_bytes_as_its_shape_says(size: int) -> None:
    with pytest.raises(ConformanceError, match=f"in {size} bytes; expected 60 bytes"):
        read(Decoded, {**TIMED, "image": IMAGE}).image.image(bytes(size))


def test_the_shape_of_an_image_reads_its_bytes() -> None:
    image = np.arange(24, dtype=np.uint16).reshape(4, 6, 1)
    assert np.array_equal(ImageShape.of(image).image(image.tobytes()), image)
