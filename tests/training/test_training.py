"""Training: what it reads, that a killed run goes on as if nothing had happened, and what it leaves behind."""

from __future__ import annotations

import csv
import gzip
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest

from harness.config import schema
from harness.config.registry import build, find
from harness.data import contamination
from harness.data.images import read_image
from harness.errors import ConfigError, DataError
from harness.learned.weights import TrainableCodec
from harness.training.crops import Crops, TrainingImage, split
from harness.training.folder import CHECKPOINTS
from harness.training.images import PACK_INDEX, read_training_set
from harness.training.jobs import job_for, missing_jobs, quick_fault
from harness.training.recipe import TrainingRecipe
from harness.training.session import TrainingSession
from tests.support.images import packaged_photograph

PHOTOGRAPHS = ("astronaut.png", "chelsea.png", "coffee.png", "motorcycle_left.png")
RATE: dict[str, Any] = {
    "loss": "rate",
    "steps": 12,
    "entropy_steps": 12,
    "validate_every": 6,
    "batch": 2,
    "crop": 64,
    "validation_images": 1,
    "schedule": "cosine",
    "first_step": {"16": 12},
    "start_from": {"8": 16},
    "steps_from_neighbour": 3,
    "shapes": {
        "baseline": {
            "image_channels": 3,
            "base_channels": 24,
            "latent_channels": 192,
            "stages": 3,
            "activation": "gdn",
            "final": "none",
            "start": "lapped",
            "margin": 1,
        }
    },
}
STUDY: dict[str, Any] = {
    "loss": "study",
    "steps": 8,
    "entropy_steps": 30,
    "entropy_learning_rate": 0.05,
    "validate_every": 4,
    "batch": {"resnet": 2},
    "crop": 64,
    "validation_images": 1,
    "shapes": {"resnet": {"image_channels": 1, "base_channels": 4, "latent_channels": {"16": 24}, "stages": 3}},
}
CONTEXT = {**RATE, "entropy_width": 4, "step_spread": 1, "start_recipe": "rate", "start_from": {"16": 16}}
RECIPES = {"rate": RATE, "study": STUDY, "context": CONTEXT}


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of four small lossless photographs."""
    return write_pictures(tmp_path_factory.mktemp("pictures"))


def write_pictures(folder: Path) -> Path:
    for name in PHOTOGRAPHS:
        PIL.Image.fromarray(packaged_photograph(name)[60:188, 80:240]).save(folder / name)
    return folder


def job(recipe: str = "rate", codec: str = "baseline", ratio: float = 16) -> Any:
    return job_for(find(codec, {"recipe": recipe, "ratio": ratio}), RECIPES)


def train(folder: Path, pictures: Path, **what: Any) -> Path:
    return train_job(job(**what), folder, pictures)


def train_job(one: Any, folder: Path, pictures: Path, **machines: Any) -> Path:
    from harness.training import train
    from harness.training.loop import Machines

    return train.train(one, read_training_set(pictures), folder, Machines("cpu", **machines), bar=False)


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def curve(folder: Path, name: str = "baseline-rate-16x") -> list[dict[str, str]]:
    return rows_of(folder / CHECKPOINTS / name / "curve.csv")


PROGRAM = """
import sys
from pathlib import Path
import torch
from tests.training import test_training as test
torch.set_num_threads(1)
if __name__ == "__main__":
    test.train(Path(sys.argv[1]), Path(sys.argv[2]))
