"""Training by lightning: resumes where a killed run stopped. Imports torch and lightning: import only when used."""

from __future__ import annotations

import csv
import logging
import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import Callback, ModelCheckpoint, Timer
from torch import Tensor

from harness.errors import DataError
from harness.learned.tensors import filled
from harness.system.memory import keep_freed_memory
from harness.training.bar import bars
from harness.training.crops import TrainingImage
from harness.training.module import TrainingModule
from harness.training.validate import tensor_of, validate

LAST, BEST, CURVE = "last.ckpt", "best.ckpt", "curve.csv"
VALIDATION_CROP = 1024
"""While training, validation looks at the middle of each image: at most this many pixels each way."""
_STEER_MOST = 1.0
"""One validation changes the step by at most this many octaves."""


@dataclass(frozen=True)
class Machines:
    """Where training runs, in lightning's own words."""

    accelerator: str = "auto"
    devices: int = 1
    nodes: int = 1
    strategy: str = "auto"
    precision: str = "auto"
    """"auto": for the study's loss bf16 where the GPU has it, fp16 on other GPUs; else 32 bits."""

    def resolved_precision(self, loss: str) -> Any:
        """Return lightning's name for the precision of a training by a loss.

        A rate counts steps finer than 16 bits hold: in bf16 the latents of `baseline` at 4x are off by 0.5 steps (root
        mean square), rounding itself by 0.29, and training would learn the arithmetic's noise. TF32 is off there, too.
        """
        if self.precision != "auto":
            return self.precision
        if loss == "rate" or self.accelerator == "cpu" or not torch.cuda.is_available():
            return "32-true"
        return "bf16-mixed" if torch.cuda.is_bf16_supported() else "16-mixed"

    def resolved_strategy(self) -> str:
        """Return lightning's name for the strategy: each phase leaves some weights without a gradient."""
        return "ddp_find_unused_parameters_true" if self.strategy == "ddp" else self.strategy


@dataclass(frozen=True)
class Job:
    """One training: to which ratio, where its checkpoints lie, on what it runs."""

    ratio: float
    folder: Path
    machines: Machines = Machines()
    bar: bool = False
    """Whether to show a progress bar."""


