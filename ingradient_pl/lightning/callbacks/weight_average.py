"""A running average of the weights, which validation sees and checkpoints predict with."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.trainer.states import TrainerFn
from torch import Tensor
from typing_extensions import override

ENTRY = "weight_average"
"""Where a checkpoint keeps the weights that training goes on from."""


class WeightAverage(pl.Callback):
    """Keep an exponential moving average of the weights: steadier than the last step's.

    Validation runs on the average, and checkpoints hold it where others hold the weights, so ``predict`` uses
    it; a resumed run goes on from the last step's weights, which lie beside it. Running statistics (batch
    norm) are the last step's. Lightning has one of its own from 2.6 on; this one runs on older versions too.

    Args:
        decay: Share of the average that each step keeps; in the first steps (1 + step) / (10 + step), which
            is less, so that they are forgotten.

    Raises:
        ValueError: If ``decay`` is not a share.

    Source: Polyak & Juditsky 1992, https://doi.org/10.1137/0330046; the start is TensorFlow's.
    """

    def __init__(self, decay: float = 0.999) -> None:
        if not 0 <= decay < 1:
            raise ValueError(f"decay must lie in [0, 1), got {decay}. A percentage? Divide by 100.")
        self.decay, self.steps, self.shown = decay, 0, False
        self.average: dict[str, Tensor] = {}

    @override
    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        own = dict(pl_module.named_parameters())
        found = self.average or own
        self.average = {name: found[name].detach().clone().to(weight.device) for name, weight in own.items()}

    @override
    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Tensor | Mapping[str, Any] | None,
        batch: Any,
        batch_idx: int,
    ) -> None:
        if trainer.global_step == self.steps:
            return  # gradients of several batches make one step
        self.steps = trainer.global_step
        kept = min(self.decay, (1 + self.steps) / (10 + self.steps))
        averages, weights = self._pairs(pl_module)
        torch._foreach_lerp_(averages, weights, 1 - kept)

    @override
    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.state.fn == TrainerFn.FITTING and self.average and not trainer.sanity_checking:
            self._swap(pl_module)
            self.shown = True

    @override
    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self.shown:
            self._swap(pl_module)
            self.shown = False

    @override
    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        if self.average:
            held = checkpoint["state_dict"]
            others = {name: held[name] for name in self.average}
            average, weights = (others, self.average) if self.shown else (self.average, others)
            checkpoint[ENTRY] = {"weights": weights, "steps": self.steps}
            checkpoint["state_dict"] = {**held, **average}

    @override
    def on_load_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        if trainer.state.fn == TrainerFn.FITTING and ENTRY in checkpoint:
            own = checkpoint[ENTRY]
            self.steps = own["steps"]
            self.average = {name: checkpoint["state_dict"][name].clone() for name in own["weights"]}
            pl_module.load_state_dict(own["weights"], strict=False)

    @contextmanager
    def use_average(self, pl_module: pl.LightningModule) -> Iterator[None]:
        """Let a module have the averaged weights for a while.

        Args:
            pl_module: Whose weights are averaged.
        """
        self._swap(pl_module)
        try:
            yield
        finally:
            self._swap(pl_module)

    def _pairs(self, pl_module: pl.LightningModule) -> tuple[list[Tensor], list[Tensor]]:
        weights = {name: weight.detach() for name, weight in pl_module.named_parameters()}
        return [self.average[name] for name in weights], list(weights.values())

    def _swap(self, pl_module: pl.LightningModule) -> None:
        averages, weights = self._pairs(pl_module)
        held = [weight.clone() for weight in weights]
        torch._foreach_copy_(weights, averages)
        torch._foreach_copy_(averages, held)
