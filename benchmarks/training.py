"""How fast `harness train` steps beside a bare PyTorch loop of the same model, and how fast the shipped codec is.

    python benchmarks/training.py                     # the recipe's baseline, 16x
    python benchmarks/training.py --models baseline --steps 40 --rounds 3

Both train the same networks on the same crops with the same optimiser, clipping and precision; the loop has neither
lightning nor checkpoints nor curve. They run in turns, on one CPU thread, and their processor time is counted, not
the wall's, so that a busy machine slows neither. Needs
training images: HARNESS_DATA with train/, or --data. Speed of coding: the first Kodak or demo image, one thread.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import torch

from harness.config import schema
from harness.config.registry import build, find
from harness.data import datasets
from harness.data.images import read_image
from harness.training.crops import split
from harness.training.images import TrainingSet
from harness.training.jobs import TrainingJob, job_for
from harness.training.loop import LoopSettings, Machines, quiet, run
from harness.training.module import TrainingModule
from harness.training.session import TrainingSession
from harness.training.start import initialised_module

RATIO = 16.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", default="baseline")
    parser.add_argument("--steps", type=int, default=40, help="steps a round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--data")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    loaded = schema.load()
    session = TrainingSession(loaded, asked.data)
    for name in asked.models.split(","):
        job = short(job_for(find(name, {"recipe": "rate", "ratio": RATIO}), loaded.recipes), asked.steps)
        compare(job, session.images(job), asked.rounds)
    coding(RATIO)


def short(job: TrainingJob, steps: int) -> TrainingJob:
    """Return a training of so many steps of the networks' phase, without validation before its end."""
    changes = {"steps": steps, "entropy_steps": 0, "validate_every": 10**6}
    return replace(job, recipe=job.recipe.model_copy(update=changes))


def compare(job: TrainingJob, images: TrainingSet, rounds: int) -> None:
    """Print steps per second of both, round by round, and the median of their ratio."""
    ratios = []
    for number in range(rounds):
        ours, bare = by_harness(job, images), by_loop(job, images)
        ratios.append(ours / bare)
        print(f"{job.name} round {number + 1}: harness {ours:.3f}, loop {bare:.3f} steps/s, {ours / bare:.3f}")
    print(f"{job.name}: harness / loop, median of {rounds} rounds: {statistics.median(ratios):.3f}")


def fresh(job: TrainingJob, images: TrainingSet) -> TrainingModule:
    """Return networks at their first step."""
    torch.manual_seed(0)
    return initialised_module(job, split(images.images, job.recipe, job.ratio, job.colours), None)


class Clocked(TrainingModule):
    """A training module that remembers when each step began."""

    begun: list[float]

    def training_step(self, images: torch.Tensor, number: int) -> torch.Tensor:
        """Return the loss of one batch."""
        self.begun.append(time.process_time())
        return super().training_step(images, number)


def by_harness(job: TrainingJob, images: TrainingSet) -> float:
    """Return steps per second between the second step and the last, as `harness train` takes them."""
    made = fresh(job, images)
    module = Clocked(made.trainable, made.recipe, made.crops, job.architecture)
    module.weight.copy_(made.weight)
    module.begun = []
    first = made.crops.images[0]
    small = replace(
        first, pixels=first.pixels[:64, :64]
    )  # the end of a phase is validated; that is after the last step
    with tempfile.TemporaryDirectory() as folder, quiet():
        run(module, [small], LoopSettings(job.ratio, Path(folder), Machines("cpu")))
    return (len(module.begun) - 2) / (module.begun[-1] - module.begun[1])


def by_loop(job: TrainingJob, images: TrainingSet) -> float:
    """Return steps per second of the same work in a plain loop."""
    module = fresh(job, images).train()
    optimizer: torch.optim.Optimizer = module.configure_optimizers()["optimizer"]
    begun = []
    for step in range(job.recipe.steps_for(job.architecture)):
        batch = torch.from_numpy(module.crops.batch(module.batch, step))
        begun.append(time.process_time())
        optimizer.zero_grad()
        torch.autograd.backward(module.rate_loss(batch))
        torch.nn.utils.clip_grad_norm_(module.parameters(), job.recipe.clip)
        optimizer.step()
    return (len(begun) - 2) / (begun[-1] - begun[1])


def coding(ratio: float) -> None:
    """Print how many megapixels a second the shipped baseline encodes and decodes, networks and range coder."""
    loaded = schema.load()
    name = "kodak" if datasets.state("kodak", loaded.data_set("kodak")) == "complete" else "demo"
    image = read_image(datasets.from_set(name, loaded.data_set(name))[0].path).pixels
    codec = build(find("baseline", {"ratio": ratio}))
    data = codec.encode(image, 0)
    codec.decode(data)
    megapixels = image.shape[0] * image.shape[1] / 1e6
    for verb, call in (("encode", lambda: codec.encode(image, 0)), ("decode", lambda: codec.decode(data))):
        seconds = []
        for _ in range(5):
            start = time.process_time()
            call()
            seconds.append(time.process_time() - start)
        print(
            f"baseline {ratio:g}x {verb}: {megapixels / statistics.median(seconds):.3f} MP/s, median of 5, one thread"
        )


if __name__ == "__main__":
    main()
