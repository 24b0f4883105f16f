"""The parts of the GPU benchmark, each in a process that keeps its values as JSON: gpu_parts.py PART FILE."""

import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from hydra.utils import instantiate
from torch.profiler import ProfilerActivity, profile
from training_plans import SETTINGS, WIDE, Setting, build_data, make_config, random_input, to_device

from ingradient_pl.cli.train_config import instantiate_group

CUDA = torch.cuda.is_available()
DEVICE = torch.device("cuda" if CUDA else "cpu")
TINY = Setting(4, (20, 24, 20), (1.0,) * 3, (1.0,) * 3, (16, 16, 16), 2, (8, 16))
STEPS, SETTLING = (260, 60) if CUDA else (12, 4)
PROFILED = 40 if CUDA else 2
CT, WINDOW = ((300, 512, 512), (128, 128, 128)) if CUDA else ((40, 48, 48), (32, 32, 32))
HERE = Path(__file__).parent


class Clock(pl.Callback):
    """Milliseconds from the end of a step to the end of the next, and the device's work meanwhile."""

    def __init__(self) -> None:
        self.profile = profile(activities=[ProfilerActivity.CUDA if CUDA else ProfilerActivity.CPU])
        self.start = self.step = self.busy = self.profiled = self.launches = 0.0

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        if trainer.global_step == SETTLING:
            settle()
            self.start = time.perf_counter()
        if trainer.global_step == STEPS - PROFILED:
            settle()
            self.step = (time.perf_counter() - self.start) / (STEPS - PROFILED - SETTLING) * 1e3
            self.profile.start()
            self.start = time.perf_counter()
        if trainer.global_step == STEPS:
            settle()
            self.profiled = (time.perf_counter() - self.start) / PROFILED * 1e3
            self.profile.stop()
            events = self.profile.key_averages()
            self.busy = sum(event.self_device_time_total for event in events) / PROFILED / 1e3
            self.launches = sum(event.count for event in events) / PROFILED
            print(
                events.table(sort_by="self_cuda_time_total" if CUDA else None, row_limit=14)[-4600:],
                flush=True,
            )


def settle() -> None:
    if CUDA:
        torch.cuda.synchronize()


def milliseconds(call: Callable[[], object], times: int = 30, warm: int = 8) -> float:
    """Median over ``times`` calls, the device waited for after each."""
    taken = []
    for number in range(warm + times):
        settle()
        start = time.perf_counter()
        call()
        settle()
        if number >= warm:
            taken.append((time.perf_counter() - start) * 1e3)
    return statistics.median(taken)


def train(name: str, setting: Setting, keep: Callable[..., None]) -> None:
    """Measure a step through Lightning as shipped, a batch alone, and the bare step of the same network."""
    with tempfile.TemporaryDirectory() as folder:
        overrides = [
            "epochs=1",
            f"batches_per_epoch={STEPS}",
            "trainer.limit_val_batches=0",
            "data.workers=2",
        ]
        config = make_config(Path(folder) / "run", setting, overrides)
        clock = Clock()
        callbacks = [*instantiate_group(config.callbacks), clock]
        trainer = instantiate(config.trainer, callbacks=callbacks, logger=instantiate_group(config.logger))
        if CUDA:
            torch.cuda.reset_peak_memory_stats()
        module, data = instantiate(config.module), instantiate(config.data)
        began = time.perf_counter()
        trainer.fit(module, data)
        keep(f"{name}_step", clock.step)
        keep(f"{name}_step_profiled", clock.profiled)
        keep(f"{name}_busy", clock.busy)
        keep(f"{name}_idle", max(0.0, 1 - clock.busy / clock.step))
        keep(f"{name}_launches", clock.launches)
        keep(f"{name}_fit_seconds", time.perf_counter() - began)
        if CUDA:
            keep(f"{name}_peak_gb", torch.cuda.max_memory_allocated() / 1e9)
        _batch(name, config, keep)
        _bare(name, config, setting, keep)


