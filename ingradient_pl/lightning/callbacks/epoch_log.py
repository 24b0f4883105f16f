"""One line an epoch to output and log file, and the curves of the run as a picture."""

import math
import time
from collections.abc import Mapping
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from numpy.typing import NDArray
from pytorch_lightning.callbacks import ProgressBar
from torch import Tensor
from typing_extensions import override

from ingradient_pl.lightning.callbacks.layer_images import log_image
from ingradient_pl.lightning.callbacks.throughput import MEMORY, PATCHES, WAITING
from ingradient_pl.lightning.datamodule import SegmentationData
from ingradient_pl.lightning.progress_figure import draw_progress, write_picture
from ingradient_pl.lightning.run_epochs import add_epoch, write_epochs
from ingradient_pl.lightning.run_files import CONFIG, LOG
from ingradient_pl.lightning.run_log import LogFile, close_log, open_log, tell, write_down
from ingradient_pl.messages import printable
from ingradient_pl.phrases import say_count
from ingradient_pl.unfinished import remove_leftovers

FIGURE = "progress.png"
PAUSE = 30.0
"""Seconds from one drawing of the figure to the next; the last one is always drawn."""
SETTLING, MEASURED = 3, 10
"""Steps that are left out of the first estimate, and steps it is made of."""
PATIENCE = 60.0
"""Seconds of training after which the steps that are done make the estimate, however few."""
HOUR, DAY = 3600, 86400
DICE = "val/dice"
KNOWN = {"val": "val/loss", "dice": DICE, "patches": PATCHES, "waiting": WAITING, "memory": MEMORY}
"""What the record of an epoch takes from what was logged."""


