"""What streams gives the answer of the whole volume, whatever is held at a time."""

import itertools

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from oracles import plan, predictor
from torch import nn
from windows_by_hand import gaussian_map

from ingradient_pl.geometry import Grid
from ingradient_pl.inference.gaussian_weights import padding
from ingradient_pl.inference.preprocess import preprocess
from ingradient_pl.inference.sliding_window import SlidingWindow, Tiling
from ingradient_pl.inference.windows import windows
from ingradient_pl.task import Task

CLASSES = 5
MANY = Task(("CT",), {"background": 0, **{f"organ_{i}": i for i in range(1, CLASSES)}})


class Noise(nn.Module):
    """A network whose answer depends on where a window lies, as real ones do."""

    def __init__(self, outputs=CLASSES, seed=0):
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.register_buffer("kernel", torch.randn(outputs, 1, 3, 3, 3, generator=generator))

    def forward(self, image):
        return F.conv3d(image, self.kernel.to(image.dtype), padding=1)


def whole_volume(image, patch, networks, flips):
    """Weighted mean over all windows as nnU-Net defines it, with everything in memory."""
    pads = padding(image.shape[1:], patch)
    padded = F.pad(image, [n for pair in reversed(pads) for n in pair]).double()
    total = torch.zeros(CLASSES, *padded.shape[1:], dtype=torch.double)
    weights = torch.zeros(padded.shape[1:], dtype=torch.double)
    for box in windows(padded.shape[1:], patch):
        window = padded[(slice(None), *box.slices)][None]
        answers = [
            network(window.flip([2 + a for a in flip])).flip([2 + a for a in flip])[0]
            for network in networks
            for flip in flips
        ]
        total[(slice(None), *box.slices)] += torch.stack(answers).mean(0) * gaussian_map(patch)
        weights[box.slices] += gaussian_map(patch)
    inner = [
        slice(before, size - after) for (before, after), size in zip(pads, padded.shape[1:], strict=True)
    ]
    return (total / weights)[(slice(None), *inner)]


@pytest.mark.parametrize("shape", [(40, 22, 19), (18, 20, 41), (9, 30, 12)], ids=str)
@pytest.mark.parametrize("slab_bytes", [1, 400_000, 2**30])
@pytest.mark.parametrize("batch", [1, 3])
def test_rows_given_one_after_the_other_are_the_whole_volumes(shape, slab_bytes, batch):
    patch, flips = (12, 8, 10), ((), (0,), (1, 2))
    image = torch.randn(1, *shape, generator=torch.Generator().manual_seed(1))
    networks = [Noise(seed=1), Noise(seed=2)]
    slabs = SlidingWindow(shape, Tiling(patch, 0.5, flips, batch, slab_bytes), CLASSES)
    forward = lambda views: [network(views) for network in networks]  # noqa: E731
    rows = torch.cat([rows.float().clone() for rows in slabs.logits(image, forward)], dim=1)
    back = np.argsort(slabs.order).tolist()
    streamed = rows.permute(0, *(1 + axis for axis in back))
    expected = whole_volume(image, patch, networks, flips).float()
    tolerance = 5e-2 if slab_bytes == 1 else 1e-4  # half precision where nothing else fits
    torch.testing.assert_close(streamed, expected, rtol=0, atol=tolerance)


def test_slabs_lie_along_the_axis_that_makes_them_smallest():
    assert SlidingWindow((20, 20, 90), Tiling((16, 16, 16)), 3).order[0] == 2
    assert SlidingWindow((90, 20, 20), Tiling((16, 16, 16)), 3).order[0] == 0
    assert SlidingWindow((50, 50, 50), Tiling((16, 8, 16)), 3).order[0] == 1


def test_what_is_held_does_not_grow_with_the_length_of_the_case():
    def deepest(length):
        slabs = list(SlidingWindow((length, 40, 40), Tiling((16, 16, 16), slab_bytes=1), 3))
        return max(slab.stop - slab.first for slab in slabs)

    assert deepest(100) == deepest(800) == 16


@pytest.mark.parametrize(
    ("native", "spacing"),
    [
        (Grid((30, 25, 28), (1.0, 1.0, 1.0)), (1.5, 0.8, 1.3)),
        (Grid((11, 40, 44), (5.0, 1.0, 1.0)), (3.0, 1.5, 1.5)),
        (Grid((44, 40, 11), (1.0, 1.0, 5.0)), (1.5, 1.5, 3.0)),
        (Grid((20, 21, 22), (1.0, 1.0, 1.0)), (1.0, 1.0, 1.0)),
        (Grid((20, 31, 22), (1.0, 1.0, 1.0)), (1.0, 1.7, 1.0)),
    ],
    ids=str,
)
@pytest.mark.parametrize("slab_bytes", [300_000, 2**30])
def test_labels_are_those_of_logits_resampled_all_at_once(native, spacing, slab_bytes):
    image = np.random.default_rng(2).normal(size=(1, *native.shape)).astype(np.float32)
    made = plan((12, 8, 8), spacing=spacing, outputs=CLASSES)
    flips = list(itertools.chain(*(itertools.combinations((0, 1), n) for n in range(3))))
    network = Noise()
    found = predictor(made, MANY, network, mirrored=(0, 1), slab_bytes=slab_bytes, window_batch=2).predict(
        image, native.spacing
    )
    case = preprocess(image, native.spacing, made)
    logits = whole_volume(case.image, made.patch, [network], flips)
    expected = at_home(logits, case.network, native).argmax(0).numpy()
    assert (found == expected).mean() > 0.9999


def at_home(logits, network, native):
    """nnU-Net's resampling of logits: linear, but the nearest slice along an axis that is too coarse."""
    longest = [max(grid.spacing) for grid in (network, native)]
    coarse = None
    for grid, most in zip((network, native), longest, strict=True):
        if coarse is None and most / min(grid.spacing) > 3:
            coarse = grid.spacing.index(most)
    if coarse is not None:
        where = (np.arange(native.shape[coarse]) + 0.5) * network.shape[coarse] / native.shape[coarse] - 0.5
        nearest = torch.from_numpy(np.floor(where + 0.5).astype(int)).clamp(0, network.shape[coarse] - 1)
        logits = logits.index_select(1 + coarse, nearest)
    return F.interpolate(logits[None], native.shape, mode="trilinear", align_corners=False)[0]
