"""The way out: from a case as it was read to what the network sees, and what is needed to come home."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Num
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

from ingradient_pl.cases.statistics import STEPS, ChannelStatistics, Statistics
from ingradient_pl.geometry import AXES, Box, Grid
from ingradient_pl.planning.plan import Plan
from ingradient_pl.transforms.interpolate import along_axes
from ingradient_pl.transforms.normalise import limits, normalised
from ingradient_pl.transforms.resample import Rule, outward

VOXELS_AT_ONCE = 1 << 22


class Outward(NamedTuple):
    """A case on the network's grid.

    Args:
        image: Normalised and resampled.
        native: The grid of the part that is not zero, axes in the network's order.
        network: The grid of ``image``.
        box: That part, on the case as it was given but for the order of axes.
    """

    image: Float[Tensor, "channel z y x"]
    native: Grid
    network: Grid
    box: Box


def sent_out(image: Num[np.ndarray, "channel z y x"], spacing: Sequence[float], plan: Plan) -> Outward:
    """Bring a whole case to the network: order axes, cut off what is zero, normalise, resample.

    Args:
        image: As read; any number type.
        spacing: Size of a voxel in mm along its axes.
        plan: What the network expects.
    """
    turned = image.transpose(0, *(1 + axis for axis in plan.transpose))
    whole = Grid.of(image.shape[1:], spacing).transposed(plan.transpose)
    box = content(turned)
    native = Grid(box.shape, whole.spacing)
    network = plan.grid(native)
    voxels = turned[(slice(None), *box.slices)]
    masked = [normaliser.masked for normaliser in plan.normalisation]
    inside = body(voxels) if any(masked) else None
    pairs = zip(voxels, plan.normalisation, strict=True)
    terms = torch.tensor([normaliser.terms(measured(channel, inside)) for channel, normaliser in pairs])
    mask = None if inside is None else torch.from_numpy(inside)
    axes = outward(native, network, Rule(plan.separate_z_above))
    made = torch.empty(len(voxels), *network.shape)
    for number, channel in enumerate(voxels):  # one at a time: a whole case may be large
        some = terms[number : number + 1]
        clean = normalised(
            torch.from_numpy(np.ascontiguousarray(channel[None], dtype=np.float32)),
            some,
            mask if masked[number] else None,
        )
        low, high = limits(some)
        made[number] = along_axes(clean, axes)[0].clamp(float(low), float(high))
    return Outward(made, native, network, box)


def content(image: Num[np.ndarray, "channel z y x"]) -> Box:
    """Give the smallest box that holds every voxel of any channel that is not zero; all where none is.

    Source: nnU-Net v2, https://github.com/MIC-DKFZ/nnUNet
    """
    filled = np.zeros(image.shape[1:], dtype=bool)
    for channel in image:
        filled |= channel != 0
    start, stop = [], []
    for axis in range(AXES):
        others = tuple(other for other in range(AXES) if other != axis)
        found = np.flatnonzero(filled.any(axis=others))
        if not found.size:
            return Box.between((0, 0, 0), filled.shape)
        start.append(int(found[0]))
        stop.append(int(found[-1]) + 1)
    return Box.between(start, stop)


def body(image: Num[np.ndarray, "channel z y x"]) -> Bool[np.ndarray, "z y x"]:
    """Give the voxels where some channel is not zero, holes filled."""
    filled: NDArray[np.bool_] = ndimage.binary_fill_holes((image != 0).any(axis=0))
    return filled


def measured(
    channel: Num[np.ndarray, "z y x"], inside: Bool[np.ndarray, "z y x"] | None
) -> ChannelStatistics:
    """Measure a channel as the store's builder does, quickly, without a copy in double precision."""
    whole = _statistics(channel)
    within = _statistics(channel[inside]) if inside is not None and inside.any() else whole
    return ChannelStatistics(whole, within, None)


def _statistics(values: NDArray[np.generic]) -> Statistics:
    ordered = np.sort(values, axis=None)
    total = squares = 0.0
    for start in range(0, ordered.size, VOXELS_AT_ONCE):
        total += float(ordered[start : start + VOXELS_AT_ONCE].sum(dtype=np.float64))
    mean = total / ordered.size
    for start in range(0, ordered.size, VOXELS_AT_ONCE):
        part = ordered[start : start + VOXELS_AT_ONCE].astype(np.float64) - mean
        squares += float(part @ part)
    places = np.linspace(0, ordered.size - 1, STEPS + 1)
    below = np.floor(places).astype(np.int64)
    above = np.minimum(below + 1, ordered.size - 1)
    low, high = (ordered[rows].astype(np.float64) for rows in (below, above))
    quantiles = low + (high - low) * (places - below)
    return Statistics(ordered.size, mean, float(np.sqrt(squares / ordered.size)), quantiles)
