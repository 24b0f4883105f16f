"""One training run: a trainer fits a module to data, and whoever stops it learns how to go on."""

from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from lightning_fabric.utilities.exceptions import MisconfigurationException

from ingradient_pl.inference import checkpoint
from ingradient_pl.lightning.stopped import Stopped

LAST = Path("checkpoints") / "last.ckpt"
"""Where a run keeps the state that it is resumed from."""


def seed_everything(seed: int) -> None:
    """Seed all generators of this process, and by the environment those of its workers and ranks."""
    pl.seed_everything(seed, workers=True)


def fit(
    trainer: pl.Trainer,
    module: pl.LightningModule,
    data: pl.LightningDataModule,
    resume: str | None = None,
    metric: str = "val/dice",
) -> float:
    """Fit ``module`` to ``data``; print where the model is, and return ``metric`` (NaN: it was not logged).

    Args:
        trainer: How long, on which devices, with which callbacks.
        module: The network, its loss and its optimiser.
        data: What it sees.
        resume: Checkpoint to go on from.
        metric: Name of what validation logs and a sweep compares.

    Raises:
        Stopped: If the run was told to stop before its end.
        ValueError: If the checkpoint holds no state of a training, or Lightning refuses the settings.
    """
    if resume is not None and "optimizer_states" not in checkpoint.read_content(Path(resume)):
        raise ValueError(
            f"{resume} holds a model, but no state of its training (it was imported, perhaps): it can "
            "predict, but not be trained further by resume=."
        )
    try:
        trainer.fit(module, data, ckpt_path=resume, weights_only=True)
    except SystemExit as asked:  # how Lightning leaves when it is told to, whatever the reason
        run, epoch = trainer.default_root_dir, trainer.current_epoch
        told = f"The run was stopped in epoch {epoch} (from 0). Go on with it: resume={run}"
        raise Stopped(told, by_signal=trainer.received_sigterm) from asked
    except MisconfigurationException as error:
        raise ValueError(str(error)) from error
    found: Any = trainer.callback_metrics.get(metric, float("nan"))
    last = Path(trainer.default_root_dir) / LAST
    if trainer.is_global_zero and last.is_file():
        _print(f"Trained, {metric} {float(found):.4f}. The model: {last}; its scores:")
        _print(f"  ingradient predict --checkpoint {last} --source DATASET --only validation")
    return float(found)


def _print(text: str) -> None:
    print(text)  # noqa: T201 - what a run leaves behind goes to standard output
