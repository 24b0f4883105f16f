"""Dice of each label while training, pooled over all validation patches and ranks."""

from collections.abc import Mapping
from typing import Any

import pytorch_lightning as pl
from torch import Tensor
from typing_extensions import override

from ingradient_pl.lightning.datamodule import SegmentationData
from ingradient_pl.metrics.dice import PooledDice
from ingradient_pl.transforms.patch import Batch


class ValidationDice(pl.Callback):
    """Log ``val/dice`` (mean over labels) and ``val/dice/<label>`` once per validation.

    In ``trainer.test`` it is ``test/dice`` and ``test/dice/<label>``.

    Voxels of all patches are counted together, as nnU-Net's pseudo Dice does: quick and steady, but no
    substitute for the scores of whole cases, which ``ingradient predict`` and ``evaluate`` give.
    """

    def __init__(self) -> None:
        self.dice: PooledDice | None = None

    @override
    def on_validation_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        data = trainer.datamodule  # type: ignore[attr-defined]
        if self.dice is None and isinstance(data, SegmentationData):
            task = data.task
            dice = PooledDice(task.foreground, ignore=task.ignore, regions=task.has_regions)
            self.dice = dice.to(pl_module.device)

    @override
    def on_test_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.on_validation_epoch_start(trainer, pl_module)

    @override
    def on_validation_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Tensor | Mapping[str, Any] | None,
        batch: Batch,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        if self.dice is not None and isinstance(outputs, Mapping):
            self.dice.update(outputs["pyramid"][0], batch.label, batch.known)

    @override
    def on_test_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Tensor | Mapping[str, Any] | None,
        batch: Batch,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        self.on_validation_batch_end(trainer, pl_module, outputs, batch, batch_idx, dataloader_idx)

    @override
    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._log(pl_module, "val/dice")

    @override
    def on_test_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._log(pl_module, "test/dice")

    def _log(self, module: pl.LightningModule, name: str) -> None:
        if self.dice is None:
            return
        scores: dict[str, Tensor] = self.dice.compute()
        module.log(name, scores.pop("mean"), prog_bar=True)
        module.log_dict({f"{name}/{label}": score for label, score in scores.items()})
        self.dice.reset()
