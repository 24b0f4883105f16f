"""Reads and writes Lightning's checkpoints as files that are whole and check-summed, on whatever disk."""

from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from lightning_fabric.plugins import TorchCheckpointIO
from typing_extensions import override

from ingradient_pl.inference.checkpoint_file import load, write_content


class WholeCheckpointIO(TorchCheckpointIO):
    """Write a checkpoint beside its final name, sync and rename it; open none that is damaged or brings code.

    Lightning's own writes into the system's temporary folder and moves the file from there. Across disks that
    is a copy over the older file, and a run that is killed meanwhile has neither.
    """

    @override
    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        if "://" in str(path):  # a store of objects has no names to rename
            super().save_checkpoint(checkpoint, path, storage_options)
        else:
            write_content(Path(path), checkpoint)

    @override
    def load_checkpoint(
        self, path: Any, map_location: Any = "cpu", weights_only: bool | None = True
    ) -> dict[str, Any]:
        found: dict[str, Any] = load(path, map_location)
        return found

    @override
    def remove_checkpoint(self, path: Any) -> None:
        if "://" in str(path):
            super().remove_checkpoint(path)
        else:
            Path(path).unlink(missing_ok=True)


def use_whole_files(trainer: pl.Trainer) -> None:
    """Have a trainer's checkpoints read and written so, unless it was given a way of its own.

    Args:
        trainer: Changed in place.
    """
    if type(trainer.strategy.checkpoint_io) is TorchCheckpointIO:
        trainer.strategy.checkpoint_io = WholeCheckpointIO()