class EpochLog(pl.Callback):
    """Say after each epoch: loss, Dice of each label, learning rate, seconds, time left.

    ``train.log`` in the run's folder gets all that the run says, with the time; ``progress.png`` beside it
    shows the curves, ``epochs.jsonl`` holds their figures, and the loggers get them, too. After a few steps
    the length of the run is estimated.
    """

    def __init__(self) -> None:
        self.epochs: list[dict[str, Any]] = []
        self.file: LogFile | None = None
        self.loss: Tensor | None = None
        self.rate: float | None = None
        self.batches, self.first_epoch = 0, 0
        self.began = self.run_began = self.drawn = self.settled = 0.0
        self.estimated = False

    @override
    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        if stage == "fit" and trainer.is_global_zero and self.file is None:
            self.file = open_log(Path(trainer.default_root_dir) / LOG)

    @override
    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        self._close()

    @override
    def on_exception(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException
    ) -> None:
        if self.file is not None:
            write_down(self.file, ": ".join(filter(None, (type(exception).__name__, str(exception)))))
            if self.epochs:
                with suppress(OSError):  # what ended the run is told, and not what a full disk adds to it
                    self._draw(trainer)
        self._close(failed=True)

    @override
    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.run_began, self.first_epoch = time.monotonic(), trainer.current_epoch
        self.epochs = [epoch for epoch in self.epochs if epoch["epoch"] <= trainer.current_epoch]
        run = Path(trainer.default_root_dir)
        if trainer.is_global_zero:
            write_epochs(run, self.epochs)
            remove_leftovers(run)  # of one that was killed
            remove_leftovers(run / CONFIG.parent)
        weights = sum(weight.numel() for weight in pl_module.parameters())
        data = trainer.datamodule  # type: ignore[attr-defined]
        cases = _describe_data(data) if isinstance(data, SegmentationData) else ""
        batches = f"{trainer.num_training_batches} batch{'' if trainer.num_training_batches == 1 else 'es'}"
        tell(
            f"Training {weights:,} weights on {pl_module.device.type} ({trainer.precision}), "
            f"{_count(trainer.max_epochs)} epoch{'' if trainer.max_epochs == 1 else 's'} of "
            f"{batches}{cases}. "
            f"Folder: {trainer.default_root_dir}"
        )

    @override
    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.began = time.monotonic()
        self.rate = float(trainer.optimizers[0].param_groups[0]["lr"]) if trainer.optimizers else None
        self.loss, self.batches = torch.zeros((), device=pl_module.device), 0

    @override
    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Tensor | Mapping[str, Any] | None,
        batch: Any,
        batch_idx: int,
    ) -> None:
        loss = outputs["loss"] if isinstance(outputs, Mapping) else outputs
        if loss is not None and self.loss is not None:
            self.loss += loss.detach() * trainer.accumulate_grad_batches  # Lightning divides it by them
            self.batches += 1
        if trainer.current_epoch == self.first_epoch and trainer.is_global_zero:
            self._estimate(trainer, batch_idx)

    @override
    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self.loss is None or not self.batches:
            return
        metrics = {name: float(value) for name, value in trainer.callback_metrics.items()}
        of = f"{DICE}/"
        labels = {name.removeprefix(of): value for name, value in metrics.items() if name.startswith(of)}
        known = {name: metrics.get(key) for name, key in KNOWN.items()}
        record = {
            "epoch": trainer.current_epoch + 1,
            "train": float(self.loss) / self.batches,
            **{name: value for name, value in known.items() if value is not None and math.isfinite(value)},
            "labels": {name: value for name, value in labels.items() if math.isfinite(value)},
            "lr": self.rate,
            "seconds": time.monotonic() - self.began,
        }
        self.epochs.append(record)
        if trainer.is_global_zero:
            add_epoch(Path(trainer.default_root_dir), record)
            self._say(trainer, describe_epoch(record, trainer.max_epochs, self._seconds_left(trainer)))
            if trainer.current_epoch + 1 != trainer.max_epochs and time.monotonic() - self.drawn > PAUSE:
                self._draw(trainer)

    @override
    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.is_global_zero and self.epochs:
            picture = torch.from_numpy(self._draw(trainer)).permute(2, 0, 1)
            for logger in trainer.loggers:
                log_image(logger, "progress", picture, trainer.global_step)

    @override
    def state_dict(self) -> dict[str, Any]:
        return {"epochs": self.epochs}

    @override
    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.epochs = list(state_dict["epochs"])

    def _say(self, trainer: pl.Trainer, line: str) -> None:
        bar = trainer.progress_bar_callback
        if isinstance(bar, ProgressBar) and getattr(bar, "is_enabled", False) and self.file is not None:
            bar.print(printable(line))  # above the bar, which stays whole
            write_down(self.file, line)
        else:
            tell(line)

    def _draw(self, trainer: pl.Trainer) -> NDArray[np.uint8]:
        picture = draw_progress(self.epochs)
        write_picture(Path(trainer.default_root_dir) / FIGURE, picture)
        self.drawn = time.monotonic()
        return picture

    def _seconds_left(self, trainer: pl.Trainer) -> float | None:
        """Give the seconds to the end, at the pace of this run; None where it has none."""
        done = trainer.current_epoch + 1 - self.first_epoch
        if trainer.max_epochs is None or trainer.max_epochs < 0 or done < 1:
            return None
        return (time.monotonic() - self.run_began) / done * (trainer.max_epochs - trainer.current_epoch - 1)

    def _estimate(self, trainer: pl.Trainer, batch: int) -> None:
        """Say once, after a few steps or a minute of them, how long the run will take."""
        now, done = time.monotonic(), batch + 1
        begin, counted = (self.began, done) if done <= SETTLING else (self.settled, done - SETTLING)
        if done == SETTLING:
            self.settled = now
        steps = trainer.estimated_stepping_batches - trainer.global_step
        if self.estimated or steps == float("inf") or (counted < MEASURED and now - self.began < PATIENCE):
            return
        self.estimated = True
        seconds = (now - begin) / counted * steps
        slow = seconds > HOUR and trainer.strategy.root_device.type == "cpu"
        cure = (
            " It trains on the CPU. Quicker: epochs=1 batches_per_epoch=10 for a look, a smaller plan "
            "(data.planner.memory_gb=1), or a machine with a GPU."
        )
        tell(f"At this pace the steps take {_span(seconds)}, validation besides.{cure if slow else ''}")

    def _close(self, *, failed: bool = False) -> None:
        if self.file is not None:
            close_log(self.file, failed=failed)
            self.file = None


