"""What Lightning says beside the point of a run: kept from people who cannot act on it."""

import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import LearningRateMonitor, ProgressBar
from pytorch_lightning.profilers import PassThroughProfiler
from typing_extensions import override

CHATTY = ("pytorch_lightning", "lightning_fabric", "lightning.pytorch", "lightning.fabric")
ADVICE = (
    ".*Checkpoint directory .* exists and is not empty.*",  # a resumed run's own
    ".*The dirpath has changed from.*",  # a run that was moved
    ".*does not have many workers.*",
    ".*is smaller than the logging interval.*",
    ".*recommended to use `self.log.*sync_dist=True.*",
    ".*grad.sizes\\(\\) = .*strides\\(\\).*",
    ".*LeafSpec.*",
    ".*torch.distributed.nn.functional.all_gather is deprecated.*",
    ".*Trying to infer the `batch_size`.*",
    ".*litlogger.*",
    ".*`srun` command is available on your system but is not used.*",  # a login node, or one job of several
    ".*callbacks used to create the checkpoint need to be provided.*",  # a resumed run may change its own
)

STEP_HOOKS = (
    *("on_train_batch_start", "on_before_zero_grad", "on_before_backward", "on_after_backward"),
    *("on_before_optimizer_step", "on_train_batch_end"),
)
"""What Lightning calls of every callback in every step."""


def leave_out_idle_hooks(callbacks: Sequence[pl.Callback]) -> None:
    """Let Lightning pass by the hooks of a step that a callback inherits and that do nothing.

    It enters a context of its profiler for each: a quarter of what Python calls for a replayed step.

    Args:
        callbacks: Of a trainer; changed in place. Lightning skips a hook that cannot be called.
    """
    for callback in callbacks:
        for hook in STEP_HOOKS:
            if hook not in vars(callback) and getattr(type(callback), hook) is getattr(pl.Callback, hook):
                setattr(callback, hook, None)


class NoProfiler(PassThroughProfiler):
    """A profiler that measures nothing, and makes no context anew for each hook of a step."""

    nothing = nullcontext()

    @override
    def profile(self, action_name: str) -> Any:
        return self.nothing


def spare_steps(trainer: pl.Trainer) -> None:
    """Spare the host what does nothing in a step: idle hooks, and contexts of no profiler.

    Args:
        trainer: About to train; a profiler that was asked for is left to it.
    """
    leave_out_idle_hooks(trainer.callbacks)  # type: ignore[attr-defined]
    if type(trainer.profiler) is PassThroughProfiler:  # type: ignore[attr-defined]
        trainer.profiler = NoProfiler()  # type: ignore[attr-defined]


@contextmanager
def without_advice() -> Iterator[None]:
    """Hear warnings and errors of Lightning alone, and of those none that the config has decided."""
    loggers = [logging.getLogger(name) for name in CHATTY]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.WARNING)
    try:
        with warnings.catch_warnings():
            for message in ADVICE:
                warnings.filterwarnings("ignore", message=message)
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def without_useless(callbacks: Sequence[pl.Callback], *, bars: bool, logged: bool) -> list[pl.Callback]:
    """Leave out callbacks that a trainer refuses beside its other settings.

    Args:
        callbacks: As configured.
        bars: Whether the trainer may have a progress bar.
        logged: Whether it has a logger, which alone makes watching the learning rate of use.
    """
    useless = (*(() if bars else (ProgressBar,)), *(() if logged else (LearningRateMonitor,)))
    return [callback for callback in callbacks if not isinstance(callback, useless)]
