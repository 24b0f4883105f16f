"""A progress bar that tells when the whole run will be done, not only the epoch."""

import sys
import time
from datetime import timedelta

import pytorch_lightning as pl
from pytorch_lightning.callbacks import TQDMProgressBar
from typing_extensions import override

TRAIN_LOSS = "train/loss"


class TimeLeft(TQDMProgressBar):
    """Lightning's progress bar with the time left to the end of training beside loss and Dice.

    Without a terminal there is no bar: a log file would be full of it.

    Args:
        refresh_rate: Steps from one drawing to the next.
    """

    def __init__(self, refresh_rate: int = 1) -> None:
        super().__init__(refresh_rate=refresh_rate if sys.stdout.isatty() else 0)
        self.started, self.first_step = 0.0, 0

    @override
    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        super().on_train_start(trainer, pl_module)
        self.started, self.first_step = time.monotonic(), trainer.global_step

    @override
    def on_exception(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException
    ) -> None:
        # Left open, a bar writes itself once more when Python ends, behind the error's own line
        for bar in (self._train_progress_bar, self._val_progress_bar):
            if bar is not None:
                bar.close()

    @override
    def get_metrics(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule
    ) -> dict[str, int | str | float | dict[str, float]]:
        metrics = super().get_metrics(trainer, pl_module)
        metrics.pop("v_num", None)
        loss = trainer.callback_metrics.get(TRAIN_LOSS)
        if loss is not None:
            metrics = {TRAIN_LOSS: float(loss), **metrics}  # waits for the device, so only where it is drawn
        done = trainer.global_step - self.first_step
        total = trainer.estimated_stepping_batches
        if trainer.training and done and total != float("inf"):
            rate = (time.monotonic() - self.started) / done
            metrics["left"] = str(timedelta(seconds=round(rate * (total - trainer.global_step))))
        return metrics


def is_told_to_bar(trainer: pl.Trainer) -> bool:
    """Whether Lightning is to have the loss of a training step ready for a progress bar.

    Then it fetches the number from the device after every step, drawn or not: the host waits for the end of
    the step, and the device for what the host issues next. Our own bar asks for it when it is drawn.

    Args:
        trainer: Of the run.
    """
    bar = trainer.progress_bar_callback
    return bar is not None and not isinstance(bar, TimeLeft)
