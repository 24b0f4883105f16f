"""The end of a run without a fixed length: when validation flattens, when asked, or at the last epoch."""

import math
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Timer
from pytorch_lightning.utilities import rank_zero_info, rank_zero_warn
from typing_extensions import override

from ingradient_pl.lightning.counted_steps import steps_per_epoch
from ingradient_pl.optimizers.schedules import OpenEnded

ASKED = "finish"
"""A file of this name in the run's folder asks for the end."""
SPARE = 0.5
"""Epochs' worth of time that is kept for what the pace of the first ones does not tell."""


class Cooldown(pl.Callback):
    """Let the learning rate fall and the run end, once more training at the full rate brings nothing.

    Until then nothing depends on how long the run will be. What it had learned when the rate began to fall
    stays in ``before_decay.ckpt``: from there a later run can go on as if it had never been finished.
    Where ``trainer.max_time`` limits the run, the fall begins in time to end before it.

    Args:
        run: Folder of the run; a file ``finish`` in it (``touch RUN/finish``) begins the end after the epoch.
        monitor: What validation logs.
        patience: Validations without a gain after which the end begins.
        smallest_gain: What counts as one.
        share: Of the whole run's epochs that the fall takes, in (0, 1).
        mode: ``max`` where more is better, else ``min``.

    Raises:
        ValueError: If a setting makes no sense.
    """

    def __init__(
        self,
        run: str,
        monitor: str = "val/dice",
        patience: int = 20,
        smallest_gain: float = 0.001,
        share: float = 0.4,
        mode: str = "max",
    ) -> None:
        if not 0 < share < 1 or patience < 1 or mode not in ("max", "min"):
            raise ValueError(
                "share lies in (0, 1), patience is at least 1 and mode is max or min; got "
                f"{share=}, {patience=}, {mode=}."
            )
        self.run, self.monitor, self.mode = Path(run), monitor, mode
        self.patience, self.smallest_gain, self.share = patience, smallest_gain, share
        self.best: float | None = None
        self.waited, self.last_epoch = 0, 0
        self.new = False

    @override
    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if _schedule(trainer).ends_at is not None:
            trainer.fit_loop.max_epochs = self.last_epoch

    @override
    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.new = not trainer.sanity_checking

    @override
    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if _schedule(trainer).ends_at is None:
            self._look(trainer)
            why = self._why(trainer)
            if why:
                self._finish(trainer, why)

    @override
    def state_dict(self) -> dict[str, Any]:
        return {"best": self.best, "waited": self.waited, "last_epoch": self.last_epoch}

    @override
    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        vars(self).update(state_dict)

    def _look(self, trainer: pl.Trainer) -> None:
        if not self.new:
            return
        self.new = False
        if self.monitor not in trainer.callback_metrics:
            rank_zero_warn(f"{self.monitor} is not logged: the run ends when asked, or at its last epoch.")
            return
        found = float(trainer.callback_metrics[self.monitor])
        if math.isnan(found):
            rank_zero_warn(f"{self.monitor} is not a number: none of the labels is in what validates.")
            return
        sign = 1 if self.mode == "max" else -1
        if self.best is None or sign * (found - self.best) > self.smallest_gain:
            self.best, self.waited = found, 0
        else:
            self.waited += 1

    def _why(self, trainer: pl.Trainer) -> str | None:
        done, latest = trainer.current_epoch + 1, trainer.max_epochs
        asked: bool = trainer.strategy.broadcast((self.run / ASKED).exists())
        if asked:
            return f"{self.run / ASKED} is there"
        if self.waited >= self.patience:
            return f"{self.monitor} has not gained {self.smallest_gain:g} in {self.waited} validations"
        if latest is not None and 0 < latest <= done + self._epochs(done):
            return f"epoch {latest} is to be the last"
        if self._fitting(trainer, done) <= self._epochs(done):
            return "the time of the run (trainer.max_time) is nearly up"
        return None

    def _fitting(self, trainer: pl.Trainer, done: int) -> float:
        """Give how many more epochs fit into the time that the run was given, at its pace so far."""
        for callback in trainer.callbacks:  # type: ignore[attr-defined]
            if isinstance(callback, Timer) and callback.time_remaining() is not None:
                pace = callback.time_elapsed() / done
                left = float(callback.time_remaining() or 0)
                return max(1.0, left / pace - SPARE) if pace else float("inf")
        return float("inf")

    def _epochs(self, done: int) -> int:
        return max(1, round(done * self.share / (1 - self.share)))

    def _finish(self, trainer: pl.Trainer, why: str) -> None:
        done, latest = trainer.current_epoch + 1, trainer.max_epochs
        epochs = self._epochs(done)
        if latest is not None and latest > 0:
            epochs = min(epochs, latest - done)
        epochs = int(min(epochs, self._fitting(trainer, done)))
        if epochs < 1:
            return
        rank_zero_info(f"{why}: the learning rate falls over the next {epochs} epochs, then the run ends.")
        self.waited = 0  # whoever goes on from there wants to see it flatten again
        trainer.save_checkpoint(self.run / "checkpoints" / "before_decay.ckpt", weights_only=False)
        every = trainer.lr_scheduler_configs[0]
        steps = 1 if every.interval == "epoch" else steps_per_epoch(trainer) or trainer.global_step // done
        _schedule(trainer).finish(epochs * steps)
        self.last_epoch = trainer.fit_loop.max_epochs = done + epochs
        if trainer.is_global_zero:
            (self.run / ASKED).unlink(missing_ok=True)


def _schedule(trainer: pl.Trainer) -> OpenEnded:
    for config in trainer.lr_scheduler_configs:
        if isinstance(config.scheduler, OpenEnded):
            return config.scheduler
    found = [type(config.scheduler).__name__ for config in trainer.lr_scheduler_configs]
    raise ValueError(
        "Cooldown ends runs whose schedule is open-ended: take scheduler@module.scheduler=open_ended and "
        "module.length_argument=null (recipe=open does), or leave the callback out; got "
        f"{', '.join(found) or 'no schedule'}."
    )
