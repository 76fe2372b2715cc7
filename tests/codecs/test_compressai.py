"""CompressAI's networks as codecs: tiny ones with random weights stand for the published ones."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from harness.codecs._compressai.codec import MOST_PIXELS, CompressAiCodec
from harness.codecs._compressai.weights import (
    DATA_SET,
    ROOT,
    Published,
    find_published,
    networks,
    published_sha256,
    read_weights,
)
from harness.codecs.compressai import Factorized
from harness.config.registry import BUILT_IN, build, get_codec
from harness.config.schema import load
from harness.errors import BadStreamError, DataError, UnsupportedImageError
from harness.learned.bitstream import HEADER_BYTES, Stream
from harness.plan.planner import make_plan
from harness.plan.request import Request, resolve
from harness.system.paths import weights_folder
from tests.support.bench_runs import write
from tests.support.images import make_image, packaged_photograph

NAMES = [name for name, target in BUILT_IN.items() if "compressai" in target]
WIDTHS = {name: (8,) if name.startswith("cheng") else (8, 12) for name in NAMES}


def published_like(real: type[CompressAiCodec], folder: Path, seed: int = 0) -> Published:
    """Write a pickled checkpoint of few channels and random weights, as CompressAI publishes them; return its entry."""
    import torch

    torch.manual_seed(seed)
    folder.mkdir(exist_ok=True)
    pickled = folder / "tiny"
    torch.save(real.network(*WIDTHS[real.name]).state_dict(), pickled)
    entry = Published("tiny", hashlib.sha256(pickled.read_bytes()).hexdigest()[:8], WIDTHS[real.name], 24.0)
    pickled.rename(folder / entry.file)
    return entry


def tiny(real_name: str, folder: Path, seeds: tuple[int, ...] = (0,), quality: int | None = None) -> CompressAiCodec:
    """A codec like a published one, with a quality a seed."""
    real = type(get_codec(real_name))
    assert issubclass(real, CompressAiCodec)
    entries = [published_like(real, folder, seed) for seed in seeds]

    class Tiny(CompressAiCodec):
        name: ClassVar[str] = real.name
        published: ClassVar[list[Published]] = entries

        @staticmethod
        def network(*widths: int) -> Any:
            network: Any = vars(real)["network"].__func__(*widths)
            return network

    return Tiny(weights=str(folder), quality=quality)


@pytest.fixture(autouse=True)
def own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights and cache of nobody else."""
    monkeypatch.setenv("HARNESS_WEIGHTS", str(tmp_path / "weights"))
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("HARNESS_DATA", raising=False)


def tensors(codec: CompressAiCodec) -> Any:
    """Return the network's weights as a state dict."""
    return read_weights(
        find_published(codec.checkpoint, codec._folders, codec.name), codec.checkpoint, weights_folder()
    ).tensors


@pytest.mark.parametrize("kind", ["rgb8", "gray16"])
@pytest.mark.parametrize("k", [-20, 20])
@pytest.mark.parametrize("name", NAMES)
def test_a_new_codec_decodes_what_another_encoded_at_any_step(name: str, k: int, kind: str, tmp_path: Path) -> None:
    image = make_image("photograph", (33, 70), kind)
    data = tiny(name, tmp_path).encode(image, k)
    first, second = (tiny(name, tmp_path).decode(data) for _ in range(2))
    assert (first.shape, first.dtype) == (image.shape, image.dtype)
    assert np.array_equal(first, second)


@pytest.mark.parametrize("name", NAMES)
def test_the_decoded_image_is_the_synthesis_of_the_quantised_analysis(name: str, tmp_path: Path) -> None:
    """At a fine step it approaches the network without any quantisation, which shows that the step is undone."""
    import torch

    image = make_image("photograph", (64, 64), "rgb8")
    codec = tiny(name, tmp_path)
    decoded = codec.decode(codec.encode(image, codec.ladder[-1]))
    network = codec.network(*WIDTHS[name])
    network.load_state_dict(tensors(codec))
    with torch.no_grad():
        values = torch.from_numpy(image.transpose(2, 0, 1)[None] / np.float32(255))
        plain = network.g_s(network.g_a(values)).clamp(0, 1)[0].permute(1, 2, 0).numpy() * 255
    assert np.abs(decoded - plain).mean() < 1.5


