"""A large made-up case predicted with a tiny network, or ready logits resampled: seconds, peak bytes."""

import json
import resource
import sys
import time

import numpy as np
import torch
from torch import nn

from ingradient_pl.geometry import Grid
from ingradient_pl.inference.checkpoint import Model
from ingradient_pl.inference.predictor import Predictor
from ingradient_pl.inference.to_native import LabelDecoder, NativeResampler
from ingradient_pl.planning.plan import Plan
from ingradient_pl.task import Task
from ingradient_pl.transforms.normalise import CT
from ingradient_pl.transforms.sampling_matrices import to_native_axes

NATIVE, WANTED, WINDOW, CACHE_ROWS = 0.8, 1.5, 128, 16


class Tiny(nn.Module):
    """As many logits as wanted for next to nothing."""

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.head = nn.Conv3d(1, outputs, 1)

    def forward(self, image):
        return [self.head(image)]


def peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def whole(slices: int, classes: int) -> dict:
    """From voxels as a file holds them to a label."""
    task = Task(("CT",), {"background": 0, **{f"organ_{i}": i for i in range(1, classes)}})
    plan = Plan(
        *(1, classes, (WANTED,) * 3, (WINDOW,) * 3, 2, (4, 8), ((1, 1, 1), (2, 2, 2)), ((3, 3, 3),) * 2),
        *((1, 1), (1,), (CT(-1000, 1000, 0, 500),)),
    )
    predictor = Predictor(Model([Tiny(classes)], plan, task, "made up", ()))
    rng = np.random.default_rng(0)
    image = np.empty((1, slices, 512, 512), np.int16)
    for rows in image[0]:
        rows[:] = rng.integers(-1000, 1000, rows.shape, np.int16)
    before, start = peak(), time.perf_counter()
    predictor.predict(image, (NATIVE,) * 3)
    return {"seconds": time.perf_counter() - start, "peak": peak(), "before": before}


def home(slices: int, classes: int) -> dict:
    """From rows of logits, as the engine gives them, to a label on the native grid."""
    native = Grid((slices, 512, 512), (NATIVE,) * 3)
    network = native.respaced((WANTED,) * 3)
    rows = torch.randn(classes, CACHE_ROWS, *network.shape[1:])
    label = np.ones(native.shape, np.uint8)  # written, so that it is in memory before
    choice = LabelDecoder(tuple(range(classes)), regions=False)
    way = NativeResampler(to_native_axes(network, native), choice, label)
    before, start = peak(), time.perf_counter()
    with torch.inference_mode():
        for first in range(0, network.shape[0], CACHE_ROWS):
            way.feed(rows[:, : network.shape[0] - first])
    return {"seconds": time.perf_counter() - start, "peak": peak(), "before": before}


if __name__ == "__main__":
    what, *numbers = sys.argv[1:]
    print(json.dumps({"path": whole, "home": home}[what](*map(int, numbers))))
