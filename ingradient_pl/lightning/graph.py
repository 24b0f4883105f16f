"""Which training steps under Lightning can be recorded as a CUDA graph, and how."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.strategies import SingleDeviceStrategy
from torch import nn
from torch.nn.utils import clip_grad_norm_, clip_grad_value_

from ingradient_pl.networks.cast_weights import call_with_cast_weights
from ingradient_pl.networks.unet import UNet
from ingradient_pl.optimizers.recorder import CudaRecorder, Recorder
from ingradient_pl.optimizers.step_graph import StepGraph, optimizer_problem

RECORDERS: dict[str, Callable[[], Recorder]] = {"cuda": CudaRecorder}
"""How steps are recorded, by the type of device."""
PRECISIONS = {"bf16-mixed": torch.bfloat16, "32-true": None}
HOOKS = ("on_before_backward", "on_after_backward", "on_before_optimizer_step", "on_before_zero_grad")


def graph_problem(trainer: pl.Trainer, network: nn.Module, *, any_network: bool) -> str | None:
    """Say why the steps of a run cannot be recorded; None if they can.

    Args:
        trainer: Of the run.
        network: What it trains.
        any_network: Whether to try with a network that is not ours too.
    """
    checks: dict[str, bool] = {
        f"{trainer.strategy.root_device.type} has no graphs": trainer.strategy.root_device.type
        not in RECORDERS,
        "several processes share a step": not isinstance(trainer.strategy, SingleDeviceStrategy),
        f"a step gathers {trainer.accumulate_grad_batches} batches": trainer.accumulate_grad_batches != 1,
        f"precision {trainer.precision} looks at the gradients of every step; bf16-mixed does not": (
            trainer.precision not in PRECISIONS
        ),
        f"{type(network).__name__} is not a network of this package (module.graph=true tries)": (
            not any_network and not isinstance(network, UNet)
        ),
    }
    for hook in HOOKS:
        callbacks: list[pl.Callback] = trainer.callbacks  # type: ignore[attr-defined]
        own = [one for one in callbacks if getattr(type(one), hook) is not getattr(pl.Callback, hook)]
        checks[f"{', '.join(type(one).__name__ for one in own)} looks at gradients ({hook})"] = bool(own)
    found = next((reason for reason, holds in checks.items() if holds), None)
    return found or optimizer_problem(trainer.optimizers[0])


def make_graph(trainer: pl.Trainer, network: nn.Module, loss: nn.Module) -> StepGraph:
    """Make what records the steps of a run, as its trainer would do them.

    Args:
        trainer: Whose precision, optimiser and clipping count.
        network: On the trainer's device.
        loss: On the trainer's device.
    """
    device = trainer.strategy.root_device
    dtype = PRECISIONS[trainer.precision]
    optimizer = trainer.optimizers[0]
    compiled = network._compiled_call_impl is not None  # it holds the weights it was compiled with
    return StepGraph(
        network,
        loss,
        optimizer,
        clip=_clipping(trainer, [param for group in optimizer.param_groups for param in group["params"]]),
        forward=None if dtype is None or compiled else partial(call_with_cast_weights, network, dtype),
        autocast=nullcontext if dtype is None else partial(_autocast, device.type, dtype),
        recorder=RECORDERS[device.type](),
    )


def _autocast(device: str, dtype: torch.dtype) -> AbstractContextManager[Any]:
    # A cast of a weight kept from another step would be recorded as a constant
    return torch.autocast(device, dtype, cache_enabled=False)


def _clipping(trainer: pl.Trainer, params: list[nn.Parameter]) -> Callable[[], object] | None:
    if not trainer.gradient_clip_val:
        return None
    by_value = str(trainer.gradient_clip_algorithm or "norm").endswith("value")
    return partial(
        clip_grad_value_ if by_value else clip_grad_norm_, params, float(trainer.gradient_clip_val)
    )
