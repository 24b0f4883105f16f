"""The way between two grids, made on the host: which voxels, with which weights. No voxel is touched here."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ingradient_pl.geometry import AXES, Box, Grid, Voxels
from ingradient_pl.transforms.patch import (
    Average,
    Axis,
    AxisSampling,
    Crop,
    Displacements,
    Interpolation,
    NearestVoxels,
    ObliqueSampling,
    Padding,
    PlaneSampling,
    Sampling,
)
from ingradient_pl.transforms.spline import Positions, cubic_rows, linear_rows, resized_positions, smooth_rows

Axes = tuple[Axis, Axis, Axis]
CUBIC, LINEAR = 3, 1

SAME = 1e-4
"""Voxels by which positions may miss voxel centres and still be taken as a plain crop."""
ALIKE = 1e-6


class Rule(NamedTuple):
    """How axes are interpolated.

    Args:
        separate_above: An axis whose voxels are longer than the others' by more than this factor is not
            interpolated: the nearest slice is taken. nnU-Net's is 3.
        low_pass_above: An axis that shrinks by more than this factor is averaged over the new voxel, against
            aliasing. nnU-Net has no low-pass, hence infinity: fine up to about 2, try 2 beyond. Of turned and
            bent patches the native axes are averaged, over the step to the next voxel of the patch.
    """

    separate_above: float = 3.0
    low_pass_above: float = math.inf


NNUNET = Rule()


class Reading(NamedTuple):
    """What of a case is read for a patch, and the way from there.

    Args:
        way: From the voxels of ``image`` (labels: of ``label``) to the patch.
        image: Voxels of the image, and of the body.
        label: Voxels of the label, all in ``image``: the spline's margin is the image's alone.
    """

    way: Sampling
    image: Box
    label: Box

    @property
    def start(self) -> Voxels:
        """First voxel of the label among the image's."""
        return self.label.moved([-first for first in self.image.start]).start


def sampling(
    native: Grid,
    box: Box,
    patch: Grid,
    centre: Sequence[float],
    affine: Sequence[float],
    rule: Rule = NNUNET,
    elastic: NDArray[np.float64] | None = None,
) -> Sampling:
    """Give the way from the native voxels of ``box`` to the patch that is laid into the case by ``affine``.

    Where the axes of both run alike (scaling and mirroring included) it is a cubic B-spline axis by axis, or
    a plain crop where the grids agree; after a rotation, or bent, it is one linear interpolation straight
    from the native voxels.

    Args:
        native: The case.
        box: Its voxels that were read; they must hold what the affine reaches.
        patch: The network's input, its voxels as planned. The patch is a part of the whole case resampled,
            which has a whole number of voxels: their true size is what is used.
        centre: Of the patch, in native voxels as cells.
        affine: Nine numbers, row by row, from offsets in the patch to offsets in the case (mm; z, y, x).
        rule: How axes are interpolated.
        elastic: Displacements of knots spread evenly over the patch, (3, z, y, x), in mm of the case.
    """
    spacing = np.array(native.extent) / native.respaced(patch.spacing).shape
    per_step = np.reshape(affine, (AXES, AXES)) * spacing / np.array(native.spacing)[:, None]
    off = np.abs(per_step - np.diag(np.diag(per_step))) > ALIKE
    if elastic is not None or off[0].any() or off[:, 0].any():
        matrix = torch.from_numpy(_affine(box, patch, centre, per_step)).float()
        bent = None if elastic is None else _displacements(native, box, patch, elastic)
        deep, high, wide = (_average(box.shape[axis], per_step[axis], rule) for axis in range(AXES))
        return ObliqueSampling(matrix, bent, (deep, high, wide))
    picked = separate_axis(native.spacing, patch.spacing, rule.separate_above)

    def way(axis: int) -> tuple[Axis, Padding]:
        positions, padding = _positions(axis, native, box, patch, centre, per_step)
        width = _width(abs(float(per_step[axis, axis])), rule)
        return _way(box.shape[axis], positions, _order(axis, picked), width), padding

    if off.any():
        matrix = torch.from_numpy(_affine(box, patch, centre, per_step)[:2, [0, 1, 3]]).float()
        high, wide = (_average(box.shape[axis], per_step[axis], rule) for axis in (1, 2))
        return PlaneSampling(*way(0), matrix, (high, wide))
    (z, first), (y, second), (x, third) = way(0), way(1), way(2)
    return AxisSampling((z, y, x), (first, second, third))


