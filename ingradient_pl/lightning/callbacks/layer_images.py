"""Pictures of every level while training: to the logger and as PNG."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytorch_lightning as pl
from jaxtyping import Float, Integer
from torch import Tensor
from typing_extensions import override

from ingradient_pl.lightning.datamodule import SegmentationData
from ingradient_pl.pictures import level_pictures, write_png
from ingradient_pl.transforms.patch import Batch


class LayerImages(pl.Callback):
    """Show image, truth, prediction and class maps of every level, for training and validation.

    It takes the patch with the most foreground on rank 0: of the epoch's first batch in training, of all
    batches in validation. TensorBoard, Weights & Biases, MLflow and
    Comet get it, and ``images/`` under the run's folder gets a PNG.

    Args:
        every_n_epochs: Epochs from one picture to the next.
        png: Whether to write PNG files too.
    """

    def __init__(self, every_n_epochs: int = 10, *, png: bool = True) -> None:
        if every_n_epochs < 1:
            raise ValueError(f"every_n_epochs must be at least 1, got {every_n_epochs}.")
        self.every_n_epochs, self.png = every_n_epochs, png
        self.shown: Patch | None = None

    @override
    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Tensor | Mapping[str, Any] | None,
        batch: Batch,
        batch_idx: int,
    ) -> None:
        if self.looks_at(trainer, batch_idx) and isinstance(outputs, Mapping):
            self._write("train", trainer, _richest_patch(outputs, batch))

    @override
    def on_validation_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.shown = None

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
        if self._due(trainer) and isinstance(outputs, Mapping):
            found = _richest_patch(outputs, batch)
            if self.shown is None or found.foreground > self.shown.foreground:
                self.shown = found

    @override
    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self.shown is not None:
            self._write("val", trainer, self.shown)
            self.shown = None

    def looks_at(self, trainer: pl.Trainer, batch_idx: int) -> bool:
        """Whether a picture of a training batch is due, for which its logits must be kept."""
        return batch_idx == 0 and self._due(trainer)

    def _due(self, trainer: pl.Trainer) -> bool:
        epoch = trainer.current_epoch
        last = trainer.max_epochs is not None and epoch == trainer.max_epochs - 1
        due = epoch % self.every_n_epochs == 0 or last
        return due and not trainer.sanity_checking and trainer.is_global_zero

    def _write(self, stage: str, trainer: pl.Trainer, patch: "Patch") -> None:
        names, written = _outputs(trainer.datamodule, len(patch.pyramid[0]))  # type: ignore[attr-defined]
        picture = level_pictures(patch.image, patch.label, patch.pyramid, names, written)
        for logger in trainer.loggers:
            log_image(logger, f"{stage}/levels", picture, trainer.global_step)
        if self.png:
            name = f"{stage}_epoch{trainer.current_epoch:04d}.png"
            write_png(Path(trainer.default_root_dir) / "images" / name, picture)


class Patch(NamedTuple):
    """What is shown of a patch.

    Args:
        foreground: How many voxels of the truth are not background.
        image: One channel of the network's input.
        label: The truth.
        pyramid: Logits of each level, finest first.
    """

    foreground: int
    image: Float[Tensor, "z y x"]
    label: Integer[Tensor, "z y x"]
    pyramid: list[Tensor]


def _richest_patch(outputs: Mapping[str, Any], batch: Batch) -> Patch:
    """Take the patch of a batch that has the most foreground."""
    counts = (batch.label > 0).flatten(1).sum(1)
    chosen = int(counts.argmax())
    pyramid = [level[chosen].detach().float() for level in outputs["pyramid"]]
    return Patch(int(counts[chosen]), batch.image[chosen, 0].float(), batch.label[chosen], pyramid)


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