"""


def start_program(folder: Path, pictures: Path, program: Path) -> subprocess.Popen[bytes]:
    program.write_text(PROGRAM)
    here = Path(__file__).parents[2]
    environment = {**os.environ, "PYTHONPATH": str(here), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen([sys.executable, str(program), str(folder), str(pictures)], env=environment, cwd=here)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, pictures: Path) -> Path:
    """The folder of weights of one uninterrupted training."""
    folder = tmp_path_factory.mktemp("trained")
    with start_program(folder, pictures, folder / "program.py") as process:
        assert process.wait(300) == 0
    return folder


def card_of(folder: Path, ratio: float = 16) -> dict[str, Any]:
    (card,) = [card for path in folder.glob("*.json") if (card := json.loads(path.read_text()))["ratio"] == ratio]
    return dict(card)


def test_training_goes_through_the_entropy_model_the_networks_and_the_entropy_model_again(trained: Path) -> None:
    rows = curve(trained)
    assert [int(row["step"]) for row in rows] == list(range(1, 37))
    assert [int(row["step"]) for row in rows if row["psnr"]] == [6, 12, 18, 24, 30, 36]
    first, last = (np.mean([float(row["loss"]) for row in part]) for part in (rows[:4], rows[8:12]))
    assert last < first


def test_files_of_whole_validation_images_are_within_three_percent_of_the_target(trained: Path) -> None:
    assert card_of(trained)["validated"]["ratio"] == pytest.approx(16, rel=0.03)


def test_the_card_says_how_the_weights_were_made(trained: Path) -> None:
    card = card_of(trained)
    assert card["steps"] == 36
    assert card["recipe"]["loss"] == "rate"
    assert card["validation"][0] in PHOTOGRAPHS
    assert {source["name"] for source in card["data"]} == {Path(name).stem for name in PHOTOGRAPHS}
    assert len(card["curve"]) == 6
    assert card["hours"] > 0


def test_trained_weights_are_a_codec(trained: Path) -> None:
    spec = find("baseline", {"ratio": 16.0, "weights": str(trained)})
    assert quick_fault(spec) is None
    tiles = build(spec).training_fingerprints()  # type: ignore[attr-defined]
    assert tiles
    image = packaged_photograph()
    codec = build(spec)
    assert codec.decode(codec.encode(image, 0)).shape == image.shape


def test_a_killed_training_goes_on_as_if_it_had_not_been_interrupted(
    trained: Path, pictures: Path, tmp_path: Path
) -> None:
    path = tmp_path / CHECKPOINTS / "baseline-rate-16x" / "curve.csv"
    with start_program(tmp_path, pictures, tmp_path / "program.py") as process:
        deadline = time.monotonic() + 200
        while not (path.is_file() and len(path.read_text().splitlines()) > 15) and time.monotonic() < deadline:
            time.sleep(0.05)
        os.kill(process.pid, signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    assert len(curve(tmp_path)) < 36
    with start_program(tmp_path, pictures, tmp_path / "program.py") as process:
        assert process.wait(300) == 0
    assert curve(tmp_path) == curve(trained)
    assert card_of(tmp_path)["sha256"] == card_of(trained)["sha256"]


def test_a_training_on_other_images_does_not_go_on_with_these(
    pictures: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (others := tmp_path / "others").mkdir()
    for name in PHOTOGRAPHS[1:]:
        (others / name).write_bytes((pictures / name).read_bytes())
    again, fresh = tmp_path / "again", tmp_path / "fresh"
    for path in again.glob(f"{train(again, pictures).stem}.*"):
        path.unlink()
    train(again, others)
    assert "belong to another training: this one begins at its first step" in caplog.text
    train(fresh, others)
    assert card_of(again)["sha256"] == card_of(fresh)["sha256"]


def test_only_the_study_s_loss_is_trained_in_16_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    from harness.training.loop import Machines

    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.is_bf16_supported", lambda: True)
    assert [Machines().resolved_precision(loss) for loss in ("rate", "study")] == ["32-true", "bf16-mixed"]


def test_a_neighbour_s_weights_are_the_start_and_save_steps(trained: Path, pictures: Path) -> None:
    train(trained, pictures, ratio=8)
    rows = curve(trained, "baseline-rate-8x")
    assert len(rows) == 12 + 3 + 12
    assert card_of(trained, 8)["validated"]["ratio"] == pytest.approx(8, rel=0.03)


def test_another_recipe_s_weights_are_the_start_and_what_they_saw_stays_known(trained: Path, pictures: Path) -> None:
    from safetensors.numpy import load_file

    one = pictures / PHOTOGRAPHS[0]
    others = trained / "others"
    others.mkdir()
    for name in PHOTOGRAPHS[1:]:
        (others / name).write_bytes((pictures / name).read_bytes())
    path = train(trained, others, recipe="context")
    assert len(curve(trained, "baseline-context-16x")) == 12 + 3 + 12
    arrays = load_file(path)
    assert "law.net.1.first.weights" in arrays
    card = json.loads(path.with_suffix(".json").read_text())
    assert one.stem in {source["name"] for source in card["data"]}
    found = build(find("baseline", {"recipe": "context", "weights": str(trained), "ratio": 16.0}))
    assert isinstance(found, TrainableCodec)
    picture = read_image(one, one.name, None).pixels
    assert contamination.leaked(contamination.fingerprint(picture, 255), found.training_fingerprints() or [])
    assert not contamination.leaked(contamination.fingerprint(picture, 255), read_training_set(others).fingerprints())
    assert found.decode(found.encode(picture, 0)).shape == picture.shape


@pytest.mark.parametrize("change", [{"entropy_width": 6}, {"levels": 2}])
def test_weights_whose_entropy_model_is_of_another_size_are_no_start(
    change: dict[str, int], tmp_path: Path, pictures: Path
) -> None:
    recipe = {**RATE, "entropy_width": 4}
    for ratio, more in ((16.0, {}), (8.0, change)):
        one = job_for(find("baseline", {"ratio": ratio}), {"rate": {**recipe, **more}})
        train_job(one, tmp_path, pictures)
    assert len(curve(tmp_path, "baseline-rate-8x")) == 12 + 12 + 12


def test_a_start_whose_training_images_cannot_be_told_is_refused(tmp_path: Path, pictures: Path) -> None:
    base = train(tmp_path, pictures)
    beside = base.with_name(json.loads(base.with_suffix(".json").read_text())["fingerprints"])
    beside.write_bytes(gzip.compress(b"tiles-of-another-version\n"))
    with pytest.raises(DataError, match=r"baseline-context-16x.*of another version.*leave start_from out"):
        train(tmp_path, pictures, recipe="context")


@pytest.mark.parametrize("ratio", [16, 8])
def test_lambda_starts_where_the_weights_to_start_from_are(ratio: float, trained: Path, pictures: Path) -> None:
    """After the fit to the ratio, the step of those weights is coarser or finer than the recipe's first step."""
    import torch

    from harness.models.entropy.model import DECISION_WEIGHT
    from harness.training.start import initialised_module, start_of, step_in_gray_levels

    images = read_training_set(pictures).images
    fresh = job(ratio=16)
    parts = split(images, fresh.recipe, 16, 3)
    module = initialised_module(fresh, parts, None)
    some = torch.from_numpy(module.crops.batch(8, 0))
    assert step_in_gray_levels(module.trainable, some) == pytest.approx(12, rel=0.03)  # orthonormal: as it was set
    module.trainable.rescale(1.5)
    assert step_in_gray_levels(module.trainable, some) == pytest.approx(12 * 2**1.5, rel=0.03)

    from_there = job("context" if ratio == 16 else "rate", ratio=ratio)
    later = initialised_module(from_there, parts, start_of(from_there, trained))
    found = step_in_gray_levels(later.trainable, some)
    assert later.weight.item() == pytest.approx(DECISION_WEIGHT / found**2, rel=0.03)
    assert abs(found - fresh.recipe.first_step_for(ratio)) > 0.1


