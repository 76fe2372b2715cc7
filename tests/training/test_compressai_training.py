"""CompressAI's networks in training: the loop of the other networks trains them, with the same results on disk."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.config.registry import BUILT_IN, CodecSpec, build, find, get_codec
from harness.config.schema import load
from harness.errors import BadStreamError, ConfigError, DataError
from harness.learned.shape import Widths
from harness.learned.trainable import Trainable
from harness.learned.weights import Choices, TrainableCodec
from harness.training.folder import CHECKPOINTS
from harness.training.images import read_training_set
from harness.training.jobs import job_for, quick_fault
from harness.training.recipe import TrainingRecipe
from harness.training.session import is_trainable, is_trained_here
from tests.support.bench_runs import bench, write
from tests.support.images import make_image, packaged_photograph
from tests.support.other_process import decode
from tests.training.test_training import PHOTOGRAPHS, card_of, curve, write_pictures

NAMES = [name for name, target in BUILT_IN.items() if "compressai" in target]
SHAPES = {name: {"N": 24} if name.startswith("cheng") else {"N": 8, "M": 96} for name in NAMES}
RECIPE: dict[str, Any] = {
    "loss": "rate",
    "rate_gradient": "noise",
    "steps": 24,
    "entropy_steps": 6,
    "validate_every": 6,
    "batch": 2,
    "crop": 64,
    "validation_images": 1,
    "schedule": "cosine",
    "learning_rate": 1e-3,
    "first_step": {"16": 12},
    "start_from": {"8": 16},
    "steps_from_neighbour": 3,
    "shapes": SHAPES,
}
STEPS = 6 + 24 + 6
ENDS = ["bmshj2018-factorized", "bmshj2018-hyperprior"]
"""The networks that are trained end to end here."""


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of four small lossless photographs."""
    return write_pictures(tmp_path_factory.mktemp("pictures"))


def spec_of(name: str, folder: Path, ratio: float = 16) -> CodecSpec:
    return find(name, {"recipe": "tiny", "ratio": ratio, "weights": str(folder)})


def train(folder: Path, pictures: Path, name: str, ratio: float = 16) -> Path:
    from harness.training import train as training
    from harness.training.loop import Machines

    job = job_for(spec_of(name, folder, ratio), {"tiny": RECIPE})
    return training.train(job, read_training_set(pictures), folder, Machines("cpu"), bar=False)


PROGRAM = """
import sys
from pathlib import Path
import torch
from tests.training import test_compressai_training as test
torch.set_num_threads(1)
test.train(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])
"""


def start(folder: Path, pictures: Path, name: str) -> subprocess.Popen[bytes]:
    here = Path(__file__).parents[2]
    environment = {**os.environ, "PYTHONPATH": str(here), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(folder), str(pictures), name], env=environment, cwd=here
    )


@pytest.fixture(scope="module", params=ENDS)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, pictures: Path, name: str) -> Path:
    """The folder of weights of one uninterrupted training."""
    folder = tmp_path_factory.mktemp("trained")
    with start(folder, pictures, name) as process:
        assert process.wait(300) == 0
    return folder


def held_aside(folder: Path) -> Any:
    (image,) = card_of(folder)["validation"]
    return packaged_photograph(image)[60:188, 80:240]


def test_training_lowers_the_loss_and_ends_with_a_card(trained: Path, name: str) -> None:
    rows = curve(trained, f"{name}-tiny-16x")
    assert [int(row["step"]) for row in rows] == list(range(1, STEPS + 1))
    first, last = (np.mean([float(row["loss"]) for row in part]) for part in (rows[6:12], rows[24:30]))
    assert last < first
    card = card_of(trained)
    assert (card["architecture"], card["recipe_name"], card["steps"]) == (name, "tiny", STEPS)
    assert card["shape"] == SHAPES[name]
    assert card["recipe"]["rate_gradient"] == "noise"
    assert {source["name"] for source in card["data"]} == {Path(photograph).stem for photograph in PHOTOGRAPHS}
    assert len(card["curve"]) == STEPS // 6
    assert card["hours"] > 0
    assert list(trained.glob("*.png"))


def test_the_codec_s_own_files_of_validation_images_are_at_the_target(trained: Path, name: str) -> None:
    image = held_aside(trained)
    data = build(spec_of(name, trained)).encode(image, 0)
    assert image.nbytes / len(data) == pytest.approx(16, rel=0.03)
    assert card_of(trained)["validated"]["ratio"] == pytest.approx(image.nbytes / len(data))


def test_another_process_decodes_what_it_encoded_at_any_step(
    trained: Path, name: str, other_process: Callable[..., Any]
) -> None:
    codec = build(spec_of(name, trained))
    images = (make_image("photograph", (33, 70), "gray16"), held_aside(trained))
    files = [codec.encode(image, k) for image in images for k in (-20, 0, 20)]
    for data in files:
        assert np.array_equal(other_process(decode, spec_of(name, trained), data), codec.decode(data))