@pytest.mark.parametrize("name", NAMES)
def test_finer_steps_make_larger_files(name: str, tmp_path: Path) -> None:
    image = make_image("noise", (64, 64), "rgb8")
    codec = tiny(name, tmp_path)
    sizes = [len(codec.encode(image, k)) for k in (64, 0, -64)]
    assert sizes == sorted(sizes)


@pytest.mark.parametrize("name", NAMES)
def test_step_one_is_as_published(name: str, tmp_path: Path) -> None:
    """The strings are those of CompressAI itself."""
    import torch

    image = make_image("photograph", (64, 128), "rgb8")
    codec = tiny(name, tmp_path)
    data = codec.encode(image, 0)
    network = codec.network(*WIDTHS[name]).eval()
    network.load_state_dict(tensors(codec))
    network.update(force=True)
    with torch.no_grad():
        made = network.compress(torch.from_numpy(image.transpose(2, 0, 1)[None] / np.float32(255)))
    assert all(string[0] in data for string in made["strings"])


@pytest.mark.parametrize("name", [name for name in NAMES if not type(get_codec(name)).seconds_per_megapixel])
def test_a_file_is_near_the_network_s_own_estimate(name: str, tmp_path: Path) -> None:
    """Header and lengths are left out; CompressAI's coder ends each string with its state, up to 8 bytes.

    The autoregressive ones are left out: CompressAI's estimate rounds what their context sees otherwise than its coder.
    """
    codec = tiny(name, tmp_path)
    image = packaged_photograph()[:128, :192]
    for k in (-32, 0):  # at finer steps the latents of an untrained network leave its entropy models
        strings = len(codec.encode(image, k)) - HEADER_BYTES - 12
        bits = codec.estimated_bits(image, k)
        assert -0.02 * bits <= 8 * strings - bits <= 0.02 * bits + 2 * 64


@pytest.mark.parametrize("cut", [0, 10, 39, 45, -1])
def test_a_truncated_file_is_refused(cut: int, tmp_path: Path) -> None:
    codec = tiny("mbt2018-mean", tmp_path)
    data = codec.encode(make_image("photograph", (20, 30), "rgb8"), 0)
    with pytest.raises(BadStreamError):
        codec.decode(data[:cut])


def test_a_flipped_bit_is_refused(tmp_path: Path) -> None:
    codec = tiny("bmshj2018-hyperprior", tmp_path)
    data = bytearray(codec.encode(make_image("photograph", (20, 30), "rgb8"), 0))
    for place in range(0, len(data), 7):
        damaged = bytes([*data[:place], data[place] ^ 4, *data[place + 1 :]])
        with pytest.raises(BadStreamError):
            codec.decode(damaged)


def test_a_file_of_unpublished_weights_is_refused(tmp_path: Path) -> None:
    data = tiny("mbt2018-mean", tmp_path / "a").encode(make_image("flat", (8, 8), "rgb8"), 0)
    with pytest.raises(BadStreamError, match="no published ones of mbt2018-mean"):
        tiny("mbt2018-mean", tmp_path / "b", seeds=(1,)).decode(data)


def test_a_codec_decodes_a_file_of_any_quality_whose_weights_are_here(tmp_path: Path) -> None:
    image = make_image("photograph", (20, 30), "rgb8")
    low, high = (tiny("mbt2018-mean", tmp_path, (0, 1), quality) for quality in (1, 2))
    data = low.encode(image, 0)
    assert data != high.encode(image, 0)
    assert np.array_equal(high.decode(data), low.decode(data))
    high = type(high)(weights=str(tmp_path))
    for path in [*tmp_path.glob(low.checkpoint.file), *tmp_path.rglob(low.checkpoint.converted)]:
        path.unlink()
    with pytest.raises(BadStreamError, match=f"weights that are not here: .*{low.checkpoint.file}"):
        high.decode(data)


