"""The progress bar of a training. Imports lightning: import only when used."""

from __future__ import annotations

import sys
from typing import Any

import lightning
from lightning.pytorch.callbacks import Callback, RichProgressBar, TQDMProgressBar


class NotebookBar(TQDMProgressBar):
    """Lightning's bar for notebooks, whose widget fills up by steps: lightning's own never tells it their number."""

    def on_train_epoch_start(self, trainer: lightning.Trainer, *more: Any) -> None:
        """Begin the bar with the number of steps."""
        super().on_train_epoch_start(trainer, *more)
        self.train_progress_bar.reset(self.total_train_batches)


def bars(wanted: bool) -> list[Callback]:
    """Return the progress bar that fits where this runs: a notebook's own, else rich's."""
    if not wanted:
        return []
    return [NotebookBar() if "ipykernel" in sys.modules else RichProgressBar()]
