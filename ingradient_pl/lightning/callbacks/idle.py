"""A run that does not do what runs are for says so: nothing trains, nothing validates, nothing is saved."""

from collections.abc import Iterator

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import ModelCheckpoint
from torch import Tensor
from typing_extensions import override

from ingradient_pl.lightning.datamodule import SegmentationData
from ingradient_pl.lightning.run_log import tell

SAMPLE = 1000
"""Entries of each weight that are looked at."""


class TellIdle(pl.Callback):
    """Tell at the start of what a run will never do, and after its first epoch that no weight has changed."""

    def __init__(self) -> None:
        self.before: list[Tensor] = []

    @override
    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        for line in find_idle(trainer):
            tell(line)
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
    for one in trainer.checkpoint_callbacks:
        saves = getattr(one, "_every_n_epochs", 1)
        if isinstance(one, ModelCheckpoint) and epochs is not None and saves > epochs:
            yield (
                f"Note: {one.filename}.ckpt will never be saved: every_n_epochs={saves}, and the run has "
                f"{epochs}. Lower it in callbacks."
            )


def _sample(module: torch.nn.Module) -> list[Tensor]:
    """Give the first entries of each weight that trains."""
    weights = (one.detach() for one in module.parameters() if one.requires_grad)
    return [one.reshape(-1)[:SAMPLE].clone() for one in weights]
