"""Hostile bytes end in a picture or an error of ours, within limits: samples here, long runs when asked for."""

from __future__ import annotations

import re
import subprocess
import sys
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.config.registry import CodecSpec
from harness.errors import BadStreamError, LimitError, MissingDependencyError
from harness.sandbox.process import CodecProcess
from tests.support.codec_cases import codec_ids, specs
from tests.support.command import environment
from tests.support.fuzzing import LIMITS, TARGETS, Totals, fuzz_codec, mutated, sound_files, unready, with_weights

SEED = 20240703
SAMPLE = 15
STREAMS = 4000
"""Mutated streams of each codec in the long run; of codecs that start a program, fewer."""
STREAMS_OF_PROGRAMS = 400
EDITS = 5000
ATHERIS_RUNS = 20_000
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def process() -> Iterator[CodecProcess]:
    found = CodecProcess(LIMITS)
    yield found
    found.close()


def assert_harmless(totals: Totals, streams: int) -> None:
    assert totals.count == streams
    assert not totals.faults, [(ending, data[:80].hex()) for ending, data in totals.faults[:3]]
    assert totals.slowest_seconds < LIMITS.seconds


def ready_or_skip(codec_id: str) -> CodecSpec:
    """Return a codec's spec; skip the test, with the reason, where it needs weights that nobody here can make."""
    spec = specs()[codec_id]
    if missing := unready(spec):
        pytest.skip(missing)
    return with_weights(spec)


@pytest.mark.parametrize("codec_id", codec_ids())
def test_a_few_mutated_streams_end_in_an_image_or_a_bad_stream(codec_id: str, process: CodecProcess) -> None:
    try:
        totals = fuzz_codec(ready_or_skip(codec_id), process, SAMPLE, SEED)
    except MissingDependencyError as error:
        pytest.skip(str(error))
    assert_harmless(totals, SAMPLE)


@pytest.mark.exhaustive
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("codec_id", codec_ids())
def test_many_mutated_streams_end_in_an_image_or_a_bad_stream(
    codec_id: str, process: CodecProcess, record_property: Callable[[str, object], None]
) -> None:
    streams = STREAMS_OF_PROGRAMS if specs()[codec_id].target.endswith((":Ffmpeg", ":Command")) else STREAMS
    try:
        totals = fuzz_codec(ready_or_skip(codec_id), process, streams, SEED + 1)
    except MissingDependencyError as error:
        pytest.skip(str(error))
    for ending, count in totals.endings.items():
        record_property(ending, count)
    record_property("slowest seconds", round(totals.slowest_seconds, 3))
    assert_harmless(totals, streams)


@pytest.mark.parametrize("name", TARGETS)
@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.binary(max_size=300), seed=st.integers(0, 2**32))
def test_no_bytes_upset_a_decoder_of_ours(name: str, data: bytes, seed: int) -> None:
    target = TARGETS[name]
    target.run(data)
    target.run(mutated(target.sound(), np.random.default_rng(seed)))


def test_a_small_file_that_claims_to_be_a_large_image_ends_within_the_time_limit() -> None:
    """As damaged where its bytes are found wrong before the limit, else by the limit."""
    spec = with_weights(specs()["residual"])
    data = bytearray(sound_files(spec)[0])
    data[14:22] = (4096).to_bytes(4, "little") * 2
    claim = bytes(data[:36]) + zlib.crc32(data[40:], zlib.crc32(data[:36])).to_bytes(4, "little") + bytes(data[40:])
    process = CodecProcess(LIMITS.model_copy(update={"seconds": 2.0}))
    begun = time.monotonic()
    try:
        with pytest.raises((LimitError, BadStreamError), match=r"longer than its limit of 2 s|data are damaged"):
            process.decode_any(spec, claim, 2**30)
        assert time.monotonic() - begun < 2 + 6  # to start the child, and to notice and kill it on a busy machine
    finally:
        process.close()


@pytest.mark.parametrize("name", TARGETS)
def test_a_sound_file_reaches_the_end_of_its_decoder(name: str) -> None:
    TARGETS[name].run(TARGETS[name].sound())


DEEP = {
    "config": b"a = " + b"[" * 100_000,
    "manifest": b"[" * 100_000,
    "card": b"[" * 100_000,
    "plugin": b"(" * 100_000,
    "records": b'"' * 100_000,
}


@pytest.mark.parametrize("name", DEEP)
def test_deep_nesting_is_refused_as_any_damage_is(name: str) -> None:
    TARGETS[name].run(DEEP[name])


def with_levels(weights: bytes, levels: int) -> bytes:
    """Return a weights file whose entropy model says that it has so many levels."""
    arrays = safetensors.numpy.load(weights)
    edges = arrays["law.edges"].astype(np.int64)
    edges[0] = levels
    return safetensors.numpy.save({**arrays, "law.edges": edges})


DAMAGED: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "a card whose fingerprints are a path": (
        "card",
        lambda card: re.sub(rb"[0-9a-f]+\.fingerprints", b"../a.fingerprints", card),
    ),
    "a store with a column whose name is no text": ("store", lambda store: store.replace(b"psnr_y", b"psnr\x8fy")),
    "a store with something else in place of JSON": ("store", lambda store: store.replace(b"{}", b"{]")),
    "weights whose entropy model has no end of levels": ("weights", lambda weights: with_levels(weights, 2**62)),
}
"""What atheris found, and what stood beside it: target and damage."""


@pytest.mark.parametrize("found", DAMAGED)
def test_damage_that_fuzzing_found_is_refused(found: str) -> None:
    name, damage = DAMAGED[found]
    sound = TARGETS[name].sound()
    assert damage(sound) != sound
    TARGETS[name].run(damage(sound))


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", TARGETS)
def test_no_mutation_upsets_a_decoder_of_ours(name: str) -> None:
    target, rng = TARGETS[name], np.random.default_rng(SEED)
    sound = target.sound()
    for _ in range(EDITS):
        target.run(mutated(sound, rng))


@pytest.mark.exhaustive
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("name", TARGETS)
def test_atheris_finds_nothing(name: str, tmp_path: Path) -> None:
    pytest.importorskip("atheris", reason="atheris is not installed: it is made for Linux")
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.fuzz_atheris", name, f"-runs={ATHERIS_RUNS}", "-seed=1", "-max_len=4096"],
        cwd=tmp_path,
        env=environment(PYTHONPATH=str(ROOT)),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert f"Done {ATHERIS_RUNS} runs" in done.stderr


def test_a_codec_without_its_weights_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("HARNESS_DATA", "HARNESS_WEIGHTS", "HARNESS_CACHE"):
        monkeypatch.setenv(variable, str(tmp_path))
    assert "published weights" in (unready(specs()["bmshj2018-factorized"]) or "")
    assert unready(specs()["baseline"]) is None
