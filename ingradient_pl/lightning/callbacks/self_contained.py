"""Checkpoints that predict with nothing beside them."""

from typing import Any, cast

import pytorch_lightning as pl
from torch import nn
from typing_extensions import override

from ingradient_pl.inference.checkpoint import describe_stage, read_description
from ingradient_pl.inference.checkpoint_file import PREVIOUS
from ingradient_pl.lightning.checkpoint_io import use_whole_files
from ingradient_pl.lightning.datamodule import SegmentationData
from ingradient_pl.lightning.further_volumes import check_stage
from ingradient_pl.lightning.resumable import name_file


class SelfContained(pl.Callback):
    """Write into each checkpoint what network, plan and task it belongs to, as plain values; write it whole.

    That of a cascade holds the stages before as well, with their weights; a run that goes on behind others
    is refused.

    A network without a recipe trains all the same; its checkpoint then says so when it is asked to predict.
    """

    @override
    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        use_whole_files(trainer)  # before a checkpoint is opened
        name_file(trainer)

    @override
    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        data = trainer.datamodule  # type: ignore[attr-defined]
        if isinstance(data, SegmentationData):
            network = cast(nn.Module, pl_module.network)
            checkpoint.update(read_description(network, data.plan, data.task, data.split.kept, data.mirrored))
            if data.further is not None and data.further.model is not None:
                checkpoint[PREVIOUS] = describe_stage(data.further.model)

    @override
    def on_load_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        further = getattr(trainer.datamodule, "further", None)  # type: ignore[attr-defined]
        if further is not None and further.model is not None:
            check_stage(checkpoint, further.model)