def test_steps_that_vary_give_each_image_the_same_share(tmp_path: Path, pictures: Path) -> None:
    import torch

    from harness.training.start import initialised_module

    images = read_training_set(pictures).images
    fresh = job_for(find("baseline", {"ratio": 16.0}), {"rate": {**RATE, "step_spread": 2}})
    module = initialised_module(fresh, split(images, fresh.recipe, 16, 3), None)
    latents = module.trainable.latents(torch.from_numpy(module.crops.batch(2, 0))).detach()
    bits = [module.trainable.entropy_bits(latents, seed) for seed in (1, 1, 2)]
    assert bits[0].item() == bits[1].item() != bits[2].item()
    torch.autograd.backward(bits[0])
    assert all(one.grad is not None for one in module.trainable.groups().entropy_model if one.numel() != 0)


def test_the_study_s_recipe_trains_without_rate_and_fits_its_entropy_model_afterwards(
    tmp_path: Path, pictures: Path
) -> None:
    train(tmp_path, pictures, recipe="study", codec="resnet")
    rows = curve(tmp_path, "resnet-study-16x")
    assert len(rows) == 8 + 30
    assert all(float(row["loss"]) < 1 for row in rows[:8])
    card = card_of(tmp_path)
    assert card["validated"]["ratio"] == pytest.approx(16, rel=0.03)