def logged_scores(record: Mapping[str, Any]) -> dict[str, float]:
    """Give what was logged of an epoch, by its names there: ``val/loss``, ``val/dice/LABEL``.

    Args:
        record: What was measured, as ``epochs.jsonl`` holds it.
    """
    labels = record.get("labels", {})
    named = {key: record.get(name) for name, key in KNOWN.items()}
    named |= {f"{DICE}/{name}": one for name, one in labels.items()} if isinstance(labels, dict) else {}
    return {name: float(one) for name, one in named.items() if isinstance(one, (int, float))}


def describe_epoch(record: Mapping[str, Any], epochs: int | None, left: float | None) -> str:
    """Give the line of an epoch.

    >>> describe_epoch({"epoch": 2, "train": 0.5, "labels": {}, "lr": 0.01, "seconds": 3.2}, 10, 25.0)
    'Epoch 2/10: loss 0.5000, lr 0.01, 3 s, left 0:00:25'

    Args:
        record: What was measured.
        epochs: How many the run has; None or -1 for no end.
        left: Seconds to its end.
    """
    parts = [f"loss {record['train']:.4f}"]
    if "val" in record:
        parts.append(f"validation {record['val']:.4f}")
    if "dice" in record:
        labels = ", ".join(f"{name} {value:.4f}" for name, value in record["labels"].items())
        parts.append(f"Dice {record['dice']:.4f}" + (f" ({labels})" if labels else ""))
    if record["lr"] is not None:
        parts.append(f"lr {record['lr']:.4g}")
    parts.append(f"{record['seconds']:.0f} s{_describe_speed(record)}")
    if left is not None:
        parts.append(f"left {timedelta(seconds=round(left))}")
    of = f"/{epochs}" if epochs is not None and epochs > 0 else ""
    return f"Epoch {record['epoch']}{of}: {', '.join(parts)}"


def _describe_speed(record: Mapping[str, Any]) -> str:
    """Say how fast an epoch was, as far as it is known, in brackets."""
    parts = []
    if "patches" in record:
        parts.append(f"{record['patches']:.3g} patches/s")
    if "waiting" in record:
        parts.append(f"{record['waiting']:.0%} waiting for data".replace("%", " %"))
    if "memory" in record:
        parts.append(f"{record['memory']:.1f} GB")
    return f" ({', '.join(parts)})" if parts else ""


def _describe_data(data: SegmentationData) -> str:
    """Say what a batch is, and how many cases do what."""
    idle = {name for name, case in data.store.cases.items() if case.labelled}
    idle -= {*data.split.train, *data.split.validation}
    edges = "x".join(map(str, data.plan.patch))
    patches = f"{data.draws.batch_size} patch{'' if data.draws.batch_size == 1 else 'es'} of {edges} voxels"
    told = f" ({patches}); training on {say_count(len(data.split.train), 'case')}"
    told += f", validating on {len(data.split.validation)}"
    return f"{told}, {len(idle)} with a label for neither" if idle else told


def _count(epochs: int | None) -> str:
    return "any number of" if epochs is None or epochs < 0 else str(epochs)


def _span(seconds: float) -> str:
    days, rest = divmod(round(seconds), DAY)
    hours, minutes = divmod(rest // 60, 60)
    if days:
        return f"about {days} days and {hours} hours"
    return (
        f"about {hours} h {minutes} min" if hours else f"about {minutes} min" if minutes else "under a minute"
    )
