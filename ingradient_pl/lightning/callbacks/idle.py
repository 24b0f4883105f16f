"""A run that does less than it could says so: nothing trains, validates or is saved, labels stay unknown."""

from collections.abc import Iterator

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import EarlyStopping, ModelCheckpoint
from torch import Tensor
from typing_extensions import override

from ingradient_pl.lightning.callbacks.freeze import Freeze
from ingradient_pl.lightning.callbacks.pseudo_labels import suggest_pseudo_labels
from ingradient_pl.lightning.datamodule import SegmentationData
from ingradient_pl.lightning.run_log import tell

SAMPLE = 1000
"""Entries of each weight, and steps of a schedule, that are looked at."""
FULL = 0.95
"""Share of the learning rate that counts as all of it."""


class TellIdle(pl.Callback):
    """Tell at the start of what a run will never do, or could; after an epoch, that nothing changed."""

    def __init__(self) -> None:
        self.before: list[Tensor] = []

    @override
    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        for line in find_idle(trainer):
            tell(line)
        suggestion = suggest_pseudo_labels(trainer)
        if suggestion is not None:
            tell(suggestion)
        self.before = _sample(pl_module)

    @override
    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        before, self.before = self.before, []
        if before and all(map(torch.equal, before, _sample(pl_module))):
            rates = ", ".join(f"{group['lr']:g}" for one in trainer.optimizers for group in one.param_groups)
            tell(
                "Note: no weight changed in this epoch, so nothing is learned. Learning rates are "
                f"{rates} now. Look at module.optimizer.lr, module.scheduler, module.freeze and the weights "
                "of module.loss."
            )


def find_idle(trainer: pl.Trainer) -> Iterator[str]:
    """Say what a run will never do, by its settings, though it was asked to.

    Args:
        trainer: About to train.
    """
    epochs = trainer.max_epochs if trainer.max_epochs is not None and trainer.max_epochs >= 0 else None
    data, every = trainer.datamodule, trainer.check_val_every_n_epoch  # type: ignore[attr-defined]
    late = epochs is not None and every is not None and every > epochs
    if (late or trainer.limit_val_batches == 0) and (
        not isinstance(data, SegmentationData) or data.split.validation
    ):
        why = f"check_val_every_n_epoch={every} of {epochs} epochs" if late else "limit_val_batches=0"
        yield (
            f"Note: nothing will be validated (trainer.{why}): there will be no val/dice, no best.ckpt and "
            "no picture of validation. Lower the first, or raise the second."
        )
    if epochs is not None:
        yield from _find_late(trainer, epochs)
    for one in trainer.checkpoint_callbacks:
        saves = getattr(one, "_every_n_epochs", 1)
        if isinstance(one, ModelCheckpoint) and epochs is not None and saves > epochs:
            yield (
                f"Note: {one.filename}.ckpt will never be saved: every_n_epochs={saves}, and the run has "
                f"{epochs}. Lower it in callbacks."
            )


def _find_late(trainer: pl.Trainer, epochs: int) -> Iterator[str]:
    """Say what would begin only after the last epoch: the full rate, thawed weights, an end by patience."""
    for one in trainer.lr_scheduler_configs:
        steps = int(trainer.estimated_stepping_batches) if one.interval == "step" else epochs
        some = [*range(0, steps, max(1, steps // SAMPLE)), max(steps - 1, 0)]
        rates = getattr(one.scheduler, "lr_lambdas", ())
        share = max((rate(step) for rate in rates for step in some), default=1.0)
        if 0 < share < FULL:
            yield (
                f"Note: the learning rate rises to {share:.0%} of what module.optimizer says, and the run "
                "ends before it is there. Lower module.scheduler.warmup, or train longer."
            ).replace("%", " %", 1)
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        every = trainer.check_val_every_n_epoch or 1
        if isinstance(callback, EarlyStopping) and callback.patience * every >= epochs:
            yield (
                f"Note: the run is stopped early after {callback.patience} validations without a gain, and "
                f"it has {epochs} epochs: that will never be. Lower callbacks.early_stopping.patience."
            )
        if isinstance(callback, Freeze) and (callback.epochs or 0) >= epochs:
            yield (
                f"Note: module.freeze_epochs={callback.epochs}, and the run has {epochs}: what is frozen "
                "never trains. Lower it, or set it to null where that is meant."
            )


def _sample(module: torch.nn.Module) -> list[Tensor]:
    """Give the first entries of each weight that trains."""
    weights = (one.detach() for one in module.parameters() if one.requires_grad)
    return [one.reshape(-1)[:SAMPLE].clone() for one in weights]
