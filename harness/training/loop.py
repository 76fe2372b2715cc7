"""The training loop, by lightning; it resumes a killed run. Imports torch and lightning: import only when used."""

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
from harness.learned.tensors import padded_to_multiple
from harness.system.memory import keep_freed_memory
from harness.training.bar import bars
from harness.training.crops import TrainingImage
from harness.training.curve import FIELDS, read_curve
from harness.training.module import TrainingModule
from harness.training.validate import tensor_of, validate

LAST, BEST, CURVE = "last.ckpt", "best.ckpt", "curve.csv"
VALIDATION_CROP = 1024
"""During training, validation uses the middle of each image: at most this many pixels in height and width."""
_STEER_MOST = 1.0
"""One validation changes the quantisation step by at most this many octaves."""


@dataclass(frozen=True)
class Machines:
    """Where training runs; the values are passed to lightning."""

    accelerator: str = "auto"
    devices: int = 1
    nodes: int = 1
    strategy: str = "auto"
    precision: str = "auto"
    """auto: for the study's loss bf16 if the GPU supports it, fp16 on other GPUs; else 32 bits."""

    def resolved_precision(self, loss: str) -> Any:
        """Return lightning's name for the precision of a training with a loss.

        A loss with a rate needs more precision than 16 bits give: in bf16 the error of the latents of `baseline` at 4x
        is 0.5 steps (root mean square), more than the 0.29 of rounding itself, and training would fit that noise. TF32
        is disabled there, too.
        """
        if self.precision != "auto":
            return self.precision
        if loss == "rate" or self.accelerator == "cpu" or not torch.cuda.is_available():
            return "32-true"
        return "bf16-mixed" if torch.cuda.is_bf16_supported() else "16-mixed"

    def resolved_strategy(self) -> str:
        """Return lightning's name for the strategy; ddp must allow that some weights get no gradient in a phase."""
        return "ddp_find_unused_parameters_true" if self.strategy == "ddp" else self.strategy


@dataclass(frozen=True)
class LoopSettings:
    """What the loop must know besides the module: target ratio, folder of checkpoints, machines."""

    ratio: float
    folder: Path
    machines: Machines = Machines()
    bar: bool = False
    """Whether to show a progress bar."""


class TrainingMonitor(Callback):
    """Validates, adjusts lambda, ends phases and writes the curve."""

    def __init__(self, images: Sequence[Tensor], ratio: float, curve: Path) -> None:
        self.images, self.ratio, self.curve = images, ratio, curve
        self.best, self.waited = -math.inf, 0

    def state_dict(self) -> dict[str, Any]:
        """Return what a resumed run needs."""
        return {"best": self.best, "waited": self.waited}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        self.best, self.waited = state_dict["best"], state_dict["waited"]

    def on_train_start(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        """Drop the rows of the curve behind the step from which training resumes."""
        rows = read_curve(self.curve) if pl_module.global_step else []
        if trainer.is_global_zero:
            self._rewrite([row for row in rows if int(row["step"]) <= pl_module.global_step])

    def on_train_batch_end(
        self, trainer: lightning.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Write the loss of every step; validate every `validate_every` steps and at the end of each phase."""
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
        """Save a checkpoint of the last step."""
        trainer.save_checkpoint(self.curve.with_name(LAST))

    def _validated(self, trainer: lightning.Trainer, module: TrainingModule, ending: bool) -> dict[str, object]:
        """Validate; adjust lambda while the networks are trained; continue from the best ones when that phase ends."""
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
        """Load the best weights so far: the last phase fits the entropy model to them."""
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


@torch.no_grad()
def study_score(module: TrainingModule, images: Sequence[Tensor]) -> float:
    """Return the mean of the study's loss over images."""
    losses = [module.study_loss(padded_to_multiple(image, module.trainable.factor)).item() for image in images]
    return sum(losses) / len(losses)


@torch.no_grad()
def steer(module: TrainingModule, octaves: float) -> None:
    """Rescale latents so that step 1 gives files of the target size, and adapt lambda.

    Args:
        module: changed in place.
        octaves: base-2 logarithm of the step that gives files of the target size now.
    """
    octaves = max(-_STEER_MOST, min(_STEER_MOST, octaves))
    module.trainable.rescale(octaves)
    module.weight.mul_(2.0 ** (-2 * octaves))


def run(module: TrainingModule, validation: Sequence[TrainingImage], settings: LoopSettings) -> None:
    """Train a module to its end: resume from the last checkpoint, and halve batches that do not fit into memory."""
    settings.folder.mkdir(parents=True, exist_ok=True)
    keep_freed_memory()
    torch.backends.cudnn.allow_tf32 = module.recipe.loss == "study"
    module.train()
    images = [tensor_of(image, VALIDATION_CROP) for image in validation]
    last = settings.folder / LAST
    while True:
        try:
            with quiet():
                trainer = _trainer(module, TrainingMonitor(images, settings.ratio, settings.folder / CURVE), settings)
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
    """Silence lightning's warnings about choices that we make on purpose, and its advertisements."""
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


def _trainer(module: TrainingModule, monitor: TrainingMonitor, settings: LoopSettings) -> lightning.Trainer:
    machines = settings.machines
    checkpoints = ModelCheckpoint(
        settings.folder,
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
        callbacks=[monitor, Timer(), checkpoints, *bars(settings.bar)],
        enable_progress_bar=settings.bar,
        enable_model_summary=False,
        logger=False,
        num_sanity_val_steps=0,
        deterministic=True,
        use_distributed_sampler=False,
        default_root_dir=settings.folder,
    )
