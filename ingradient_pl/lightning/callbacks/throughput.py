"""How fast a run is: patches a second, the share of it spent waiting for data, the memory it takes."""

import sys
import time
from collections.abc import Mapping
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor
from typing_extensions import override

PATCHES, WAITING, MEMORY = "speed/patches_per_second", "speed/waiting_for_data", "speed/memory_gb"
"""Names of what is logged: patches over all ranks, a share in [0, 1], gigabytes (1e9 bytes)."""

GIGA = 1e9


class Throughput(pl.Callback):
    """Log after each epoch how fast its training steps were, on the host's clock: no step waits for it.

    ``speed/patches_per_second`` counts the patches of all ranks over the time of the training steps;
    ``speed/waiting_for_data`` is the share of that time in which the run had nothing to do but wait for the
    readers (not known of loaders of one's own); ``speed/memory_gb`` is the most that the run has taken so
    far, of a CUDA device or else of this process. Validation is left out.
    """

    def __init__(self) -> None:
        self.began = self.spent = self.waited = 0.0
        self.patches = 0

    @override
    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.spent, self.patches = 0.0, 0
        self.waited = _seconds_waited(trainer) or 0.0
        self.began = time.perf_counter()

    @override
    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Tensor | Mapping[str, Any] | None,
        batch: Any,
        batch_idx: int,
    ) -> None:
        now = time.perf_counter()
        self.spent += now - self.began
        self.began = now
        self.patches += len(getattr(batch, "cases", ())) * trainer.world_size

    @override
    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.began = time.perf_counter()  # what validation took is not a step's

    @override
    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        pl_module.log_dict(self.measure(trainer, pl_module.device))

    def measure(self, trainer: pl.Trainer, device: torch.device) -> dict[str, float]:
        """Give what is known of the epoch so far, by name.

        Args:
            trainer: Whose loader says how long it was waited for.
            device: Whose memory is told.
        """
        figures = {MEMORY: peak_memory(device) / GIGA}
        if self.spent > 0 and self.patches:
            figures[PATCHES] = self.patches / self.spent
        waited = _seconds_waited(trainer)
        if self.spent > 0 and waited is not None:
            figures[WAITING] = min(max(waited - self.waited, 0.0) / self.spent, 1.0)
        return figures


def peak_memory(device: torch.device) -> int:
    """Give the most bytes that this process has taken so far: of a CUDA device, else of the machine.

    Args:
        device: Where the run is; another than a CUDA device keeps no such count.
    """
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    if sys.platform == "win32":
        return 0
    import resource

    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024


def _seconds_waited(trainer: pl.Trainer) -> float | None:
    """Give the seconds for which the training loader was waited for; None where it does not say."""
    waited = getattr(trainer.train_dataloader, "waited", None)
    return waited if isinstance(waited, float) else None
