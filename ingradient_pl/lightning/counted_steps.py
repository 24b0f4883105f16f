"""How many optimiser steps a run has in all, where a resumed one takes other strides than it took before."""

import math
from collections.abc import Mapping
from typing import Any

import pytorch_lightning as pl


def steps_per_epoch(trainer: pl.Trainer) -> int | None:
    """Give the optimiser's steps of an epoch; None where its end is not known.

    Args:
        trainer: About to fit.
    """
    batches = trainer.num_training_batches
    return None if batches == float("inf") else math.ceil(batches / trainer.accumulate_grad_batches)


def count_steps(trainer: pl.Trainer, before: Mapping[str, Any], now: dict[str, Any]) -> int | None:
    """Give the steps of the whole run where its epochs had another number of steps before it was resumed.

    The trainer reckons as if each epoch had been as it is now. Then a run that accumulates gradients from now
    on would have more steps behind it than it has in all, and train on at a learning rate of zero.

    Args:
        trainer: Resumed, about to train.
        before: What :class:`~ingradient_pl.lightning.callbacks.changed_settings.ChangedSettings` kept.
        now: The same of now; ``counted`` and ``length`` are brought up to date.

    Returns:
        Steps done and steps to come; None where the trainer is right.
    """
    old, per_epoch = before.get("counted"), now["counted"]["per_epoch"]
    if not old or not old["per_epoch"] or per_epoch is None:
        return None
    counted = dict(old)
    if old["per_epoch"] != per_epoch:
        done = trainer.global_step
        epochs = old["epochs"] + (done - old["steps"]) / old["per_epoch"]
        counted = {"steps": done, "epochs": epochs, "per_epoch": per_epoch}
    now["counted"] = counted
    if now["length"] != trainer.estimated_stepping_batches or not counted["steps"]:
        return None  # the schedule has no length or counts epochs, or all epochs were alike
    to_come = max(1, round(((trainer.max_epochs or 0) - counted["epochs"]) * per_epoch))
    steps: int = counted["steps"] + to_come
    if trainer.max_steps > 0:
        steps = min(steps, int(trainer.max_steps))
    now["length"] = steps
    return steps
