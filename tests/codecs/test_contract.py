"""The conformance tests of the interface, over every codec that is registered and every variant of benchmarks.toml."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from harness.config.registry import build, load_class
from harness.errors import BadStreamError, BudgetError, MissingDependencyError, UnsupportedImageError
from harness.interface import BudgetCodec, Codec, Image, LearnedCodec, Setting
from tests.support import other_process as child
from tests.support.codec_cases import build_or_skip, codec_formats, codec_ids, specs
from tests.support.images import ODD_IMAGES, SEED, make_image, psnr

CASES = [pytest.param(codec_id, kind, id=f"{codec_id}-{kind}") for codec_id, kind in codec_formats()]
BUDGET_CASES = [case for case in CASES if issubclass(load_class(specs()[str(case.values[0])].target), BudgetCodec)]
PHOTOGRAPH = ("photograph", (96, 112))
ENDS = {"bottom": 0, "top": -1}
SECONDS_A_DECODE = 30
DECODE_MEMORY_BYTES = 4 * 2**30

InOtherProcess = Callable[..., Any]


def encode_or_skip(codec: Codec, image: Image, setting: Setting) -> bytes:
    """Encode; a limit of the format that it states itself is no failure."""
    try:
        return codec.encode(image, setting)
    except UnsupportedImageError as error:
        pytest.skip(str(error))


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("odd", ODD_IMAGES)
@pytest.mark.parametrize(("codec_id", "kind"), CASES)
def test_another_process_decodes_the_same_shape_and_dtype_at_any_size(
    codec_id: str, kind: str, odd: str, end: str, other_process: InOtherProcess
) -> None:
    codec = build_or_skip(codec_id)
    image = make_image(*ODD_IMAGES[odd], kind)
    data = encode_or_skip(codec, image, codec.ladder[ENDS[end]])
    decoded = other_process(child.decode, specs()[codec_id], data)
    assert type(data) is bytes
    assert (decoded.shape, decoded.dtype) == (image.shape, image.dtype)
    assert decoded.flags.c_contiguous
    assert not codec.lossless or np.array_equal(decoded, image)


@pytest.mark.parametrize(("codec_id", "kind"), CASES)
def test_equal_images_and_settings_give_equal_bytes(codec_id: str, kind: str) -> None:
    image = make_image(*PHOTOGRAPH, kind)
    setting = build_or_skip(codec_id).ladder[-1]
    first, second = (build_or_skip(codec_id).encode(image, setting) for _ in range(2))
    assert first == second


@pytest.mark.parametrize(("codec_id", "kind"), CASES)
def test_the_input_is_left_as_it_was(codec_id: str, kind: str) -> None:
    codec = build_or_skip(codec_id)
    locked = make_image(*PHOTOGRAPH, kind)
    writable = locked.copy()
    assert codec.encode(locked, codec.ladder[0]) == codec.encode(writable, codec.ladder[0])
    assert np.array_equal(writable, locked)


@pytest.mark.parametrize(("codec_id", "kind"), CASES)
def test_files_grow_along_the_ladder(codec_id: str, kind: str) -> None:
    codec = build_or_skip(codec_id)
    assert not codec.lossless or len(codec.ladder) == 1
    if len(codec.ladder) == 1:
        pytest.skip("its ladder has one setting")
    image = make_image(*PHOTOGRAPH, kind)
    places = np.linspace(0, len(codec.ladder) - 1, 5).astype(int)
    sizes = [len(codec.encode(image, codec.ladder[place])) for place in places]
    assert all(later >= 0.9 * earlier for earlier, later in pairwise(sizes)), sizes
    assert sizes[-1] > 3 * sizes[0]


@pytest.mark.parametrize("bits", [10, 12, 16])
@pytest.mark.parametrize("codec_id", [codec_id for codec_id, kind in codec_formats() if kind == "gray16"])
def test_the_top_of_the_ladder_keeps_images_of_any_depth(codec_id: str, bits: int) -> None:
    codec = build_or_skip(codec_id)
    image = make_image(*PHOTOGRAPH, "gray16", bits)
    decoded = codec.decode(codec.encode(image, codec.ladder[-1]))
    least = 40 if isinstance(codec, LearnedCodec) else 50  # a checkpoint's finest step is set by its trained one
    assert psnr(image, decoded, 2**bits - 1) > least


@pytest.mark.parametrize(("codec_id", "kind"), CASES)
def test_the_top_of_the_ladder_is_close_to_the_image(codec_id: str, kind: str) -> None:
    codec = build_or_skip(codec_id)
    image = make_image(*PHOTOGRAPH, kind)
    decoded = codec.decode(codec.encode(image, codec.ladder[-1]))
    assert np.array_equal(decoded, image) if codec.lossless else psnr(image, decoded) > 38


@pytest.mark.parametrize("ratio", [4, 8, 16])
@pytest.mark.parametrize(("codec_id", "kind"), BUDGET_CASES)
def test_rate_control_fills_a_budget_with_a_file_that_its_setting_makes_again(
    codec_id: str, kind: str, ratio: int
) -> None:
    codec = build_or_skip(codec_id)
    assert isinstance(codec, BudgetCodec)
    image = make_image(*PHOTOGRAPH, kind)
    budget = image.nbytes // ratio
    encoded = codec.encode_to_budget(image, budget)
    assert codec.encode(image, encoded.setting) == encoded.data
    assert 0.9 * budget < len(encoded.data) <= budget
    with pytest.raises(BudgetError, match="bytes"):
        codec.encode_to_budget(image, 8)


def damaged(data: bytes) -> list[bytes]:
    """Return truncations, bit flips, overwritten stretches and made-up bytes, the same on every run."""
    rng = np.random.default_rng(SEED)
    cuts = [data[: len(data) * part // 8] for part in range(8)] + [data[:-1], data[1:], data + data]
    flips, smears = [], []
    for place in rng.integers(0, len(data), 12):
        flips.append(data[:place] + bytes([data[place] ^ 1 << int(rng.integers(8))]) + data[place + 1 :])
        smears.append(data[:place] + rng.bytes(6) + data[place + 6 :])
    head = data[: min(len(data), 64)]
    heads = [bytes([*head[:place], 0xFF, *head[place + 1 :]]) + data[len(head) :] for place in range(0, len(head), 4)]
    return [*cuts, *flips, *smears, *heads, rng.bytes(300), b"\x00" * 300, b"\xff" * 300]


@pytest.mark.parametrize(("codec_id", "kind"), CASES)
def test_damaged_bytes_end_in_an_image_or_a_bad_stream(codec_id: str, kind: str, other_process: InOtherProcess) -> None:
    codec = build_or_skip(codec_id)
    data = codec.encode(make_image("photograph", (40, 56), kind), codec.ladder[len(codec.ladder) // 2])
    streams = damaged(data)
    endings = other_process(child.endings, specs()[codec_id], streams)
    assert {ending.kind for ending in endings} <= {"image", "BadStreamError"}
    assert max(ending.seconds for ending in endings) < SECONDS_A_DECODE
    assert other_process(child.peak_memory_bytes) < DECODE_MEMORY_BYTES


@pytest.mark.parametrize("foreign", ["raw", "png", "qoi"])
@pytest.mark.parametrize("codec_id", codec_ids())
def test_another_codecs_file_is_a_bad_stream(codec_id: str, foreign: str) -> None:
    codec = build_or_skip(codec_id)
    if codec.name == foreign or (codec.name, foreign) == ("command", "png"):  # tested with a command that copies a PNG
        pytest.skip("its own file")
    maker = build_or_skip(foreign)
    data = maker.encode(make_image(*PHOTOGRAPH, "rgb8"), maker.ladder[0])
    with pytest.raises(BadStreamError):
        codec.decode(data)


@pytest.mark.parametrize("codec_id", codec_ids())
def test_a_codec_builds_or_says_what_to_install(codec_id: str) -> None:
    try:
        codec = build(specs()[codec_id])
    except MissingDependencyError as error:
        assert "Install: " in str(error)
        return
    assert codec.provenance()
    assert len(codec.ladder) > 0


@pytest.mark.parametrize("codec_id", codec_ids())
def test_provenance_is_the_same_every_time(codec_id: str) -> None:
    assert build_or_skip(codec_id).provenance() == build_or_skip(codec_id).provenance()


_BUILD_ALL = """
import sys
from harness.errors import MissingDependencyError
from harness.config.registry import build, load_class
from tests.support.codec_cases import specs
for spec in specs().values():
    try:
        build(spec)
    except MissingDependencyError:
        pass
heavy = {"torch", "compressai", "matplotlib", "pandas", "scipy", "distributed"} & set(sys.modules)
assert not heavy, heavy
"""
_LIST_ALL = """
import sys
from harness.config.registry import known_targets
assert known_targets()
loaded = {name for name in sys.modules if name.startswith("harness.codecs") or name in ("PIL", "imagecodecs")}
assert not loaded, loaded
"""


@pytest.mark.parametrize("script", [_BUILD_ALL, _LIST_ALL], ids=["building", "listing"])
def test_building_and_listing_codecs_loads_nothing_heavy(script: str) -> None:
    subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
