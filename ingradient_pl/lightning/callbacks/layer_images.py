"""Pictures of every level while training: to the logger and as PNG."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from torch import Tensor
from typing_extensions import override

from ingradient_pl.lightning.datamodule import SegmentationData
from ingradient_pl.pictures import level_pictures, write_png
from ingradient_pl.transforms.patch import Batch


class LayerImages(pl.Callback):
    """Show image, truth, prediction and class maps of every level, for training and validation.

    It takes the first patch of the epoch's first batch on rank 0. TensorBoard, Weights & Biases, MLflow and
    Comet get it, and ``images/`` under the run's folder gets a PNG.

    Args:
        every_n_epochs: Epochs from one picture to the next.
        png: Whether to write PNG files too.
    """

    def __init__(self, every_n_epochs: int = 10, *, png: bool = True) -> None:
        if every_n_epochs < 1:
            raise ValueError(f"every_n_epochs must be at least 1, got {every_n_epochs}.")
        self.every_n_epochs, self.png = every_n_epochs, png

    @override
    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Tensor | Mapping[str, Any] | None,
        batch: Batch,
        batch_idx: int,
    ) -> None:
        self._show("train", trainer, outputs, batch, batch_idx)

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
        self._show("val", trainer, outputs, batch, batch_idx)

    def looks_at(self, trainer: pl.Trainer, batch_idx: int) -> bool:
        """Whether a picture of this batch is due, for which its logits must be kept."""
        epoch = trainer.current_epoch
        last = trainer.max_epochs is not None and epoch == trainer.max_epochs - 1
        due = batch_idx == 0 and (epoch % self.every_n_epochs == 0 or last) and not trainer.sanity_checking
        return due and trainer.is_global_zero

    def _show(self, stage: str, trainer: pl.Trainer, outputs: Any, batch: Batch, batch_idx: int) -> None:
        if not self.looks_at(trainer, batch_idx) or not isinstance(outputs, Mapping):
            return
        epoch = trainer.current_epoch
        pyramid = [level[0].float() for level in outputs["pyramid"]]
        names, written = _outputs(trainer.datamodule, len(pyramid[0]))  # type: ignore[attr-defined]
        picture = level_pictures(batch.image[0, 0].float(), batch.label[0], pyramid, names, written)
        for logger in trainer.loggers:
            log_image(logger, f"{stage}/levels", picture, trainer.global_step)
        if self.png:
            write_png(Path(trainer.default_root_dir) / "images" / f"{stage}_epoch{epoch:04d}.png", picture)


def _outputs(data: object, count: int) -> tuple[list[str], tuple[int, ...] | None]:
    """Name the outputs, and where they are regions say as which integers they are written."""
    if not isinstance(data, SegmentationData):
        return [str(i) for i in range(count)], None
    return data.task.output_names, data.task.regions_class_order if data.task.has_regions else None


def log_image(logger: Any, key: str, picture: Tensor, step: int) -> None:
    """Hand a picture (channel, y, x) to a logger in its own way; those that show none get none."""
    experiment: Any = getattr(logger, "experiment", None)
    plain = picture.permute(1, 2, 0).cpu().numpy()
    if hasattr(logger, "log_image"):  # Weights & Biases
        logger.log_image(key, [plain], step=step)
    elif hasattr(experiment, "add_image"):  # TensorBoard
        experiment.add_image(key, picture, step)
    elif hasattr(experiment, "log_image") and hasattr(logger, "run_id"):  # MLflow
        experiment.log_image(logger.run_id, plain, key=key, step=step)
    elif hasattr(experiment, "log_image"):  # Comet
        experiment.log_image(plain, name=key, step=step)
