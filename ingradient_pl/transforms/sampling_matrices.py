"""The way between two grids, made on the host: which voxels, with which weights. No voxel is touched here."""

import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ingradient_pl.geometry import AXES, Grid
from ingradient_pl.transforms.patch import Axis, Crop, Interpolation, NearestVoxels
from ingradient_pl.transforms.resampling_rule import NNUNET, Rule
from ingradient_pl.transforms.spline import Positions, cubic_rows, linear_rows

Axes = tuple[Axis, Axis, Axis]
CUBIC, LINEAR = 3, 1

SAME = 1e-4
"""Voxels by which positions may miss voxel centres and still be taken as a plain crop."""


def to_network_axes(native: Grid, network: Grid, rule: Rule = NNUNET) -> Axes:
    """Give the way of a whole case to the network's grid: nnU-Net's resampling of images.

    Args:
        native: Of the case.
        network: The plan's spacing over the same space.
        rule: When an axis is too coarse to interpolate along, and when it is averaged.
    """
    return _whole(native, network, CUBIC, rule)


def to_network_label_axes(native: Grid, network: Grid, rule: Rule = NNUNET) -> Axes:
    """Give the way of a whole case's label to the network's grid, equal to nnU-Net's to the voxel.

    Between two voxels that are equally near, nnU-Net takes the one that rounding in double precision makes
    the nearer; single precision would lose which that was.

    Args:
        native: Of the case.
        network: The plan's spacing over the same space.
        rule: When an axis is too coarse to interpolate along, and when it is averaged.
    """
    ways = []
    for way, voxels, count in zip(
        _whole(native, network, LINEAR, rule), native.shape, network.shape, strict=True
    ):
        exact = np.clip(resized_positions(voxels, count), 0, voxels - 1)
        ways.append(
            way._replace(positions=_short_of_halves(exact)) if isinstance(way, Interpolation) else way
        )
    z, y, x = ways
    return z, y, x


def to_native_axes(network: Grid, native: Grid, rule: Rule = NNUNET) -> Axes:
    """Give the way of logits or probabilities back to the native grid: linear, as nnU-Net's.

    Args:
        network: What was predicted on.
        native: Of the case.
        rule: When an axis is too coarse to interpolate along, and when it is averaged.
    """
    return _whole(network, native, LINEAR, rule)


def crop_axis(axis: Axis, start: int, stop: int, margin: int = 1) -> tuple[Axis, int, int]:
    """Give the way to voxels ``[start, stop)`` of an axis alone, and the first and last + 1 voxel it reads.

    Args:
        axis: The way of a whole case.
        start: First voxel wanted.
        stop: The voxel after the last.
        margin: Voxels read beyond the neighbours: 1 is exact for a linear way, 12 is good to 1e-7 for a
            cubic one.
    """
    if isinstance(axis, Crop):
        first = axis.start + (axis.voxels - stop if axis.mirrored else start)
        return Crop(0, stop - start, axis.mirrored), first, first + stop - start
    if isinstance(axis, NearestVoxels):
        nearest = axis.nearest[start:stop]
        first, last = (int(end) for end in _ends(nearest))
        return NearestVoxels(nearest - first), first, last + 1
    first, last = reads(axis, start, stop, margin)
    return Interpolation(axis.image[start:stop, first:last], axis.positions[start:stop] - first), first, last


def reads(axis: Interpolation, start: int, stop: int, margin: int) -> tuple[int, int]:
    """Give the image's first and last + 1 voxel that ``[start, stop)`` of an axis are made of.

    Args:
        axis: How it is read.
        start: First voxel wanted.
        stop: The voxel wanted after the last.
        margin: Voxels to read more on either side.
    """
    least, most = _ends(axis.positions[start:stop])
    first, last = (axis.start + math.floor(end) + 1 for end in (least, most))
    return max(0, first - margin), min(axis.image.shape[1], last + margin)