class Watch(Callback):
    """Validates, steers lambda, ends phases, and writes the curve."""

    def __init__(self, images: Sequence[Tensor], ratio: float, curve: Path) -> None:
        self.images, self.ratio, self.curve = images, ratio, curve
        self.best, self.waited = -math.inf, 0

    def state_dict(self) -> dict[str, Any]:
        """Return what a resumed run needs."""
        return {"best": self.best, "waited": self.waited}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take up what `state_dict` returned."""
        self.best, self.waited = state_dict["best"], state_dict["waited"]

    def on_train_start(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        """Drop the rows of the curve that come after the step from which training resumes."""
        rows = read_curve(self.curve) if pl_module.global_step else []
        if trainer.is_global_zero:
            self._rewrite([row for row in rows if int(row["step"]) <= pl_module.global_step])

    def on_train_batch_end(
        self, trainer: lightning.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Write the loss of every step; validate when it is time and at the end of each phase."""
        if (batch_idx + 1) % pl_module.micro_batches:
            return
        step = pl_module.global_step
        row: dict[str, object] = {"step": step, "loss": trainer.callback_metrics["loss"].item()}
        ends = pl_module.phase_ends.tolist()
        if step % pl_module.recipe.validate_every == 0 or step in ends:
            row |= self._validated(trainer, pl_module, ending=step == ends[1])
        if not trainer.is_global_zero:
            return
        with self.curve.open("a", newline="") as file:
            csv.DictWriter(file, FIELDS).writerow(row)

    def on_train_end(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        """Keep the very last step."""
        trainer.save_checkpoint(self.curve.with_name(LAST))

    def _validated(self, trainer: lightning.Trainer, module: TrainingModule, ending: bool) -> dict[str, object]:
        """Validate; steer while networks are trained; when that ends, go on from the best of them."""
        images = [image.to(module.device) for image in self.images]
        found = validate(module.trainable, images, self.ratio)
        score = -study_score(module, images) if module.recipe.loss == "study" else found.psnr
        row: dict[str, object] = {
            "score": score,
            "psnr": found.psnr,
            "ratio": found.ratio,
            "weight": module.weight.item(),
        }
        module.log("score", score, prog_bar=True)
        if ending and score < self.best:
            self._take_best(trainer, module)
        if module.recipe.loss == "rate" and module.phase == "all":
            steer(module, found.octaves)
        self.waited = 0 if score > self.best else self.waited + 1
        self.best = max(score, self.best)
        if module.phase == "all" and self.waited >= module.recipe.patience:
            module.end_networks()
            self._take_best(trainer, module)
        return row

    def _take_best(self, trainer: lightning.Trainer, module: TrainingModule) -> None:
        """Put the best weights so far in place: the entropy model's last phase is fitted to them."""
        keeper = trainer.checkpoint_callback
        best = Path(keeper.best_model_path) if isinstance(keeper, ModelCheckpoint) else None
        if best is None or not best.is_file():
            return
        state = torch.load(best, map_location=module.device, weights_only=True)["state_dict"]
        module.load_state_dict({**state, "phase_ends": module.phase_ends})

    def _rewrite(self, rows: Sequence[Mapping[str, object]]) -> None:
        with self.curve.open("w", newline="") as file:
            writer = csv.DictWriter(file, FIELDS)
            writer.writeheader()
            writer.writerows(rows)


FIELDS = ("step", "loss", "score", "psnr", "ratio", "weight")
"""Columns of curve.csv: PSNR in dB at the target ratio, the ratio at step 1, lambda; on validated steps only."""


def read_curve(path: Path) -> list[dict[str, str]]:
    """Return the rows of a curve; none where there is no file."""
    if not path.is_file():
        return []
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@torch.no_grad()
def study_score(module: TrainingModule, images: Sequence[Tensor]) -> float:
    """Return the mean of the study's loss over images."""
    losses = [module.study_loss(filled(image, module.trainable.factor)).item() for image in images]
    return sum(losses) / len(losses)


@torch.no_grad()
def steer(module: TrainingModule, octaves: float) -> None:
    """Make the step at which files have the target's bytes the new step 1, and fit lambda to it.

    Args:
        module: what is changed.
        octaves: logarithm (base 2) of that step.
    """
    octaves = max(-_STEER_MOST, min(_STEER_MOST, octaves))
    module.trainable.moved(octaves)
    module.weight.mul_(2.0 ** (-2 * octaves))


def run(module: TrainingModule, validation: Sequence[TrainingImage], job: Job) -> None:
    """Train a module to its end; takes up the last checkpoint in the folder, and halves batches that do not fit."""
    job.folder.mkdir(parents=True, exist_ok=True)
    keep_freed_memory()
    torch.backends.cudnn.allow_tf32 = module.recipe.loss == "study"
    module.train()
    images = [tensor_of(image, VALIDATION_CROP) for image in validation]
    last = job.folder / LAST
    while True:
        try:
            with quiet():
                trainer = _trainer(module, Watch(images, job.ratio, job.folder / CURVE), job)
                trainer.fit(module, ckpt_path=str(last) if last.is_file() else None)
        except torch.OutOfMemoryError as error:
            if module.micro_batches >= module.batch:
                raise DataError(f"not even one crop of {module.recipe.crop} pixels fits into memory.") from error
            module.micro_batches *= 2
            torch.cuda.empty_cache()
        else:
            return


_EXPECTED_WARNINGS = (
    ".*does not have many workers.*",
    ".*GPU available but not used.*",
    ".*exists and is not empty.*",
    ".*LeafSpec.*is deprecated.*",
    ".*resuming from a checkpoint that ended before the epoch ended.*",
)


@contextmanager
def quiet() -> Iterator[None]:
    """Silence what lightning says of choices that are made here on purpose, and its advertisements."""
    log = logging.getLogger("lightning.pytorch")
    level = log.level
    log.setLevel(logging.WARNING)
    try:
        with warnings.catch_warnings():
            for message in _EXPECTED_WARNINGS:
                warnings.filterwarnings("ignore", message)
            yield
    finally:
        log.setLevel(level)


def _trainer(module: TrainingModule, watch: Watch, job: Job) -> lightning.Trainer:
    machines = job.machines
    checkpoints = ModelCheckpoint(
        job.folder,
        "best",
        monitor="score",
        mode="max",
        save_last=True,
        every_n_train_steps=module.recipe.validate_every,
        enable_version_counter=False,
    )
    return lightning.Trainer(
        accelerator=machines.accelerator,
        devices=machines.devices,
        num_nodes=machines.nodes,
        strategy=machines.resolved_strategy(),
        precision=machines.resolved_precision(module.recipe.loss),
        max_epochs=1,
        limit_train_batches=module.last_step * module.micro_batches,
        accumulate_grad_batches=module.micro_batches,
        callbacks=[watch, Timer(), checkpoints, *bars(job.bar)],
        enable_progress_bar=job.bar,
        enable_model_summary=False,
        logger=False,
        num_sanity_val_steps=0,
        deterministic=True,
        use_distributed_sampler=False,
        default_root_dir=job.folder,
    )
