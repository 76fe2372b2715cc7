"""One training step, as a module of lightning. Imports torch and lightning: import this only when used."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, Literal

import lightning
import torch
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from pytorch_msssim import ssim
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset

from harness.errors import DataError
from harness.learned.trainable import Trainable
from harness.training.crops import Crops
from harness.training.recipe import TrainingRecipe

Phase = Literal["first entropy model", "all", "last entropy model"]

MOST_BAD_STEPS = 20
"""Training gives up after this many consecutive steps without a finite gradient."""


class CropStream(IterableDataset[Tensor]):
    """An endless stream of batches from a step on; an interrupted training gets the same ones."""

    def __init__(self, crops: Crops, count: int, first: int, rank: int) -> None:
        self.crops, self.count, self.first, self.rank = crops, count, first, rank

    def __iter__(self) -> Iterator[Tensor]:
        """Yield batches (count, channels, size, size)."""
        step = self.first
        while True:
            yield torch.from_numpy(self.crops.batch(self.count, step, self.rank))
            step += 1


class TrainingModule(lightning.LightningModule):
    """Trains networks and their entropy model: entropy model alone (rate recipes only), both, entropy model alone."""

    def __init__(self, trainable: Trainable, recipe: TrainingRecipe, crops: Crops, architecture: str) -> None:
        super().__init__()
        self.trainable, self.recipe, self.crops = trainable, recipe, crops
        self.batch, self.learning_rate = recipe.batch_for(architecture), recipe.learning_rate_for(architecture)
        self.steps = recipe.steps_for(architecture)
        self.micro_batches = 1
        """The number of parts that a batch is split into to fit into memory; their gradients are added up."""
        first_entropy_model = recipe.entropy_steps if recipe.loss == "rate" else 0
        self.phase_ends: Tensor
        self.weight: Tensor
        self.register_buffer("phase_ends", torch.tensor([first_entropy_model, first_entropy_model + self.steps]))
        self.register_buffer("weight", torch.tensor(0.0))
        """Lambda: bits per squared error, in gray levels of 8 bits."""
        self.bad_steps = 0

    @property
    def phase(self) -> Phase:
        """Return the phase of the current step."""
        first, second = self.phase_ends.tolist()
        if self.global_step < first:
            return "first entropy model"
        return "all" if self.global_step < second else "last entropy model"

    @property
    def last_step(self) -> int:
        """Return the total number of steps."""
        return int(self.phase_ends[1]) + self.recipe.entropy_steps

    def end_networks(self) -> None:
        """Begin the last phase now."""
        self.phase_ends[1] = min(self.global_step, int(self.phase_ends[1]))

    def train_dataloader(self) -> DataLoader[Tensor]:
        """Return batches from the current step on."""
        first = self.global_step * self.micro_batches
        count = math.ceil(self.batch / self.micro_batches)
        return DataLoader(CropStream(self.crops, count, first, self.global_rank), batch_size=None)

    def on_train_batch_start(self, *_: object) -> int | None:
        """Freeze the networks' running means while the entropy model alone is trained; end after the last step."""
        self.trainable.freeze_statistics(self.phase != "all")
        return -1 if self.global_step >= self.last_step else None

    def training_step(self, images: Tensor, _: int) -> Tensor:
        """Return the loss of one batch."""
        if self.phase == "all":
            loss = self.study_loss(images) if self.recipe.loss == "study" else self.rate_loss(images)
        else:
            loss = self._entropy_loss(images)
        self.log("loss", loss.detach(), prog_bar=True)
        auxiliary = self.trainable.auxiliary_loss()
        return loss if auxiliary is None else loss + auxiliary

    def _entropy_loss(self, images: Tensor) -> Tensor:
        with torch.no_grad():
            latents = self.trainable.latents(images).float()
        with torch.autocast(images.device.type, enabled=False):
            return self.trainable.entropy_bits(latents, self._noise_seed) / images.numel()

    def rate_loss(self, images: Tensor) -> Tensor:
        """Return (bits + lambda x squared error) per sample, with latents quantised as in training."""
        latents = self.trainable.latents(images).float()
        with torch.autocast(images.device.type, enabled=False):
            noisy = self.trainable.with_noise(latents, self._noise_seed)
        error = (self.trainable.images(noisy.latents).float() - images) * 255
        return (noisy.bits + self.weight * error.square().sum()) / images.numel()

    @property
    def _noise_seed(self) -> int:
        return self.recipe.seed * 2**32 + self.global_step

    def study_loss(self, images: Tensor) -> Tensor:
        """Return the study's loss of unquantised latents."""
        made = self.trainable.images(self.trainable.latents(images)).float()
        similar: Tensor = ssim(made, images, data_range=1.0, nonnegative_ssim=True)
        return self.recipe.mse_weight * (made - images).square().mean() + self.recipe.ssim_weight * (1 - similar)

    def configure_gradient_clipping(
        self,
        optimizer: torch.optim.Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clip the norm of all gradients but the auxiliary ones; skip the step if it is not finite."""
        apart = {id(one) for one in self.trainable.groups().auxiliary}
        together = [one for one in self.parameters() if id(one) not in apart]
        norm = torch.nn.utils.clip_grad_norm_(together, self.recipe.clip)
        if torch.isfinite(norm):
            self.bad_steps = 0
            return
        optimizer.zero_grad(set_to_none=True)
        self.bad_steps += 1
        if self.bad_steps >= MOST_BAD_STEPS:
            raise DataError(
                f"training diverged: the gradient was not finite in {self.bad_steps} steps in a row, up to step "
                f"{self.global_step}. Lower learning_rate in the recipe, or train with 32-bit precision."
            )

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """Return AdamW, with a separate learning rate for the entropy model, and the recipe's schedule."""
        recipe = self.recipe
        groups = self.trainable.groups()
        networks = {"params": groups.networks, "lr": self.learning_rate}
        entropy_model: dict[str, Any] = {
            "params": [*groups.entropy_model, *groups.auxiliary],
            "lr": recipe.entropy_learning_rate,
        }
        optimizer = torch.optim.AdamW(
            [networks, {**entropy_model, "weight_decay": 0.0}], weight_decay=recipe.weight_decay
        )
        if recipe.schedule == "plateau":
            plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, "max", 0.5, recipe.plateau_patience)
            return {
                "optimizer": optimizer,
                "lr_scheduler": {
                    "scheduler": plateau,
                    "monitor": "score",
                    "interval": "step",
                    "frequency": recipe.validate_every * self.micro_batches,
                    "strict": False,
                },
            }
        falling = torch.optim.lr_scheduler.LambdaLR(optimizer, [self._networks_rate, self._entropy_rate])
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": falling, "interval": "step"}}

    def _networks_rate(self, step: int) -> float:
        """Return the factor on the networks' learning rate: 5 % warm-up, then half a cosine down to 2 %."""
        first = self.recipe.entropy_steps if self.recipe.loss == "rate" else 0
        done = min(max((step - first) / self.steps, 0.0), 1.0)
        return min(1.0, done / 0.05 + 0.02) * (0.51 + 0.49 * math.cos(math.pi * done))

    def _entropy_rate(self, step: int) -> float:
        """Return the factor on the entropy model's learning rate: half a cosine per phase, lower in later phases."""
        ends = [self.recipe.entropy_steps if self.recipe.loss == "rate" else 0, self.steps, self.recipe.entropy_steps]
        peaks = (1.0, 0.5, 0.3)
        for length, peak in zip(ends, peaks, strict=True):
            if step < length:
                return peak * (0.51 + 0.49 * math.cos(math.pi * step / length))
            step -= length
        return 0.02 * peaks[-1]
