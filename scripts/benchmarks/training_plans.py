"""The four plans that the GPU's benchmarks run: store, plan and the objects of a training run for each."""

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import torch
from composed import composed
from hydra.utils import instantiate

from ingradient_pl.datasets.phantom_files import write_phantoms
from ingradient_pl.datasets.sources import read_source
from ingradient_pl.planning.plan import Plan
from ingradient_pl.planning.plan_yaml import write_plan
from ingradient_pl.store.build import build_store
from ingradient_pl.transforms.normalise import ZScore

WIDE = (32, 64, 128, 256, 320, 320)


class Setting(NamedTuple):
    """Phantoms and a plan for them; shapes (z, y, x) in voxels, spacings in mm."""

    cases: int
    shape: tuple[int, int, int]
    native: tuple[float, float, float]
    spacing: tuple[float, float, float]
    patch: tuple[int, int, int]
    batch: int
    widths: tuple[int, ...]
    residual: bool = False

    @property
    def plan(self) -> Plan:
        """The plan, with a stage for each width; a patch of one slice is planned in 2D."""
        flat = self.patch[0] == 1
        stages = len(self.widths)
        stride, kernel = ((1, 2, 2), (1, 3, 3)) if flat else ((2, 2, 2), (3, 3, 3))
        strides = ((1, 1, 1), *(stride,) * (stages - 1))
        blocks = (1, 3, 4, 6, 6, 6)[:stages] if self.residual else (2,) * stages
        decoder = (1,) * (stages - 1) if self.residual else (2,) * (stages - 1)
        return Plan(
            1, 3, self.spacing, self.patch, self.batch, self.widths, strides, (kernel,) * stages,
            blocks, decoder, (ZScore(),), residual=self.residual,
        )  # fmt: skip


SMALL, LARGE = (36, 50, 36), (150, 170, 170)
ISO, FINE = (1.0, 1.0, 1.0), (0.8, 0.8, 0.8)
SETTINGS = {
    "hippocampus 7 x 40x56x40": Setting(20, SMALL, ISO, ISO, (40, 56, 40), 7, (32, 64, 128, 256)),
    "2 x 128 cubed, resampled": Setting(2, LARGE, FINE, ISO, (128, 128, 128), 2, WIDE),
    "2D 366 x 56x40": Setting(20, SMALL, ISO, ISO, (1, 56, 40), 366, (32, 64, 128, 256)),
    "resenc 2 x 128 cubed": Setting(2, LARGE, ISO, ISO, (128, 128, 128), 2, WIDE, residual=True),
}


def make_config(work: Path, setting: Setting, overrides: Sequence[str] = ()) -> Any:
    """Write phantoms, store and plan below ``work``, and compose a run of them."""
    work.mkdir(parents=True)
    raw = write_phantoms(work / "raw", setting.cases, setting.shape, setting.native)
    build_store(read_source(raw), work / "store", progress=False)
    write_plan(work / "plan.yaml", setting.plan)
    common = [
        f"store={work / 'store'}",
        f"plan={work / 'plan.yaml'}",
        "recipe=fast",
        "data.split.number=null",
    ]
    return composed([*common, *overrides], work)


def build_data(config: Any) -> Any:
    """Make the data module as a trainer would find it, ready for batches of one rank."""
    data = instantiate(config.data)
    data.trainer = SimpleNamespace(
        training=True, global_rank=0, world_size=1, sanity_checking=False, validating=False, current_epoch=0
    )
    return data


def to_device(data: Any, batch: Any, device: torch.device) -> Any:
    """Bring a batch to the device and make network input of it, through Lightning's three hooks."""
    batch = data.on_before_batch_transfer(batch, 0)
    return data.on_after_batch_transfer(data.transfer_batch_to_device(batch, device, 0), 0)


def random_input(plan: Plan, device: torch.device, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Give a random batch: image (batch, channel, z, y, x), label (batch, z, y, x) in uint8."""
    rng = np.random.default_rng(seed)
    shape = (plan.batch_size, plan.channels, *plan.patch)
    image = torch.from_numpy(rng.standard_normal(shape, np.float32))
    label = torch.from_numpy(rng.integers(0, plan.outputs, (plan.batch_size, *plan.patch), np.uint8))
    return image.to(device), label.to(device)
