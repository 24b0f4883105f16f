"""Schedules: the learning rate over a run."""

from typing import Any

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR
from typing_extensions import override


class WarmupPoly(LambdaLR):
    """Raise the learning rate in even steps from nothing, then lower it as a power of what is left to zero.

    Args:
        optimizer: Each of its groups is moved in proportion.
        total_iters: Length of the run, warm-up included.
        warmup: Share of the run that raises, in [0, 1).
        power: 0 keeps the rate, 1 lowers it in even steps.
        last_epoch: Steps done before; -1 where the run begins.

    Raises:
        ValueError: If the run has no length, or the warm-up is not a share of it.
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


class OpenEnded(LambdaLR):
    """Raise the learning rate in even steps, keep it, and lower it evenly once :meth:`finish` is called.

    A run with it needs no length: it can be cut at any moment, or go on from where the decay began.

    Args:
        optimizer: Each of its groups is moved in proportion.
        warmup: Steps that raise.
        last_epoch: Steps done before; -1 where the run begins.

    Raises:
        ValueError: If ``warmup`` is negative.

    Source: the warmup-stable-decay schedule, Hu et al. 2024, https://arxiv.org/abs/2404.06395.
    """

    def __init__(self, optimizer: Optimizer, warmup: int = 50, last_epoch: int = -1) -> None:
        if warmup < 0:
            raise ValueError(f"warmup is a number of steps, at least 0; got {warmup}.")
        self.warmup = warmup
        self.decay_from: int | None = None
        self.ends_at: int | None = None
        super().__init__(optimizer, self._share, last_epoch)

    def finish(self, steps: int) -> None:
        """Lower the rate from now on, to reach zero after so many steps.

        Args:
            steps: At least 1.

        Raises:
            ValueError: If there are none.
        """
        if steps < 1:
            raise ValueError(f"The rate falls over at least one step; got {steps}.")
        self.decay_from, self.ends_at = self.last_epoch, self.last_epoch + steps

    @override
    def state_dict(self) -> dict[str, Any]:
        return {key: value for key, value in super().state_dict().items() if key != "lr_lambdas"}

    @override
    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        vars(self).update(state_dict)

    def _share(self, step: int) -> float:
        rising = min(1.0, (step + 1) / (self.warmup + 1))
        if self.decay_from is None or self.ends_at is None or step < self.decay_from:
            return rising
        return rising * max(0.0, (self.ends_at - step) / (self.ends_at - self.decay_from))