def trim(way: Sampling, box: Box) -> Reading:
    """Leave out what the way from a box does not use, such as slices beyond the nearest.

    >>> x = y = Crop(0, 4, mirrored=False)
    >>> way = AxisSampling((NearestVoxels(torch.tensor([3, 3, 4])), y, x), ((0, 0),) * 3)
    >>> trim(way, Box((10, 0, 0), (9, 4, 4))).image
    Box(start=(13, 0, 0), shape=(2, 4, 4))
    """
    if isinstance(way, ObliqueSampling):
        return Reading(way, box, box)
    straight = way.axes if isinstance(way, AxisSampling) else (way.z,)
    used = [_find_used(axis, voxels) for axis, voxels in zip(straight, box.shape, strict=False)]
    whole = [slice(0, voxels) for voxels in box.shape[len(used) :]]
    image, label = (
        Box.between([cut.start for cut in cuts], [cut.stop for cut in cuts]).moved(box.start)
        for cuts in ([*(one.image for one in used), *whole], [*(one.label for one in used), *whole])
    )
    if isinstance(way, PlaneSampling):
        return Reading(way._replace(z=used[0].axis), image, label)
    z, y, x = (one.axis for one in used)
    return Reading(way._replace(axes=(z, y, x)), image, label)


def to_network_axes(native: Grid, network: Grid, rule: Rule = NNUNET) -> Axes:
    """Give the way of a whole case to the network's grid: nnU-Net's resampling of images."""
    return _whole(native, network, CUBIC, rule)


def to_network_label_axes(native: Grid, network: Grid, rule: Rule = NNUNET) -> Axes:
    """Give the way of a whole case's label to the network's grid, equal to nnU-Net's to the voxel.

    Between two voxels that are equally near, nnU-Net takes the one that rounding in double precision makes
    the nearer; single precision would lose which that was.
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
    """Give the way of logits or probabilities back to the native grid: linear, as nnU-Net's."""
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
    """Give the image's first and last + 1 voxel that ``[start, stop)`` of an axis are made of."""
    least, most = _ends(axis.positions[start:stop])
    first, last = (axis.start + math.floor(end) + 1 for end in (least, most))
    return max(0, first - margin), min(axis.image.shape[1], last + margin)


def separate_axis(current: Sequence[float], wanted: Sequence[float], above: float = 3.0) -> int | None:
    """Name the axis too coarse to interpolate along, if there is one: nnU-Net's rule.

    It is the one axis whose voxels are the longest, where they are longer than the shortest by more than
    ``above``, on the present grid, or else on the wanted one.

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
        width = _width(voxels / count, rule)
        ways[voxels, count, degree] = _way(voxels, resized_positions(voxels, count), degree, width)
    z, y, x = (ways[want] for want in wants)
    return z, y, x


class _Used(NamedTuple):
    """An axis that reads from no more than it uses, and what that is of its former voxels."""

    axis: Axis
    image: slice
    label: slice


def _find_used(axis: Axis, voxels: int) -> _Used:
    whole = slice(0, voxels)
    if isinstance(axis, Crop):
        used = slice(axis.start, axis.start + axis.voxels) if axis.voxels else whole
        return _Used(axis._replace(start=axis.start - used.start), used, used)
    if isinstance(axis, NearestVoxels):
        used = _span(axis.nearest) or whole
        return _Used(NearestVoxels(axis.nearest - used.start), used, used)
    used = _span(axis.positions) or whole
    own = axis._replace(positions=axis.positions - used.start, start=axis.start + used.start)
    return _Used(own, whole, used)


def _span(places: Tensor) -> slice | None:
    """Give the voxels about places that rise or fall; None where there are none."""
    if not len(places):
        return None
    least, most = _ends(places)
    return slice(math.floor(least), math.ceil(most) + 1)


def _ends(places: Tensor) -> tuple[float, float]:
    """Give the least and the greatest of places that rise or fall: a fifth of the time of looking at all."""
    first, last = places.numpy()[[0, -1]].tolist()
    return min(first, last), max(first, last)


def _order(axis: int, picked: int | None, order: int = CUBIC) -> int:
    return 0 if axis == picked else order


def _width(step: float, rule: Rule) -> float:
    """How many voxels are averaged: the step from one to the next, where it is above the rule's."""
    return step if step > rule.low_pass_above else 0.0


