"""Schedules: the learning rate over a run."""

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR


class WarmupPoly(LambdaLR):
    """Raise the learning rate in even steps from nothing, then lower it as a power of what is left to zero.

    Args:
        optimizer: Each of its groups is moved in proportion.
        total_iters: Length of the run, warm-up included.
        warmup: Share of the run that raises, in [0, 1).
        power: 0 keeps the rate, 1 lowers it in even steps.
        last_epoch: Steps done before; -1 where the run begins.

    Raises:
        ValueError: If the run has no length, or the warm-up is no share of it.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        total_iters: int,
        warmup: float = 0.05,
        power: float = 0.9,
        last_epoch: int = -1,
    ) -> None:
        if total_iters < 1 or not 0 <= warmup < 1 or power < 0:
            raise ValueError(
                "A schedule needs total_iters >= 1, warmup in [0, 1) and power >= 0; got "
                f"{total_iters=}, {warmup=}, {power=}. Is warmup a percentage? Divide by 100."
            )
        rising = round(total_iters * warmup)

        def share(step: int) -> float:
            if step < rising:
                return (step + 1) / (rising + 1)
            return float(max(0.0, 1 - (step - rising) / (total_iters - rising)) ** power)

        super().__init__(optimizer, share, last_epoch)