def separate_axis(current: Sequence[float], wanted: Sequence[float], above: float = 3.0) -> int | None:
    """Name the axis too coarse to interpolate along, if there is one: nnU-Net's rule.

    It is the one axis whose voxels are the longest, where they are longer than the shortest by more than
    ``above``, on the present grid, or else on the wanted one.

    Args:
        current: Millimetres (z, y, x) of the present grid.
        wanted: Millimetres (z, y, x) of the other one.
        above: How many times longer than the shortest the longest voxel must be.

    >>> separate_axis((5.0, 1.0, 1.0), (1.0, 1.0, 1.0)), separate_axis((5.0, 5.0, 1.0), (1.0, 1.0, 1.0))
    (0, None)
    """
    for spacing in (current, wanted):
        longest = max(spacing)
        if longest / min(spacing) > above:
            axes = [axis for axis, mm in enumerate(spacing) if mm == longest]
            return axes[0] if len(axes) == 1 else None
    return None


def _whole(current: Grid, wanted: Grid, order: int, rule: Rule) -> Axes:
    picked = separate_axis(current.spacing, wanted.spacing, rule.separate_above)
    orders = [_order(axis, picked, order) for axis in range(AXES)]
    wants = list(zip(current.shape, wanted.shape, orders, strict=True))
    ways: dict[tuple[int, int, int], Axis] = {}  # y and x are often alike
    for voxels, count, degree in dict.fromkeys(wants):
        width = average_width(voxels / count, rule)
        ways[voxels, count, degree] = _way(voxels, resized_positions(voxels, count), degree, width)
    z, y, x = (ways[want] for want in wants)
    return z, y, x


def _ends(places: Tensor) -> tuple[float, float]:
    """Give the least and the greatest of places that rise or fall: a fifth of the time of looking at all."""
    first, last = places.numpy()[[0, -1]].tolist()
    return min(first, last), max(first, last)


def _order(axis: int, picked: int | None, order: int = CUBIC) -> int:
    return 0 if axis == picked else order


def average_width(step: float, rule: Rule) -> float:
    """How many voxels are averaged: the step from one to the next, where it is above the rule's.

    Args:
        step: Voxels read from one voxel wanted to the next.
        rule: Whose ``low_pass_above`` is the step from which on an axis is averaged.
    """
    return step if step > rule.low_pass_above else 0.0


def find_crop(positions: Positions) -> Crop | None:
    """Give the crop that positions along an axis are, where they are voxel centres, each after the last.

    Args:
        positions: Of the voxels wanted, in voxels of what is read.
    """
    whole = positions.round()
    if len(positions) and np.abs(positions - whole).max() >= SAME:
        return None
    steps = np.diff(whole)
    if not (np.all(np.abs(steps) == 1) and np.all(steps == steps[:1])):
        return None
    start = int(whole.min()) if len(whole) else 0
    return Crop(start, len(whole), bool(np.any(steps < 0)))


def nearest_voxels(positions: Positions, voxels: int) -> NDArray[np.int64]:
    """Give the nearest of ``voxels``; halves go up, as scipy's do.

    Args:
        positions: Of the voxels wanted, in voxels of what is read; the answer has their shape.
        voxels: How many there are to read.
    """
    return np.floor(positions + 0.5).clip(0, voxels - 1).astype(np.int64)


def _way(voxels: int, positions: Positions, order: int, width: float) -> Axis:
    """Choose the cheapest exact way from ``voxels`` to ``positions`` along one axis."""
    crop = find_crop(positions)
    if crop is not None:
        return crop
    if order == 0:
        return NearestVoxels(torch.from_numpy(nearest_voxels(positions, voxels)))
    rows = cubic_rows(voxels, positions, width) if order == CUBIC else linear_rows(voxels, positions)
    near = positions.clip(0, voxels - 1)
    image, label = (torch.from_numpy(exact.astype(np.float32)) for exact in (rows, near))
    return Interpolation(image, label)


def _short_of_halves(positions: Positions) -> Tensor:
    """Round to single precision, but keep what lies short of the middle between two voxels short of it."""
    rounded = positions.astype(np.float32)
    risen = np.floor(rounded + np.float32(0.5)) > np.floor(positions + 0.5)
    return torch.from_numpy(np.where(risen, np.nextafter(rounded, np.float32(-1)), rounded))


def resized_positions(voxels: int, wanted: int) -> Positions:
    """Give the centres of ``wanted`` voxels that cover the same length as ``voxels``.

    Args:
        voxels: How many there are to read.
        wanted: How many take their place.
    """
    return np.asarray((np.arange(wanted) + 0.5) * (voxels / wanted) - 0.5)
