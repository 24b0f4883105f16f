"""The way out: from a case as it was read to what the network sees, and what is needed to come home."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Num
from torch import Tensor

from ingradient_pl.cases.content import content
from ingradient_pl.cases.statistics import ChannelStatistics, Statistics
from ingradient_pl.geometry import Box, Grid
from ingradient_pl.planning.plan import Plan
from ingradient_pl.transforms.interpolate import along_axes
from ingradient_pl.transforms.normalise import limits, normalised
from ingradient_pl.transforms.resample import Rule, outward


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
    box = filled(turned)
    native = Grid(box.shape, whole.spacing)
    network = plan.grid(native)
    voxels = turned[(slice(None), *box.slices)]
    masked = [normaliser.masked for normaliser in plan.normalisation]
    found = content(voxels) if any(masked) else None
    inside = None if found is None else found.body
    mask = None if inside is None else torch.from_numpy(inside)
    pairs = zip(voxels, plan.normalisation, strict=True)
    terms = torch.tensor([normaliser.terms(measured(channel, inside)) for channel, normaliser in pairs])
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


def filled(image: Num[np.ndarray, "channel z y x"]) -> Box:
    """Give the smallest box that holds every voxel of any channel that is not zero; all where none is.

    Source: nnU-Net v2, https://github.com/MIC-DKFZ/nnUNet
    """
    found = image[0] != 0
    for channel in image[1:]:
        found |= channel != 0
    rows = found.any(axis=2)
    lines = [rows.any(axis=1), rows.any(axis=0), found.any(axis=(0, 1))]
    if not lines[0].any():
        return Box.between((0, 0, 0), found.shape)
    start = [int(line.argmax()) for line in lines]
    stop = [line.size - int(line[::-1].argmax()) for line in lines]
    return Box.between(start, stop)


def measured(
    channel: Num[np.ndarray, "z y x"], inside: Bool[np.ndarray, "z y x"] | None
) -> ChannelStatistics:
    """Measure a channel as the store's builder does."""
    whole = Statistics.of(channel)
    assert whole is not None  # a box is never empty
    within = None if inside is None else Statistics.of(channel[inside])
    return ChannelStatistics(whole, within or whole, None)
