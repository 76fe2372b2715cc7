"""The progress bar of a training. Imports lightning: import this only when used."""

from __future__ import annotations

import sys
from typing import Any

import lightning
from lightning.pytorch.callbacks import Callback, RichProgressBar, TQDMProgressBar


class NotebookBar(TQDMProgressBar):
    """Lightning's bar for notebooks, with the number of steps that lightning does not tell the widget."""

    def on_train_epoch_start(self, trainer: lightning.Trainer, *more: Any) -> None:
        """Reset the bar to the number of steps."""
        super().on_train_epoch_start(trainer, *more)
        self.train_progress_bar.reset(self.total_train_batches)


def bars(wanted: bool) -> list[Callback]:
    """Return a progress bar for a notebook or a terminal; none if it is not wanted."""
    if not wanted:
        return []
    return [NotebookBar() if "ipykernel" in sys.modules else RichProgressBar()]
