"""Whole-volume resampling, order 3, against nnU-Net's; and patches against crops of the whole.

Both have the cores that OMP_NUM_THREADS allows; nnU-Net's resampler uses one of them. Each turn of either
side is several times the same work in a row, as cases follow one another, of which the first is not counted:
a process that has waited for the other takes up to 20 ms to wake on a virtual machine.
"""

import statistics
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from figure import Figure
from peers import Peer
from scipy import ndimage

from ingradient_pl.draws.training import STILL
from ingradient_pl.geometry import Grid
from ingradient_pl.transforms.patch import NearestVoxels
from ingradient_pl.transforms.patch_sampling import lay_patch
from ingradient_pl.transforms.resample import along_axes, resample
from ingradient_pl.transforms.sampling_matrices import to_network_axes

ROUNDS, IN_A_ROW, PATCH, CENTRES = 7, 3, (64, 64, 64), 12
THEIRS = "nnU-Net's resample_data_or_seg_to_shape"


class Work(NamedTuple):
    """A case and the grid it is brought to."""

    name: str
    native: Grid
    network: Grid


WORKS = [
    Work("plain", Grid.of((96, 224, 224), (1.354, 0.8036, 0.8036)), Grid.of((130, 180, 180), (1, 1, 1))),
    Work("separate_z", Grid.of((48, 224, 224), (5.0, 0.8036, 0.8036)), Grid.of((64, 180, 180), (3.75, 1, 1))),
]


def figures() -> list[Figure]:
    columns = f"{'case':<12}{'ours s':>10}{'nnU-Net s':>12}{'ratio':>8}"
    print(f"{columns}{'difference':>13}{'patch - crop':>14}{'slice-clipped':>16}")
    found: list[Figure] = []
    with tempfile.TemporaryDirectory() as folder, Peer("nnunet", "resample") as peer:
        for work in WORKS:
            found += _figures(work, Path(folder) / work.name, peer)
    return found


def _figures(work: Work, stem: Path, peer: Peer) -> list[Figure]:
    noise = np.random.default_rng(0).normal(size=work.native.shape)
    image = ndimage.gaussian_filter(noise, 1).astype(np.float32)
    grids = {"spacing": work.native.spacing, "new": work.network.shape, "new_spacing": work.network.spacing}
    np.savez(stem.with_suffix(".npz"), image=image, **grids)
    volume = torch.from_numpy(image)[None]
    ratios, ours, theirs = [], [], []
    for _ in range(ROUNDS):
        theirs.append(peer.seconds(stem))
        along_axes(volume, to_network_axes(work.native, work.network))
        start = time.perf_counter()
        for _ in range(IN_A_ROW):
            whole = along_axes(volume, to_network_axes(work.native, work.network))
        ours.append((time.perf_counter() - start) / IN_A_ROW)
        ratios.append(theirs[-1] / ours[-1])
    expected = torch.from_numpy(np.load(f"{stem}_theirs.npy"))
    span = float(volume.max() - volume.min())
    clipped, share = _clipped(work, volume, whole[0])
    off = float((clipped - expected).abs().max()) / span
    apart = _patches_apart(work, volume, whole) / span
    ratio, seconds, others = (statistics.median(entry) for entry in (ratios, ours, theirs))
    print(
        f"{work.name:<12}{seconds:>10.4f}{others:>12.4f}{ratio:>8.1f}{off:>13.1e}{apart:>14.1e}{share:>16.1e}"
    )
    return [
        Figure(f"resample_{work.name}", ratio, "times faster", THEIRS, 30, most=False),
        Figure(f"resample_{work.name}_difference", off, "of the range", THEIRS, 1e-4),
        Figure(f"resample_{work.name}_patch", apart, "of the range", "the crop of the whole volume", 1e-3),
    ]


def _clipped(work: Work, volume: torch.Tensor, whole: torch.Tensor) -> tuple[torch.Tensor, float]:
    """Clip as nnU-Net's resampler does inside: to the range of the case, or of each slice where z is apart.

    Prediction does the same. A training patch knows the range of its case only, not of each whole slice: the
    second number is the share of voxels that this leaves different.
    """
    low, high = volume.min(), volume.max()
    clipped = whole.clamp(low, high)
    way = to_network_axes(work.native, work.network)[0]
    if not isinstance(way, NearestVoxels):
        return clipped, 0.0
    slices = volume[0, way.nearest].flatten(1)
    ends = (end[:, None, None] for end in (slices.amin(1), slices.amax(1)))
    by_slice = whole.clamp(*ends)
    return by_slice, float((by_slice != clipped).float().mean())


def _patches_apart(work: Work, volume: torch.Tensor, whole: torch.Tensor) -> float:
    """The largest difference of patches, read with their margin alone, from crops of the whole."""
    rng = np.random.default_rng(1)
    patch = Grid.of([min(pair) for pair in zip(PATCH, work.network.shape, strict=True)], work.network.spacing)
    step = np.array(work.native.shape) / work.network.shape
    worst = 0.0
    for _ in range(CENTRES):
        start = rng.integers(0, np.array(work.network.shape) - patch.shape + 1)
        centre = ((start + np.array(patch.shape) / 2) * step).tolist()
        laid = lay_patch(work.native, patch, centre, STILL, margin=12)
        found = resample(volume[(slice(None), *laid.image_box.slices)], laid.sampling, patch.shape)
        cut = tuple(slice(a, a + n) for a, n in zip(start, patch.shape, strict=True))
        worst = max(worst, float((found - whole[(slice(None), *cut)]).abs().max()))
    return worst
