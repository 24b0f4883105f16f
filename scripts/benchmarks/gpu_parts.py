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
        overrides = ["epochs=1", f"batches_per_epoch={STEPS}", "trainer.limit_val_batches=0"]
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


def selftest(keep: Callable[..., None]) -> None:
    """Hold convolutions, fused kernels and preparation against the host at the size of Hippocampus."""
    from ingradient_pl.lightning.device_check import check_device

    setting = SETTINGS["hippocampus 7 x 40x56x40"] if CUDA else TINY
    with tempfile.TemporaryDirectory() as folder:
        config = make_config(Path(folder) / "run", setting, ["data.workers=0"])
        build_data(config).check_preparation(DEVICE)
        image, _ = random_input(setting.plan, DEVICE)
        network = instantiate(config.module).to(DEVICE).network
        began = time.perf_counter()
        faults = check_device(network, image, torch.bfloat16 if CUDA else None)
        keep("selftest_seconds", time.perf_counter() - began)
    for fault in faults:
        print(f"OFF: {fault}", flush=True)
    keep("selftest_faults", len(faults))


def predict(keep: Callable[..., None]) -> None:
    """Measure a CT from array to label, as it is and resampled, beside its windows in the bare network."""
    for name, native in (("predict", 1.0), ("predict_resampled", 1.25)):
        _predict(name, native, keep)


def _predict(name: str, native: float, keep: Callable[..., None]) -> None:
    """Measure a CT of 512 x 512 x 300 on the network's grid, its own voxels ``native`` times as large."""
    from ingradient_pl.inference.checkpoint import Model
    from ingradient_pl.inference.predictor import Predictor
    from ingradient_pl.inference.preprocess import preprocess
    from ingradient_pl.inference.windows import windows
    from ingradient_pl.planning.constructors import unet
    from ingradient_pl.task import Task

    spacing = (1.0, 0.8, 0.8)
    widths = WIDE if CUDA else (8, 16)
    plan = Setting(1, CT, spacing, spacing, WINDOW, 2, widths).plan
    network = unet(plan).to(DEVICE).eval()
    task = Task(("CT",), {"background": 0, "organ": 1, "lesion": 2})
    predictor = Predictor(Model([network], plan, task, (), ()), device=DEVICE.type)
    shape, own = [round(count / native) for count in CT], tuple(mm * native for mm in spacing)
    image = np.random.default_rng(0).integers(-1000, 1000, (1, *shape)).astype(np.int16)
    batch = predictor.views  # as many windows at once as the predictor takes
    boxes = windows(CT, WINDOW)
    inputs = torch.randn(batch, 1, *WINDOW, device=DEVICE)

    @torch.inference_mode()
    def bare() -> None:
        with torch.autocast(DEVICE.type, torch.bfloat16) if CUDA else nullcontext():
            for _ in range(-(-len(boxes) // batch)):
                network(inputs, 1)

    prepared = milliseconds(lambda: preprocess(image, own, plan, device=DEVICE), times=2, warm=1) / 1e3
    whole = milliseconds(lambda: predictor.predict(image, own), times=2, warm=1) / 1e3
    alone = milliseconds(bare, times=2, warm=1) / 1e3
    keep(f"{name}_preprocess_seconds", prepared)
    keep(f"{name}_seconds", whole)
    keep(f"{name}_bare_windows_seconds", alone)
    keep(f"{name}_windows", len(boxes))
    keep(f"{name}_ratio", whole / alone)


def theirs(keep: Callable[..., None]) -> None:
    """Measure a step of nnU-Net's network and loss, compiled as its trainer does, with its SGD."""
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
    forward, loss = torch.compile(network) if CUDA else network, _their_loss(len(plan.widths) - 1)
    with torch.no_grad():
        levels = [level.shape[2:] for level in network(image)]
    whole = label[:, None].float()
    targets = [torch.nn.functional.interpolate(whole, tuple(shape)) for shape in levels]
    scaler = torch.amp.GradScaler(DEVICE.type, enabled=CUDA)

    def step() -> None:
        optimiser.zero_grad(set_to_none=True)
        with torch.autocast(DEVICE.type, torch.float16) if CUDA else nullcontext():
            value = loss(list(forward(image)), targets)
        scaler.scale(value).backward()
        scaler.unscale_(optimiser)
        torch.nn.utils.clip_grad_norm_(network.parameters(), 12)
        scaler.step(optimiser)
        scaler.update()

    return step


def _their_loss(levels: int) -> Callable[..., torch.Tensor]:
    """Make nnU-Net's loss where its package can be imported; else a plain one, and say so."""
    weights = [1 / 2**level for level in range(levels - 1)] + [0.0] * (levels > 1)
    weights = [weight / sum(weights) for weight in weights] if levels > 1 else [1.0]
    try:
        from nnunetv2.training.loss.compound_losses import DC_and_CE_loss
        from nnunetv2.training.loss.deep_supervision import DeepSupervisionWrapper
        from nnunetv2.training.loss.dice import MemoryEfficientSoftDiceLoss
    except Exception as error:  # noqa: BLE001 - a package half there raises what it likes
        print(f"nnunetv2 cannot be imported ({error}): its network is measured with a plain loss", flush=True)
        entropy = torch.nn.functional.cross_entropy
        return lambda given, wanted: sum(
            weight * entropy(level, target[:, 0].long())
            for weight, level, target in zip(weights, given, wanted, strict=True)
        )
    dice = {"batch_dice": False, "smooth": 1e-5, "do_bg": False, "ddp": False}
    wrapped: Callable[..., torch.Tensor] = DeepSupervisionWrapper(
        DC_and_CE_loss(dice, {}, dice_class=MemoryEfficientSoftDiceLoss), weights
    )
    return wrapped


def main() -> None:
    part, file = sys.argv[1], Path(sys.argv[2])
    values: dict[str, float] = {}

    def keep(name: str, value: float) -> None:
        values[name] = value
        file.write_text(json.dumps(values))
        print(f"{name} {value:.4g}", flush=True)

    from gpu_tables import tables  # it takes what stands here

    parts = [selftest, hippocampus, large, tables, predict, theirs]
    {one.__name__: one for one in parts}[part](keep)


if __name__ == "__main__":
    os.environ.setdefault("PYTHONUNBUFFERED", "1")
    main()