# What a header may say although its CRC is right.


def forged(data: bytes, name: str, **changes: Any) -> bytes:
    """Return a file whose header or payload was changed by someone who mends the CRC-32."""
    return replace(Stream.from_bytes(data, name), **changes).to_bytes()


PAYLOADS = {
    "empty": b"",
    "no string": b"\x01\x00\x01\x00",
    "three strings": b"\x01\x00\x01\x00" + 3 * b"\x00\x00\x00\x00",
    "a string longer than the file": b"\x01\x00\x01\x00\xff\xff\xff\xff\x00",
    "a shape of 4 gigapixels": b"\xff\xff\xff\xff" + 2 * b"\x00\x00\x00\x00",
    "empty strings": b"\x01\x00\x01\x00" + 2 * b"\x00\x00\x00\x00",
    "noise": b"\x01\x00\x01\x00" + 2 * (b"\x40\x00\x00\x00" + bytes(range(190, 254))),
}


@pytest.mark.parametrize("payload", PAYLOADS.values(), ids=PAYLOADS)
@pytest.mark.parametrize("name", ["mbt2018-mean", "cheng2020-anchor", "bmshj2018-factorized"])
def test_a_made_up_payload_behind_a_right_crc_is_refused(name: str, payload: bytes, tmp_path: Path) -> None:
    codec = tiny(name, tmp_path)
    data = codec.encode(make_image("photograph", (20, 30), "rgb8"), 0)
    if name == "bmshj2018-factorized":
        payload = payload.replace(b"\x01\x00\x01\x00", b"\x04\x00\x04\x00", 1)
    with pytest.raises(BadStreamError):
        codec.decode(forged(data, name, payload=payload))


MADE_UP = """
import sys
import torch
from compressai.models import FactorizedPrior
from harness.codecs._compressai.network import SteppedNetwork
from harness.errors import BadStreamError

network = SteppedNetwork(FactorizedPrior(8, 12), "")
network.set_step(1.0)
string = bytes([int(sys.argv[1])]) * int(sys.argv[2])
try:
    with torch.inference_mode():
        print(*network.decompress([string], (64, 64)).image.shape)
except BadStreamError as error:
    print(error)
"""
"""Decodes a string of one byte, repeated, in a process of its own: one that reads elsewhere takes its process along."""


