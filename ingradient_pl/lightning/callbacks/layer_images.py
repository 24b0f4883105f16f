"""Pictures of every level while training: to the logger and as PNG."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytorch_lightning as pl
import torch
from jaxtyping import Integer
from torch import Tensor
from typing_extensions import override

from ingradient_pl.lightning.datamodule import SegmentationData
from ingradient_pl.pictures.levels import PatchView, Shown, draw_levels, look_at_patch, score_patches
from ingradient_pl.pictures.slices import write_png
from ingradient_pl.planning.plan import Plan
from ingradient_pl.transforms.patch import Batch


class LayerImages(pl.Callback):
    """Show image, truth, prediction and class maps of every level, for training and validation.

    In validation it shows the same patches each time, those with the most foreground, each of another case,
    and the patch with the lowest Dice of the epoch; in training the patch of the epoch's first batch that has
    the most foreground. All on rank 0. TensorBoard, Weights & Biases, MLflow, Comet and Aim get the pictures,
    and ``images/`` under the run's folder gets a PNG of each.

    Args:
        every_n_epochs: Epochs from one picture to the next.
        png: Whether to write PNG files too.
        cases: How many validation cases are shown each time, at least 1.

    Raises:
        ValueError: If a number is below 1.
    """

    def __init__(self, every_n_epochs: int = 10, *, png: bool = True, cases: int = 2) -> None:
        for name, value in (("every_n_epochs", every_n_epochs), ("cases", cases)):
            if value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}.")
        self.every_n_epochs, self.png, self.cases = every_n_epochs, png, cases
        self.fixed: list[int] = []
        self.found: dict[int, Candidate] = {}
        self.worst: Candidate | None = None
        self.training: tuple[PatchView, Tensor, list[str]] | None = None

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
            chosen = _count_foreground(batch).argmax()[None]  # stays on the device: a step waits for nothing
            view = _look_at(batch, outputs, chosen, *_meaning(trainer))
            self.training = view, chosen, batch.cases

    @override
    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self.training is not None:
            view, chosen, cases = self.training
            self.training = None
            view = view._replace(case=cases[int(chosen)])
            self._write("train", "train/levels", trainer, view, "training (augmented)")

    @override
    def on_validation_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.found, self.worst = {}, None

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
        if not self._due(trainer) or not isinstance(outputs, Mapping):
            return
        meaning = _meaning(trainer)
        counts = _count_foreground(batch).tolist()
        dice = score_patches(outputs["pyramid"][0], batch.label, *meaning).nanmean(1).tolist()
        for index, (count, score) in enumerate(zip(counts, dice, strict=True)):
            number, case = batch.numbers[index], batch.cases[index]
            wanted, worst = self._is_wanted(number, case, count), self._is_worst(count, score)
            if wanted or worst:
                chosen = torch.tensor([index], device=batch.label.device)
                view = _look_at(batch, outputs, chosen, *meaning)._replace(case=case)
                candidate = Candidate(number, count, score, view)
                self.found = self._with(candidate) if wanted else self.found
                self.worst = candidate if worst else self.worst

    @override
    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if not self.found and self.worst is None:
            return
        if not self.fixed:  # the first time: these are shown from now on
            self.fixed = list(self.found)
        for place, number in enumerate(self.fixed, 1):
            if number in self.found:
                view = self.found[number].view
                self._write(f"val_{place}", f"val/levels/{place}", trainer, view, "validation")
        if self.worst is not None:
            text = "worst patch of this validation"
            self._write("val_worst", "val/levels/worst", trainer, self.worst.view, text)
        self.found, self.worst = {}, None

    @override
    def state_dict(self) -> dict[str, Any]:
        return {"fixed": self.fixed}

    @override
    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.fixed = [int(number) for number in state_dict.get("fixed", ())]

    def looks_at(self, trainer: pl.Trainer, batch_idx: int) -> bool:
        """Whether a picture of a training batch is due, for which its logits must be kept.

        Args:
            trainer: Which knows the epoch.
            batch_idx: Number of the batch in it.
        """
        return batch_idx == 0 and self._due(trainer)

    def _due(self, trainer: pl.Trainer) -> bool:
        epoch = trainer.current_epoch
        last = trainer.max_epochs is not None and epoch == trainer.max_epochs - 1
        due = epoch % self.every_n_epochs == 0 or last
        return due and not trainer.sanity_checking and trainer.is_global_zero

    def _is_wanted(self, number: int, case: str, count: int) -> bool:
        """Whether a patch is one of those that are always shown, or may become one."""
        if self.fixed:
            return number in self.fixed
        same = [one for one in self.found.values() if one.view.case == case]
        rivals = same or (list(self.found.values()) if len(self.found) >= self.cases else [])
        return not rivals or count > min(one.foreground for one in rivals)

    def _with(self, candidate: "Candidate") -> "dict[int, Candidate]":
        """Give what is shown with one more: the richest patch of each case, of the richest cases."""
        if self.fixed:
            return {**self.found, candidate.number: candidate}
        others = [one for one in self.found.values() if one.view.case != candidate.view.case]
        ranked = sorted([*others, candidate], key=lambda one: -one.foreground)
        return {one.number: one for one in ranked[: self.cases]}

    def _is_worst(self, count: int, score: float) -> bool:
        known = count > 0 and score == score  # a patch without a label, truth or prediction, has no Dice
        return known and (self.worst is None or score < self.worst.dice)

    def _write(self, file: str, key: str, trainer: pl.Trainer, view: PatchView, stage: str) -> None:
        augmented = file == "train"
        shown = describe_outputs(trainer.datamodule, len(view.levels[0].maps), turned=augmented)  # type: ignore[attr-defined]
        picture = draw_levels(view, shown, f"Epoch {trainer.current_epoch + 1}, {stage}, ")
        for logger in trainer.loggers:
            log_image(logger, key, picture, trainer.global_step)
        if self.png:
            name = f"{file}_epoch{trainer.current_epoch:04d}.png"
            write_png(Path(trainer.default_root_dir) / "images" / name, picture)


class Candidate(NamedTuple):
    """A validation patch that may be shown.

    Args:
        number: Of its draw, the same in every epoch.
        foreground: How many voxels of its truth are not background.
        dice: Mean over its labels; NaN where there is none.
        view: What is shown of it.
    """

    number: int
    foreground: int
    dice: float
    view: PatchView


def describe_outputs(data: object, count: int, *, turned: bool) -> Shown:
    """Give names and integers of outputs, and size and directions of a patch's voxels where they are known.

    Args:
        data: The data module; one of another class tells nothing.
        count: How many outputs there are.
        turned: Whether patches are rotated and mirrored, so that nobody knows where the patient's sides lie.
    """
    if not isinstance(data, SegmentationData):
        return Shown([str(output) for output in range(count)], range(count))
    task = data.task
    values = task.regions_class_order if task.has_regions else range(count)
    towards = "" if turned else patch_directions(data.plan)
    return Shown(task.output_names, list(values or range(1, count + 1)), data.plan.spacing, towards)


def patch_directions(plan: Plan) -> str:
    """Give the directions of the patient that a patch's (z, y, x) run to; empty where the plan has none.

    Args:
        plan: Orientation of cases, and the order in which the network has their axes.
    """
    if len(plan.orientation) != len(plan.transpose):  # 'stored': every file as it comes
        return ""
    stored = plan.orientation[::-1]
    return "".join(stored[axis] for axis in plan.transpose)


def _count_foreground(batch: Batch) -> Integer[Tensor, " batch"]:
    return (batch.label > 0).flatten(1).sum(1)


def _look_at(
    batch: Batch,
    outputs: Mapping[str, Any],
    chosen: Tensor,
    written: Sequence[int] | None,
    overlap: Sequence[Sequence[int]] | None,
) -> PatchView:
    """Look at one patch of a batch, whose number in it is a tensor of one element."""
    pyramid = [level.detach().index_select(0, chosen)[0] for level in outputs["pyramid"]]
    image, label = (part.index_select(0, chosen)[0] for part in (batch.image[:, 0], batch.label))
    return look_at_patch("", image, label, pyramid, written, overlap)


def _meaning(trainer: pl.Trainer) -> tuple[tuple[int, ...] | None, tuple[tuple[int, ...], ...] | None]:
    """Say as which integers regions are written, and which integers each overlapping label has, if any."""
    data = trainer.datamodule  # type: ignore[attr-defined]
    if not isinstance(data, SegmentationData) or not data.task.has_regions:
        return None, None
    if data.task.overlap is not None:
        return None, data.task.regions
    return data.task.regions_class_order, None


def log_image(logger: Any, key: str, picture: Tensor, step: int) -> None:
    """Hand a picture (channel, y, x) to a logger in its own way; those that show none get none.

    Args:
        logger: One of Lightning's.
        key: What the picture is called there.
        picture: Bytes.
        step: Of the run.
    """
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
    elif hasattr(experiment, "track"):  # Aim
        experiment.track(sys.modules["aim"].Image(plain), name=key, step=step)