def test_a_loss_that_is_never_finite_ends_training_with_what_to_do(tmp_path: Path, pictures: Path) -> None:
    wild = {**RATE, "entropy_steps": 0, "steps": 60, "validate_every": 100, "learning_rate": 1e30, "clip": 1e30}
    one = job_for(find("baseline", {"ratio": 16.0}), {"rate": wild})
    with pytest.raises(DataError, match=r"diverged: .* 20 steps in a row.*learning_rate"):
        train_job(one, tmp_path, pictures)


def test_a_batch_that_does_not_fit_into_memory_is_halved(tmp_path: Path, pictures: Path) -> None:
    import torch

    from harness.training.loop import LoopSettings, Machines, run
    from harness.training.module import TrainingModule
    from harness.training.start import initialised_module

    class Small(TrainingModule):
        """A module whose machine holds two crops at a time."""

        def training_step(self, images: torch.Tensor, number: int) -> torch.Tensor:
            if len(images) > 2:
                raise torch.OutOfMemoryError
            return super().training_step(images, number)

    recipe = TrainingRecipe.from_table("rate", {**RATE, "batch": 8, "entropy_steps": 0, "steps": 2})
    parts = split(read_training_set(pictures).images, recipe, 16, 3)
    plain = initialised_module(job_for(find("baseline", {"ratio": 16.0}), {"rate": {**RATE, "batch": 8}}), parts, None)
    module = Small(plain.trainable, recipe, plain.crops, "baseline")
    run(module, parts.validation, LoopSettings(16, tmp_path, Machines("cpu")))
    assert module.micro_batches == 4
    assert [row["step"] for row in rows_of(tmp_path / "curve.csv")] == ["1", "2"]


def test_noise_for_rounding_changes_gradients_and_no_loss(tmp_path: Path, pictures: Path) -> None:
    import torch

    from harness.training.start import initialised_module

    images = read_training_set(pictures).images
    found = []
    for gradient in ("rounded", "noise"):
        recipes = {"rate": {**RATE, "rate_gradient": gradient}}
        one = job_for(find("baseline", {"ratio": 16.0}), recipes)
        torch.manual_seed(0)
        module = initialised_module(one, split(images, one.recipe, 16, 3), None)
        loss = module.rate_loss(torch.from_numpy(module.crops.batch(2, 0)))
        torch.autograd.backward(loss)
        gradient_of_first = next(module.trainable.parameters()).grad
        assert gradient_of_first is not None
        found.append((loss.item(), gradient_of_first))
    assert found[0][0] == pytest.approx(found[1][0], rel=1e-6)
    assert not torch.allclose(found[0][1], found[1][1])


def test_a_latent_that_is_rounded_to_0_learns_what_it_nearly_costs() -> None:
    import torch

    from harness.models.entropy.training import ContextModel

    latents = torch.full((1, 3, 8, 8), 0.3, requires_grad=True)
    context = ContextModel(3, levels=2)
    decided = torch.zeros_like(latents)
    torch.autograd.backward(context.bits_among(latents, decided).sum())
    assert latents.grad is not None
    assert (latents.grad > 0).all()