def test_its_psnr_at_the_target_equals_the_card_s(trained: Path, name: str) -> None:
    image = held_aside(trained)
    codec = build(spec_of(name, trained))
    error = codec.decode(codec.encode(image, 0)).astype(float) - image
    psnr = 20 * np.log10(255) - 10 * np.log10(np.square(error).mean())
    assert psnr == pytest.approx(card_of(trained)["validated"]["psnr"], abs=1e-3)


def test_finer_steps_make_larger_files(trained: Path, name: str) -> None:
    codec = build(spec_of(name, trained))
    sizes = [len(codec.encode(held_aside(trained), k)) for k in (64, 32, 0, -32)]
    assert sizes == sorted(sizes)


def test_a_codec_without_a_recipe_decodes_its_files_by_the_weights_they_name(
    trained: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = make_image("photograph", (20, 30), "rgb8")
    data = build(spec_of(name, trained)).encode(image, 0)
    monkeypatch.setenv("HARNESS_WEIGHTS", str(trained))
    assert get_codec(name).decode(data).shape == image.shape
    monkeypatch.setenv("HARNESS_WEIGHTS", str(trained / "nowhere"))
    with pytest.raises(BadStreamError, match=f"no published ones of {name}"):
        get_codec(name).decode(data)


def test_its_training_images_are_known(trained: Path, name: str) -> None:
    codec = build(spec_of(name, trained))
    assert isinstance(codec, TrainableCodec)
    assert codec.training_fingerprints()
    assert codec.out_of_reach() == {}
    assert codec.missing() is None
    assert codec.provenance()["weights"] == card_of(trained)["sha256"]
    assert quick_fault(spec_of(name, trained)) is None


def test_a_killed_training_goes_on_as_if_it_had_not_been_interrupted(
    trained: Path, name: str, pictures: Path, tmp_path: Path
) -> None:
    path = tmp_path / CHECKPOINTS / f"{name}-tiny-16x" / "curve.csv"
    with start(tmp_path, pictures, name) as process:
        deadline = time.monotonic() + 200
        while not (path.is_file() and len(path.read_text().splitlines()) > 15) and time.monotonic() < deadline:
            time.sleep(0.02)
        os.kill(process.pid, signal.SIGKILL)
    assert len(curve(tmp_path, f"{name}-tiny-16x")) < STEPS
    with start(tmp_path, pictures, name) as process:
        assert process.wait(300) == 0
    assert curve(tmp_path, f"{name}-tiny-16x") == curve(trained, f"{name}-tiny-16x")
    assert card_of(tmp_path)["sha256"] == card_of(trained)["sha256"]


def test_a_neighbour_s_weights_are_the_start_and_save_steps(trained: Path, name: str, pictures: Path) -> None:
    train(trained, pictures, name, ratio=8)
    assert len(curve(trained, f"{name}-tiny-8x")) == 6 + 3 + 6
    assert card_of(trained, 8)["validated"]["ratio"] == pytest.approx(8, rel=0.03)


def test_damaged_weights_are_refused(trained: Path, name: str, tmp_path: Path) -> None:
    for path in trained.glob("*.json"):
        if json.loads(path.read_text())["ratio"] == 16:
            (tmp_path / path.name).write_bytes(path.read_bytes())
            data = path.with_suffix(".safetensors").read_bytes()
            (tmp_path / path.with_suffix(".safetensors").name).write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(DataError, match="sha256 is not what their card says"):
        build(spec_of(name, tmp_path)).encode(make_image("flat", (8, 8), "rgb8"), 0)


# The loop's interface, for each of the six networks.


def network(name: str) -> Trainable:
    import torch

    torch.manual_seed(0)
    cls = type(get_codec(name))
    assert issubclass(cls, TrainableCodec)
    made = cls.trainable(Widths(**SHAPES[name]), Choices("rate", "noise", 0))
    made.prepare(photographs(), 12.0)
    return made.eval()


def photographs() -> Any:
    import torch

    crops = [packaged_photograph(name)[64:128, 64:192] for name in PHOTOGRAPHS[:2]]
    return torch.from_numpy(np.ascontiguousarray(np.stack(crops).transpose(0, 3, 1, 2)) / np.float32(255))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("octaves", [-1.5, 0.75])
def test_rescaling_to_another_step_changes_the_unit_of_latents_and_nothing_else(name: str, octaves: float) -> None:
    import torch

    one = network(name)
    with torch.no_grad():
        latents = one.latents(photographs())
        before, image = one.quantised(latents, 2.0**octaves), one.images(latents)
        one.rescale(octaves)
        rescaled = one.latents(photographs())
        after = one.quantised(rescaled, 1.0)
        assert torch.allclose(rescaled * 2**octaves, latents, rtol=1e-4, atol=1e-4)
        assert torch.allclose(one.images(rescaled), image, atol=1e-4)
        assert after.bits.item() == pytest.approx(before.bits.item(), rel=2e-3)


@pytest.mark.parametrize("name", NAMES)
def test_weights_that_are_packed_and_taken_over_make_the_same_files(name: str) -> None:
    image = make_image("photograph", (40, 70), "rgb8")
    one, other = network(name), network(name)
    one.rescale(0.5)
    frozen = one.frozen()
    other.load_arrays(frozen.arrays())
    assert other.frozen().file_bytes(image) == frozen.file_bytes(image)
    assert np.array_equal(other.frozen().decoded(image), frozen.decoded(image))


@pytest.mark.parametrize("name", NAMES)
def test_every_parameter_learns_and_the_quantiles_from_the_auxiliary_loss_alone(name: str) -> None:
    import torch

    one = network(name).train()
    groups = one.groups()
    counted = [id(parameter) for group in groups for parameter in group]
    assert sorted(counted) == sorted(id(parameter) for parameter in one.parameters())
    noisy = one.with_noise(one.latents(photographs()), 0)
    torch.autograd.backward(noisy.bits + one.images(noisy.latents).square().sum())
    assert all(parameter.grad is not None for parameter in (*groups.networks, *groups.entropy_model))
    assert [parameter.grad for parameter in groups.auxiliary] == [None]
    auxiliary = one.auxiliary_loss()
    assert auxiliary is not None
    torch.autograd.backward(auxiliary)
    assert groups.auxiliary[0].grad is not None


@pytest.mark.parametrize("name", NAMES)
def test_a_seed_decides_the_noise(name: str) -> None:
    import torch

    one = network(name)
    latents = one.latents(photographs()).detach()
    first, again, other = (one.with_noise(latents, seed).latents for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@pytest.mark.parametrize(
    ("name", "shape", "message"),
    [
        ("mbt2018-mean", {"N": 8}, "must give N and M"),
        ("cheng2020-attn", {"N": 8, "M": 8}, "must give N alone"),
        ("mbt2018-mean", {"latent_channels": 8}, "must give N and M"),
        ("baseline", {"N": 8, "M": 8}, "has the keys of a network of CompressAI"),
    ],
)
def test_a_shape_that_does_not_fit_the_network_is_refused(name: str, shape: dict[str, int], message: str) -> None:
    recipe = TrainingRecipe.from_table("tiny", {**RECIPE, "shapes": {name: shape}})
    cls = type(get_codec(name))
    assert issubclass(cls, TrainableCodec)
    with pytest.raises(ConfigError, match=message):
        cls.trainable(recipe.shape(name, 16), recipe.choices)


@pytest.mark.parametrize("change", [{"loss": "study"}, {"rate_gradient": "rounded"}])
def test_another_loss_than_compressai_s_is_refused(change: dict[str, str]) -> None:
    recipe = TrainingRecipe.from_table("tiny", {**RECIPE, **change})
    cls = type(get_codec("mbt2018"))
    assert issubclass(cls, TrainableCodec)
    with pytest.raises(ConfigError, match="rate_gradient = 'noise'"):
        cls.trainable(recipe.shape("mbt2018", 16), recipe.choices)


def test_published_and_trained_weights_are_not_asked_for_at_once() -> None:
    with pytest.raises(ConfigError, match="quality = 3 names published weights"):
        get_codec("mbt2018", quality=3, recipe="compressai")


@pytest.mark.parametrize("name", NAMES)
def test_the_packaged_variants_are_trained_by_a_recipe_that_fits(name: str) -> None:
    config = load()
    spec = config.codec_spec(f"{name}-rate")
    assert is_trained_here(spec)
    assert is_trainable(spec)
    assert not is_trainable(config.codec_spec(name))
    job = job_for(spec.at_ratio(16), config.recipes)
    codec = build(spec.at_ratio(5))
    assert isinstance(codec, TrainableCodec)
    assert job.trainable(job.recipe.shape(name, 16), job.recipe.choices).factor == 64
    assert f"harness train --models {name}-rate --ratios 5" in (codec.missing() or "")


def test_a_bench_that_may_not_train_says_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARNESS_WEIGHTS", str(tmp_path / "weights"))
    (tmp_path / "images").mkdir()
    write(tmp_path / "images" / "one.png", packaged_photograph()[:48, :64])
    run = bench(
        *(tmp_path / "results", "--images", tmp_path / "images", "--ratios", "8", "--no-train"),
        *("--codecs", "mbt2018-mean-rate"),
    )
    assert set(run.frame["status"]) == {"missing"}
    assert "harness train --models mbt2018-mean-rate --ratios 8" in run.frame["reason"].iloc[0]
