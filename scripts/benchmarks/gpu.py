"""On a GPU: milliseconds of all that is done to a batch after it is read, and how idle it is in training.

Both of two 128 cubed patches, augmentation on, read by two processes from a 512 x 512 x 300 store. Without a
CUDA device nothing is measured.
"""

import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from composed import composed
from figure import Figure
from hydra.utils import instantiate
from pytorch_lightning.utilities import move_data_to_device
from read import BATCH, PATCH, SPACING, large_store
from torch.profiler import ProfilerActivity, profile

from ingradient_pl.losses.deep_supervision import downsample_label
from ingradient_pl.planning.plan import Plan
from ingradient_pl.planning.plan_yaml import write_plan
from ingradient_pl.transforms.normalise import ZScore

WORKERS, WIDTHS = 2, (32, 64, 128, 256, 320, 320)
STEPS, SETTLING = 120, 40
AGAINST = "two 128 cubed patches, augmentation on"


def figures() -> list[Figure]:
    if not torch.cuda.is_available():
        print("There is no CUDA device: nothing was measured.")
        return []
    print(torch.cuda.get_device_name())
    return measured(ProfilerActivity.CUDA, PATCH, WIDTHS)


def measured(
    activity: ProfilerActivity, shape: tuple[int, int, int], widths: tuple[int, ...]
) -> list[Figure]:
    """Measure on the accelerator that Lightning chooses."""
    with tempfile.TemporaryDirectory() as folder:
        config = _config(Path(folder), shape, widths)
        data, busy = instantiate(config.data), Busy(activity)
        trainer = instantiate(config.trainer, callbacks=[busy], logger=False)
        trainer.fit(instantiate(config.module), data)
        step, at_work = (seconds / busy.steps * 1e3 for seconds in (busy.wall, busy.busy))
        print(f"a step {step:.1f} ms, the device at work in {at_work:.1f} of them")
        milliseconds = _batch(data, trainer.strategy.root_device)
    return [
        Figure("device_batch", milliseconds, "ms", AGAINST, 15),
        Figure("device_idle", 1 - busy.busy / busy.wall, "of a step", f"{AGAINST}, {WORKERS} workers", 0.05),
    ]


class Busy(pl.Callback):
    """What of the time between the ends of two steps the device was at work."""

    def __init__(self, activity: ProfilerActivity) -> None:
        self.profile = profile(activities=[activity])
        self.wall = self.busy = self.start = 0.0
        self.steps = STEPS - SETTLING

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        if trainer.global_step == SETTLING:
            _settle()
            self.profile.start()
            self.start = time.perf_counter()
        if trainer.global_step == STEPS:
            _settle()
            self.wall = time.perf_counter() - self.start
            self.profile.stop()
            self.busy = sum(event.self_device_time_total for event in self.profile.key_averages()) / 1e6


def _batch(data: Any, device: torch.device) -> float:
    """Milliseconds from patches in the host's memory to what the loss takes, the mean."""
    taken = []
    for patches, _ in zip(data.train_dataloader(), range(STEPS), strict=False):
        _settle()
        start = time.perf_counter()
        batch = data.augment(data.prepare(move_data_to_device(patches, device)))
        for level in range(len(data.plan.widths) - 1):
            downsample_label(batch.label, [voxels >> level for voxels in data.plan.patch]).contiguous()
        _settle()
        taken.append((time.perf_counter() - start) * 1e3)
    kept = taken[SETTLING:]
    print(f"a batch {statistics.mean(kept):.1f} ms in the mean, {statistics.median(kept):.1f} in the middle")
    return statistics.mean(kept)


def _settle() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def _config(work: Path, shape: tuple[int, ...], widths: tuple[int, ...]) -> Any:
    stages, ones = len(widths), (1, 1, 1)
    strides, kernels = (ones, *((2, 2, 2),) * (stages - 1)), ((3, 3, 3),) * stages
    blocks = (2,) * stages
    plan = Plan(1, 3, SPACING, shape, BATCH, widths, strides, kernels, blocks, blocks[1:], (ZScore(),))
    write_plan(work / "plan.yaml", plan)
    overrides = [f"store={large_store(work)}", f"plan={work / 'plan.yaml'}", "data.split.number=null"]
    overrides += ["epochs=1", f"batches_per_epoch={STEPS}", f"data.workers={WORKERS}"]
    overrides += ["trainer.limit_val_batches=0", "+trainer.enable_checkpointing=false"]
    return composed(overrides, work)