@pytest.mark.slow
def test_two_processes_train_together(tmp_path: Path, pictures: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(
        PROGRAM.replace("test.train(", "test.train_distributed(").replace("torch.set_num_threads(1)", "")
    )
    here = Path(__file__).parents[2]
    environment = {**os.environ, "PYTHONPATH": str(here), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(program), str(tmp_path), str(pictures)]
    assert subprocess.run(command, env=environment, cwd=here, check=False, timeout=400).returncode == 0
    assert len(curve(tmp_path)) == 36


def train_distributed(folder: Path, pictures: Path) -> Path:
    return train_job(job(), folder, pictures, devices=2, strategy="ddp")


def picture(name: str, source: str, lossless: bool = True) -> TrainingImage:
    rng = np.random.default_rng(len(name))
    return TrainingImage(name, source, rng.integers(0, 256, (40, 50, 3), dtype=np.uint8), lossless, 8)


def test_no_source_is_on_both_sides_of_the_split() -> None:
    images = [picture(f"{source}-{crop}", source) for source in "abcdef" for crop in range(4)]
    parts = split(images, TrainingRecipe.from_table("rate", {**RATE, "validation_images": 2}), 16, 3)
    training_sources = {image.source for image in parts.training}
    assert len(parts.validation) == 2
    assert not training_sources & {image.source for image in parts.validation}
    assert len(training_sources) == 4


def test_low_ratios_train_on_lossless_files_alone_where_the_recipe_says_so() -> None:
    images = [picture(f"{number}", f"{number}", lossless=number % 2 == 0) for number in range(8)]
    recipe = TrainingRecipe.from_table("rate", {**RATE, "lossless_below": 10})
    assert {image.lossless for image in split(images, recipe, 8, 3).training} == {True}
    assert {image.lossless for image in split(images, recipe, 12, 3).training} == {True, False}


def test_too_few_sources_are_said_with_their_number() -> None:
    with pytest.raises(DataError, match="from 2 sources or more, 1 of them for validation; found 1"):
        split([picture("a", "a")], TrainingRecipe.from_table("rate", RATE), 16, 3)


@pytest.mark.parametrize("colours", [1, 3])
def test_crops_are_the_same_for_the_same_step_and_differ_between_steps_and_processes(colours: int) -> None:
    recipe = TrainingRecipe.from_table("rate", {**RATE, "crop": 64})
    crops = Crops(split([picture("a", "a"), picture("b", "b")], recipe, 16, colours).training, recipe)
    batch = crops.batch(3, 7)
    assert batch.shape == (3, colours, 64, 64)
    assert np.array_equal(batch, crops.batch(3, 7))
    assert not np.array_equal(batch, crops.batch(3, 8))
    assert not np.array_equal(batch, crops.batch(3, 7, rank=1))


def test_what_must_be_trained_is_listed_with_the_neighbour_first(trained: Path) -> None:
    specs = [find("baseline", {"weights": str(trained)}), find("jpeg")]
    names = [one.name for one in missing_jobs(specs, [3, 10, 16], RECIPES)]  # 4x and 12x are shipped
    assert names == ["baseline-rate-10x", "baseline-rate-3x"]
    specs.append(find("baseline", {"weights": str(trained), "recipe": "context"}))
    names = [one.name for one in missing_jobs(specs, [3], RECIPES)]
    assert names == ["baseline-rate-3x", "baseline-context-3x"]


def test_an_estimate_of_time_comes_from_real_steps(tmp_path: Path, pictures: Path) -> None:
    from harness.training.start import estimate_seconds

    seconds = estimate_seconds(job(), read_training_set(pictures), tmp_path)
    assert 0.1 < seconds < 600


def test_an_estimate_counts_on_weights_that_are_trained_before(tmp_path: Path, pictures: Path) -> None:
    recipes = {"rate": {**RATE, "steps": 5000, "entropy_steps_from_neighbour": 1}}
    jobs = [job_for(find("baseline", {"ratio": ratio}), recipes) for ratio in (16.0, 8.0)]
    session = TrainingSession(schema.load(), str(pictures), tmp_path)
    (_, first), (_, second) = session.estimates(jobs)
    assert second < first / 100
    ((_, alone),) = session.estimates(jobs[1:])
    assert alone > first / 10


def test_a_training_set_takes_source_and_licence_from_its_index(pictures: Path, tmp_path: Path) -> None:
    for name in PHOTOGRAPHS[:2]:
        (tmp_path / name).write_bytes((pictures / name).read_bytes())
    rows = "file,source,licence\nastronaut.png,nasa/astronaut-original.png,public domain\n"
    (tmp_path / PACK_INDEX).write_text(rows)
    found = read_training_set(tmp_path)
    assert {source["licence"] for source in found.sources} == {"public domain", "not stated"}
    assert {image.source for image in found.images} == {"astronaut-original", "chelsea"}


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nowhere.*HARNESS_DATA"):
        read_training_set(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"steps": 0}, r"recipes\.rate\.steps"),
        ({"speed": 1}, r"recipes\.rate\.speed"),
        ({"shapes": {"baseline": {"stages": 9}}}, r"recipes\.rate\.stages"),
    ],
)
def test_a_wrong_recipe_is_refused_by_its_key(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        TrainingRecipe.from_table("rate", {**RATE, **change})


@pytest.mark.parametrize(
    ("ratio", "match"), [(5, "no latent_channels for 'resnet' at 5x"), (16, "no shape for 'attention'")]
)
def test_a_recipe_says_which_shapes_it_has(ratio: float, match: str) -> None:
    recipe = TrainingRecipe.from_table("study", STUDY)
    with pytest.raises(ConfigError, match=match):
        recipe.shape("resnet" if ratio == 5 else "attention", ratio)
