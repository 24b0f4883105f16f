"""What goes into a training step, what a network gives, in the form that a loss takes, and what is logged."""

from collections.abc import Sequence

import pytorch_lightning as pl
import torch

from ingradient_pl.transforms.patch import Batch


def as_pyramid(given: torch.Tensor | Sequence[torch.Tensor]) -> list[torch.Tensor]:
    """Give logits, bare or a list of them, as a list of levels, finest first; refuse anything else.

    Args:
        given: What the network gave, each of shape (batch, output, z, y, x).

    Raises:
        ValueError: If it is neither.
    """
    if isinstance(given, torch.Tensor):
        return [given]
    if not isinstance(given, (list, tuple)) or not all(isinstance(level, torch.Tensor) for level in given):
        raise ValueError(
            f"The network gives a {type(given).__name__}, where logits or a list of them, finest level "
            "first, are wanted. ingradient_pl.networks.external_network brings dictionaries and stacks into "
            "a list."
        )
    return list(given)


def step_inputs(batch: Batch) -> tuple[torch.Tensor, ...]:
    """Give what a step takes: image and label, and which outputs are known where that is not all.

    Args:
        batch: Image (batch, channel, z, y, x) and label (batch, z, y, x).
    """
    known = () if batch.known is None else (batch.known,)
    return batch.image, batch.label, *known


def is_logged(trainer: pl.Trainer, batch_idx: int) -> bool:
    """Whether anybody is to see a training step's loss: a logger, the progress bar, or the epoch's end.

    To log a number takes half a millisecond of the host, a tenth of what it has to do in a step that is
    replayed. So the loss is logged where ``log_every_n_steps`` or the bar's refreshing wants it, in the first
    batch of an epoch and in its last; callbacks get that of every step as ``outputs["loss"]``.

    Args:
        trainer: Of the run.
        batch_idx: Of the batch in its epoch, from 0.
    """
    every = int(trainer.log_every_n_steps)  # type: ignore[attr-defined]
    bar = trainer.progress_bar_callback
    refresh = getattr(bar, "refresh_rate", 0) if bar is not None and getattr(bar, "is_enabled", True) else 0
    due = (every and not (trainer.global_step + 1) % every) or (refresh and not (batch_idx + 1) % refresh)
    ends = batch_idx == 0 or trainer.is_last_batch or batch_idx + 1 == trainer.num_training_batches
    return bool(due or ends or trainer.should_stop or getattr(trainer, "fast_dev_run", False))