def _average(voxels: int, per_step: NDArray[np.float64], rule: Rule) -> Average:
    """Give what the voxels of a native axis are averaged by, of a patch that is turned towards it.

    Args:
        voxels: Of the axis.
        per_step: Voxels of the axis passed by a step along each axis of the patch.
        rule: When to average.
    """
    width = _width(float(np.linalg.norm(per_step)), rule)
    if not width:
        return None
    return torch.from_numpy(cubic_rows(voxels, np.arange(voxels, dtype=np.float64), width)).float()


def _way(voxels: int, positions: Positions, order: int, width: float) -> Axis:
    """Choose the cheapest exact way from ``voxels`` to ``positions`` along one axis."""
    whole = positions.round()
    if not len(positions) or np.abs(positions - whole).max() < SAME:
        steps = np.diff(whole)
        if np.all(np.abs(steps) == 1) and np.all(steps == steps[:1]):
            start = int(whole.min()) if len(whole) else 0
            return Crop(start, len(whole), bool(np.any(steps < 0)))
    if order == 0:  # halves go up, as scipy's do
        nearest = np.floor(positions + 0.5).clip(0, voxels - 1).astype(np.int64)
        return NearestVoxels(torch.from_numpy(nearest))
    rows = cubic_rows(voxels, positions, width) if order == CUBIC else linear_rows(voxels, positions)
    near = positions.clip(0, voxels - 1)
    image, label = (torch.from_numpy(exact.astype(np.float32)) for exact in (rows, near))
    return Interpolation(image, label)


def _short_of_halves(positions: Positions) -> Tensor:
    """Round to single precision, but keep what lies short of the middle between two voxels short of it."""
    rounded = positions.astype(np.float32)
    risen = np.floor(rounded + np.float32(0.5)) > np.floor(positions + 0.5)
    return torch.from_numpy(np.where(risen, np.nextafter(rounded, np.float32(-1)), rounded))


def _positions(
    axis: int, native: Grid, box: Box, patch: Grid, centre: Sequence[float], per_step: NDArray[np.float64]
) -> tuple[Positions, Padding]:
    """Where in the box the patch's voxels inside the case lie along an axis, and how many lie outside."""
    count = patch.shape[axis]
    cells = centre[axis] + per_step[axis, axis] * (np.arange(count) + 0.5 - count / 2)
    inside = (cells >= -ALIKE) & (cells <= native.shape[axis] + ALIKE)
    if not inside.any():
        return np.zeros(0), (count, 0)
    before, after = int(inside.argmax()), int(inside[::-1].argmax())
    return cells[before : count - after] - 0.5 - box.start[axis], (before, after)


def _affine(
    box: Box, patch: Grid, centre: Sequence[float], per_step: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Put a map between voxels into the terms of ``affine_grid``: axes (x, y, z), each from -1 to 1."""
    edges = np.array(box.shape)
    linear = per_step * np.array(patch.shape) / edges[:, None]
    shift = 2 * (np.array(centre) - box.start) / edges - 1
    return np.concatenate([linear[::-1, ::-1], shift[::-1, None]], axis=1)


def _displacements(native: Grid, box: Box, patch: Grid, elastic: NDArray[np.float64]) -> Displacements:
    """Put displacements in mm into the terms of ``affine_grid``, and spread the knots over the patch."""
    units = 2 / (np.array(box.shape) * native.spacing)
    knots = (elastic * units[:, None, None, None])[::-1].copy()
    z, y, x = (
        torch.from_numpy(smooth_rows(count, voxels)).float()
        for count, voxels in zip(elastic.shape[1:], patch.shape, strict=True)
    )
    return Displacements(torch.from_numpy(knots).float(), (z, y, x))
