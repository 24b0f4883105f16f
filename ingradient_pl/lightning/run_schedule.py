"""The learning-rate schedule of a run: made from the optimiser and, where it has one, the run's length."""

from collections.abc import Callable
from typing import Any

import pytorch_lightning as pl
from torch.optim import Optimizer


def run_length(trainer: pl.Trainer, interval: str, steps: int | None) -> int:
    """Give the length of the whole run in what the schedule counts.

    Args:
        trainer: About to fit.
        interval: ``step`` or ``epoch``.
        steps: Of the whole run, where it is known better than the trainer reckons; else None.

    Raises:
        ValueError: If the run has no end.
    """
    found, epochs = trainer.estimated_stepping_batches if steps is None else steps, trainer.max_epochs
    length = found if interval == "step" else epochs
    if length is None or not 0 < length < float("inf"):
        raise ValueError(
            f"The schedule decays over the run, but the run has no end (max_epochs={epochs}). "
            "Set epochs=N, or take a schedule without a length: scheduler@module.scheduler=constant "
            "module.length_argument=null"
        )
    return int(length)


def make_schedule(
    make: Callable[..., Any], optimizer: Optimizer, argument: str | None, length: int | None
) -> Any:
    """Make a schedule at its first step.

    Args:
        make: Makes it from the optimiser.
        optimizer: Whose rates it sets.
        argument: Name of its argument for the length of the run; None where it has none.
        length: Of the run, in what the schedule counts.

    Raises:
        ValueError: If it takes no such argument, or lacks one.
    """
    told = {} if argument is None else {argument: length}
    try:
        return make(optimizer, **told)
    except TypeError as error:
        raise ValueError(
            f"The schedule cannot be made with {told}: {error}. module.length_argument names its argument "
            "for the length of the run (total_iters, T_max, ...); null where it has none."
        ) from error
