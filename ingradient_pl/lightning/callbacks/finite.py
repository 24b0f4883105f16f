"""A run whose numbers are no numbers any more stops, before a checkpoint takes the place of a good one."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor
from typing_extensions import override

from ingradient_pl.lightning.run_files import LAST
from ingradient_pl.lightning.run_log import tell


class StopAtNaN(pl.Callback):
    """Look once an epoch, before anything is saved, whether loss and weights are finite.

    Losses are counted on the device; the host looks at them when the epoch is over.

    Raises:
        ValueError: If a weight is not finite, or no loss of the epoch was; with what to do.
    """

    def __init__(self) -> None:
        self.wrong: Tensor | None = None
        self.batches = 0

    @override
    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.wrong, self.batches = torch.zeros((), device=pl_module.device), 0

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
        if loss is not None and self.wrong is not None:
            self.wrong += ~torch.isfinite(loss.detach())
            self.batches += 1

    @override
    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.state.fn == "fit" and not trainer.sanity_checking:
            self._look(trainer, pl_module)

    @override
    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._look(trainer, pl_module)

    def _look(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        if self.wrong is None or self.batches == 0:
            return
        counted = torch.stack([self.wrong, torch.full_like(self.wrong, self.batches)])
        wrong, batches = trainer.strategy.reduce(counted, reduce_op="sum").int().tolist()
        self.wrong, self.batches = torch.zeros_like(self.wrong), 0
        if wrong < batches and weights_are_finite(module):
            if wrong:
                tell(
                    f"Epoch {trainer.current_epoch + 1}: {wrong} of {batches} losses were not finite. Their "
                    "steps were skipped; if that goes on, take trainer.precision=bf16-mixed or 32-true."
                )
            return
        last = Path(trainer.default_root_dir) / LAST
        kept = f" {last} is from before it: resume it with that." if last.is_file() else ""
        raise ValueError(
            f"The run diverged in epoch {trainer.current_epoch + 1}: {wrong} of {batches} losses, or "
            f"weights, are not finite. Take a lower learning rate (module.optimizer.lr=...), clip gradients "
            f"(trainer.gradient_clip_val=1), or compute in another precision than {trainer.precision} "
            f"(trainer.precision=bf16-mixed or 32-true).{kept}"
        )


def weights_are_finite(module: torch.nn.Module) -> bool:
    """Whether no weight of a network is infinite or not a number.

    Args:
        module: With its weights on one device.
    """
    weights = [weight.detach() for weight in module.parameters() if weight.is_floating_point()]
    norms = torch._foreach_norm(weights) if weights else []
    return not norms or bool(torch.isfinite(torch.stack([norm.float() for norm in norms])).all())