def _batch(name: str, config: Any, keep: Callable[..., None]) -> None:
    """From what a reader hands over to the network's input; the copy from the host is in it."""
    config.data.workers = 0
    data = build_data(config)
    taken = []
    for number, batch in zip(range(STEPS // 4), data.train_dataloader(), strict=False):
        settle()
        start = time.perf_counter()
        to_device(data, batch, DEVICE)
        settle()
        if number >= STEPS // 16:
            taken.append((time.perf_counter() - start) * 1e3)
    keep(f"{name}_batch", statistics.mean(taken))
    keep(f"{name}_batch_median", statistics.median(taken))


def _bare(name: str, config: Any, setting: Setting, keep: Callable[..., None]) -> None:
    module = instantiate(config.module).to(DEVICE)
    network, loss = module.network, module.loss
    image, label = random_input(setting.plan, DEVICE)
    optimiser = instantiate(config.module.optimizer)(network.parameters())

    def forward() -> Any:
        with torch.autocast(DEVICE.type, torch.bfloat16) if CUDA else nullcontext():
            return network(image)

    def passes() -> None:
        optimiser.zero_grad(set_to_none=True)
        loss(forward(), label).backward()

    def step() -> None:
        passes()
        optimiser.step()

    keep(f"{name}_bare_forward", milliseconds(forward))
    keep(f"{name}_bare_passes", milliseconds(passes))
    keep(f"{name}_bare_optimiser", milliseconds(optimiser.step))
    keep(f"{name}_bare_step", milliseconds(step))


def hippocampus(keep: Callable[..., None]) -> None:
    train("hippocampus", SETTINGS["hippocampus 7 x 40x56x40"] if CUDA else TINY, keep)


def large(keep: Callable[..., None]) -> None:
    train("large", SETTINGS["2 x 128 cubed, resampled"] if CUDA else TINY, keep)


def predict(keep: Callable[..., None]) -> None:
    """Measure a CT of 512 x 512 x 300 from array to label, beside its windows through the bare network."""
    from ingradient_pl.inference.checkpoint import Model
    from ingradient_pl.inference.predictor import Predictor
    from ingradient_pl.inference.windows import windows
    from ingradient_pl.planning.constructors import unet
    from ingradient_pl.task import Task

    spacing = (1.0, 0.8, 0.8)
    widths = WIDE if CUDA else (8, 16)
    plan = Setting(1, CT, spacing, spacing, WINDOW, 2, widths).plan
    network = unet(plan).to(DEVICE).eval()
    task = Task(("CT",), {"background": 0, "organ": 1, "lesion": 2})
    predictor = Predictor(Model([network], plan, task, (), ()), device=DEVICE.type)
    image = np.random.default_rng(0).integers(-1000, 1000, (1, *CT)).astype(np.int16)
    batch = predictor.views  # as many windows at once as the predictor takes
    boxes = windows(CT, WINDOW)
    inputs = torch.randn(batch, 1, *WINDOW, device=DEVICE)

    @torch.inference_mode()
    def bare() -> None:
        with torch.autocast(DEVICE.type, torch.bfloat16) if CUDA else nullcontext():
            for _ in range(-(-len(boxes) // batch)):
                network(inputs, 1)

    whole = milliseconds(lambda: predictor.predict(image, spacing), times=2, warm=1) / 1e3
    alone = milliseconds(bare, times=2, warm=1) / 1e3
    keep("predict_seconds", whole)
    keep("predict_bare_windows_seconds", alone)
    keep("predict_windows", len(boxes))
    keep("predict_ratio", whole / alone)


def theirs(keep: Callable[..., None]) -> None:
    """Measure a step of nnU-Net's network, compiled as its trainer does, with SGD and a plain loss."""
    from dynamic_network_architectures.architectures.unet import PlainConvUNet

    for name, setting in (
        ("hippocampus", SETTINGS["hippocampus 7 x 40x56x40"]),
        ("large", SETTINGS["2 x 128 cubed, resampled"]),
    ):
        plan = (setting if CUDA else TINY).plan
        network = PlainConvUNet(
            1, len(plan.widths), list(plan.widths), torch.nn.Conv3d, list(plan.kernels), list(plan.strides),
            list(plan.blocks), 3, list(plan.decoder_blocks), conv_bias=True, norm_op=torch.nn.InstanceNorm3d,
            norm_op_kwargs={"eps": 1e-5, "affine": True}, nonlin=torch.nn.LeakyReLU,
            nonlin_kwargs={"inplace": True}, deep_supervision=True,
        ).to(DEVICE)  # fmt: skip
        step = _their_step(network, plan)
        keep(f"theirs_{name}_bare_step", milliseconds(step))


def _their_step(network: torch.nn.Module, plan: Any) -> Callable[[], None]:
    optimiser = torch.optim.SGD(network.parameters(), 0.01, 0.99, nesterov=True)
    image, label = random_input(plan, DEVICE)
    forward = torch.compile(network) if CUDA else network

    def step() -> None:
        optimiser.zero_grad(set_to_none=True)
        with torch.autocast(DEVICE.type, torch.float16) if CUDA else nullcontext():
            finest, *others = forward(image)
            loss = torch.nn.functional.cross_entropy(finest, label.long())
            loss = loss + sum(level.mean() for level in others)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 12)
        optimiser.step()

    return step


def main() -> None:
    part, file = sys.argv[1], Path(sys.argv[2])
    values: dict[str, float] = {}

    def keep(name: str, value: float) -> None:
        values[name] = value
        file.write_text(json.dumps(values))
        print(f"{name} {value:.4g}", flush=True)

    {"hippocampus": hippocampus, "large": large, "predict": predict, "theirs": theirs}[part](keep)


if __name__ == "__main__":
    os.environ.setdefault("PYTHONUNBUFFERED", "1")
    main()