@pytest.mark.parametrize("byte", [0, 255])
@pytest.mark.parametrize(("length", "says"), [(390_000, "1 3 1024 1024"), (400_000, "latents take at most 393216")])
def test_a_made_up_string_is_never_read_beyond_its_end(byte: int, length: int, says: str) -> None:
    asked = [sys.executable, "-c", MADE_UP, str(byte), str(length)]
    done = subprocess.run(asked, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, (done.returncode, done.stderr)
    assert says in done.stdout


def test_latents_that_are_not_those_that_were_encoded_are_refused(tmp_path: Path) -> None:
    codec = tiny("mbt2018", tmp_path)
    data = codec.encode(make_image("photograph", (20, 30), "rgb8"), 0)
    with pytest.raises(BadStreamError, match="latents are not those"):
        codec.decode(forged(data, "mbt2018", latents_crc=1))


@pytest.mark.parametrize("size", [(2048, 2049), (1, MOST_PIXELS + 1), (4096, 4096), (100_000, 1)])
def test_an_absurd_size_is_refused_before_any_network_sees_it(size: tuple[int, int], tmp_path: Path) -> None:
    codec = tiny("bmshj2018-hyperprior", tmp_path)
    data = codec.encode(make_image("photograph", (20, 30), "rgb8"), 0)
    with pytest.raises(BadStreamError, match="pixels are accepted"):
        codec.decode(forged(data, "bmshj2018-hyperprior", height=size[0], width=size[1]))
    with pytest.raises(UnsupportedImageError, match=str(MOST_PIXELS)):
        codec.encode(np.zeros((*size, 1), np.uint8), 0)


@pytest.mark.parametrize("k", [129, -97, -(2**15)])
def test_a_step_beyond_the_ladder_is_refused(k: int, tmp_path: Path) -> None:
    codec = tiny("bmshj2018-factorized", tmp_path)
    data = codec.encode(make_image("flat", (8, 8), "rgb8"), 0)
    with pytest.raises(BadStreamError, match="settings are -96 to 128"):
        codec.decode(forged(data, "bmshj2018-factorized", k=k))


@pytest.mark.parametrize("name", NAMES)
def test_without_weights_the_codec_names_file_and_address(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HARNESS_DATA", str(tmp_path))
    codec = get_codec(name, ratio=40.0)
    assert isinstance(codec, CompressAiCodec)
    reason = codec.missing()
    assert reason is not None
    assert codec.checkpoint.file in reason
    assert f"harness data fetch {DATA_SET}" in reason
    for place in ("weights", "cache/data/compressai-weights"):
        assert str(tmp_path / place) in reason
    assert codec.provenance()["weights"] is None
    with pytest.raises(DataError, match="download https://"):
        codec.encode(make_image("flat", (8, 8), "rgb8"), 0)


def test_a_ratio_below_all_published_ones_is_out_of_reach_with_the_reason() -> None:
    reason = Factorized(ratio=8).out_of_reach()["rgb8"]
    assert "at quality 8 end at 1.83 bits per pixel of 24 (13.1x), above 8x. No higher quality is published." in reason


@pytest.mark.parametrize(
    ("ratio", "refused"),
    [(14, set()), (12, {"rgb8"}), (8, {"rgb8", "gray16"}), (4, {"rgb8", "gray16", "gray8"})],
)
def test_a_gray_image_is_judged_by_the_bits_that_its_pixels_have(ratio: float, refused: set[str]) -> None:
    """1.83 bits per pixel are 13.1x of 24, 8.7x of 16 and 4.4x of 8."""
    assert set(Factorized(ratio=ratio).out_of_reach()) == refused


def test_a_bench_asks_each_image_whether_its_ratio_is_in_reach(tmp_path: Path) -> None:
    for name, kind in (("colour.png", "rgb8"), ("gray.png", "gray8")):
        write(tmp_path / name, make_image("photograph", (40, 50), kind))
    request = Request(load(), "demo", (8.0,), codecs=("bmshj2018-factorized",), images=tmp_path, train=False)
    reasons = {
        record.image: record.reason for record in make_plan(resolve(request)).placeholders if record.target_ratio
    }
    assert "(13.1x), above 8x" in reasons["colour.png"]
    assert "harness data fetch" in reasons["gray.png"]


@pytest.mark.parametrize(("quality", "refused"), [(5, True), (6, False), (None, False)])
def test_a_checkpoint_is_judged_by_its_own_published_rate(quality: int | None, refused: bool) -> None:
    reason = Factorized(ratio=25, quality=quality).out_of_reach().get("rgb8", "")
    assert ("Ask for a higher quality." in reason) == refused
    assert Factorized(quality=quality).out_of_reach() == {}


@pytest.mark.parametrize("name", NAMES)
def test_the_rates_of_the_checkpoints_are_those_published(name: str, harness_data: Path) -> None:
    path = f"published/compressai/8bit-decoded/kodak/compressai-{name}_mse_ans_cuda.json"
    theirs = json.loads((harness_data / path).read_text())["results"]["bpp"]
    codec = get_codec(name)
    assert isinstance(codec, CompressAiCodec)
    assert [checkpoint.bpp for checkpoint in codec.published] == pytest.approx(theirs, abs=5e-5)


def test_a_published_file_is_checked_and_converted_once(tmp_path: Path) -> None:
    codec = tiny("mbt2018-mean", tmp_path)
    before = codec.provenance()
    image = make_image("flat", (8, 8), "rgb8")
    data = codec.encode(image, 0)
    (tmp_path / codec.checkpoint.file).unlink()
    again = type(codec)(weights=str(tmp_path))
    assert again.provenance() == before
    assert again.encode(image, 0) == data
    assert [path.name for path in (tmp_path / "weights").iterdir()] == [codec.checkpoint.converted]


def test_a_damaged_published_file_is_refused(tmp_path: Path) -> None:
    codec = tiny("mbt2018-mean", tmp_path)
    path = tmp_path / codec.checkpoint.file
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    with pytest.raises(DataError, match=f"sha256 does not begin with {codec.checkpoint.sha256_start}"):
        codec.encode(make_image("flat", (8, 8), "rgb8"), 0)


@pytest.mark.parametrize("place", [3, -1])
def test_a_damaged_converted_file_is_refused(place: int, tmp_path: Path) -> None:
    codec = tiny("mbt2018-mean", tmp_path)
    codec.encode(make_image("flat", (8, 8), "rgb8"), 0)
    path = tmp_path / "weights" / codec.checkpoint.converted
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(data)
    with pytest.raises(DataError, match="Remove it"):
        type(codec)(weights=str(tmp_path)).encode(make_image("flat", (8, 8), "rgb8"), 0)


def test_a_converted_file_of_another_maker_is_refused(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    codec = tiny("mbt2018-mean", tmp_path)
    save_file(dict(tensors(codec)), tmp_path / codec.checkpoint.converted)
    with pytest.raises(DataError, match="does not say what it was converted from"):
        published_sha256(tmp_path / codec.checkpoint.converted)


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("HARNESS_WEIGHTS", str(tmp_path / "file"))
    with pytest.raises(DataError, match="cannot be written into"):
        tiny("mbt2018-mean", tmp_path).encode(make_image("flat", (8, 8), "rgb8"), 0)


def test_a_published_file_that_would_run_code_is_not_loaded(tmp_path: Path) -> None:
    import pickle

    evil = tmp_path / "evil"
    evil.write_bytes(pickle.dumps({"weights": print}, protocol=2))
    entry = Published("tiny", hashlib.sha256(evil.read_bytes()).hexdigest()[:8], (8, 12), 24.0)
    with pytest.raises(DataError, match="holds more than tensors"):
        read_weights(evil, entry, tmp_path / "out")


def test_the_names_agree_with_compressai_s_own_list() -> None:
    networks()
    from compressai.zoo.image import cfgs, model_urls

    for name in NAMES:
        codec = type(get_codec(name))
        assert issubclass(codec, CompressAiCodec)
        urls = [url.rpartition("/")[2] for url in model_urls[name]["mse"].values()]
        assert [one.file for one in codec.published] == urls
        assert [one.widths for one in codec.published] == list(cfgs[name].values())


def test_what_is_fetched_are_checkpoints_of_these_codecs_and_those_of_the_variants_among_them() -> None:
    config = load()
    data = config.data_set(DATA_SET)
    codecs = [build(config.codec_spec(name)) for name in NAMES]
    ours = [codec for codec in codecs if isinstance(codec, CompressAiCodec)]
    known = {one.file: one.sha256_start for codec in ours for one in codec.published}
    assert {codec.checkpoint.file for codec in ours} <= set(data.files)
    assert dict(data.files).items() <= known.items()
    assert data.url == f"{ROOT}/{{file}}"


@pytest.mark.parametrize("name", NAMES)
def test_the_variants_serve_16x_or_say_why_not(name: str) -> None:
    variant = load().codec_spec(name)
    codec = build(variant.at_ratio(16))
    assert isinstance(codec, CompressAiCodec)
    assert codec.missing() is not None
    reason = codec.out_of_reach().get("rgb8", "")
    assert ("end at 0.81 bits per pixel" in reason) == name.startswith("cheng2020")


def test_the_models_that_decode_place_by_place_say_that_they_are_slow() -> None:
    slow = {name for name in NAMES if type(get_codec(name)).seconds_per_megapixel}
    assert slow == {"mbt2018", "cheng2020-anchor", "cheng2020-attn"}
