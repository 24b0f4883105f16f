"""Rows of the GPU's table that no run gives: batches, recorded steps, kernels beside torch's."""

import itertools
import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import torch
from gpu_parts import CUDA, DEVICE, TINY, milliseconds, settle
from hydra.utils import instantiate
from torch import Tensor
from training_plans import SETTINGS, Setting, build_data, make_config, random_input

from ingradient_pl.kernels import availability
from ingradient_pl.lightning.graph import RECORDERS
from ingradient_pl.losses.dice_ce import DiceCE
from ingradient_pl.networks.cast_weights import call_with_cast_weights
from ingradient_pl.networks.norm import InstanceNorm
from ingradient_pl.optimizers.recorder import Outputs
from ingradient_pl.optimizers.step_graph import StepGraph

PLANS = {
    "hippocampus": "hippocampus 7 x 40x56x40",
    "large": "2 x 128 cubed, resampled",
    "flat": "2D 366 x 56x40",
}
FLAT = Setting(4, (20, 24, 20), (1.0,) * 3, (1.0,) * 3, (1, 16, 16), 8, (8, 16))
BATCHES, ROUNDS = 4, 6
EDGE = 128 if CUDA else 8
Keep = Callable[..., None]


class StepAnew:
    """Stands for a CUDA graph in a rehearsal: what it recorded it does again."""

    def warm_up(self, step: Callable[[], Outputs], times: int) -> None:
        step()

    def record(self, step: Callable[[], Outputs]) -> tuple[Callable[[], None], Outputs]:
        outputs = step()
        return (lambda: outputs.loss.copy_(step().loss) and None), outputs


def tables(keep: Keep) -> None:
    """Measure all rows; one that fails leaves the others."""
    with tempfile.TemporaryDirectory() as folder:
        rows = [partial(_recorded, Path(folder)), *_kernel_rows()]
        rows += [partial(_batches, name, Path(folder)) for name in PLANS]
        for row in rows:
            try:
                row(keep)
            except Exception as error:  # noqa: BLE001 - whatever it is, the other rows are wanted
                print(f"a row was not measured ({type(error).__name__}): {error}", flush=True)


def _setting(name: str) -> Setting:
    if CUDA:
        return SETTINGS[PLANS[name]]
    return FLAT if name == "flat" else TINY


def _batches(name: str, folder: Path, keep: Keep) -> None:
    """Prepare and augment some batches over and over; what the host issues, and until the device is done."""
    data = build_data(make_config(folder / name, _setting(name), ["data.workers=0"]))
    there = []
    for batch in itertools.islice(data.train_dataloader(), BATCHES):
        batch = data.on_before_batch_transfer(batch, 0)
        there.append(data.transfer_batch_to_device(batch, DEVICE, 0))
    prepared, augmented, issued = list[float](), list[float](), list[float]()
    for batch in there * ROUNDS:
        settle()
        start = time.perf_counter()
        made = data.prepare(batch)
        settle()
        middle = time.perf_counter()
        data.augment(made)
        issued.append(time.perf_counter() - middle)
        settle()
        prepared.append(middle - start)
        augmented.append(time.perf_counter() - middle)
    for key, taken in {"prepare": prepared, "augment": augmented, "augment_issued": issued}.items():
        keep(f"{name}_{key}", statistics.median(taken[BATCHES:]) * 1e3)


def _recorded(folder: Path, keep: Keep) -> None:
    """Measure the recorded step of Hippocampus alone, by SGD and by Muon."""
    setting = _setting("hippocampus")
    config = make_config(folder / "recorded", setting)
    batch = random_input(setting.plan, DEVICE)
    cast = partial(torch.autocast, DEVICE.type, torch.bfloat16, cache_enabled=False)
    sgd = partial(torch.optim.SGD, lr=1e-3, momentum=0.99, nesterov=True)
    for name, make in {"sgd": sgd, "muon": instantiate(config.module.optimizer)}.items():
        module = instantiate(config.module).to(DEVICE)
        forward = partial(call_with_cast_weights, module.network, torch.bfloat16) if CUDA else None
        record = StepGraph(
            module.network,
            module.loss,
            make(module.network.parameters()),
            autocast=cast if CUDA else nullcontext,
            forward=forward,
            recorder=RECORDERS["cuda"]() if CUDA else StepAnew(),
        )
        record.prepare(*batch)
        keep(f"recorded_{name}", milliseconds(lambda record=record: record(*batch)))


def _kernel_rows() -> list[Callable[[Keep], None]]:
    """Norm with activation, and the loss: both ways through one level of two patches, by us and by torch."""
    shape = EDGE, EDGE, EDGE
    features = torch.randn(2, 32, *shape, device=DEVICE, dtype=torch.bfloat16 if CUDA else torch.float32)
    logits = torch.randn(2, 3, *shape, device=DEVICE)
    label = torch.randint(0, 3, (2, *shape), device=DEVICE, dtype=torch.uint8)
    layer, loss = InstanceNorm(32).to(DEVICE), DiceCE()
    last = features.contiguous(memory_format=torch.channels_last_3d)
    return [
        partial(_kernel, "norm", layer, last, features),
        partial(_kernel, "dice_ce", lambda given: loss(given, label), logits, logits),
    ]


def _kernel(name: str, call: Callable[[Tensor], Tensor], ours: Tensor, theirs: Tensor, keep: Keep) -> None:
    """Measure one kernel on ``ours``; then switched off, torch's operators on ``theirs``."""

    def both_ways(given: Tensor) -> Any:
        call(given.detach().requires_grad_()).sum().backward()

    keep(f"{name}_ours", milliseconds(lambda: both_ways(ours)))
    availability.switch_off(name, "a benchmark of torch's operators")
    try:
        keep(f"{name}_torch", milliseconds(lambda: both_ways(theirs)))
    finally:
        availability.switch_on(name)
