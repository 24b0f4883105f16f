"""Resampling of images on the device: slice, multiply, or read along one matrix, as the host decided."""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float, Num, Shaped
from torch import Tensor

from ingradient_pl.cases.patch import (
    Axis,
    AxisSampling,
    Cut,
    ObliqueSampling,
    Picks,
    PlaneSampling,
    Sampling,
    Weights,
)
from ingradient_pl.geometry import Voxels
from ingradient_pl.transforms.resample import part

FIRST_AXIS = 1
Y, X = 2, 3

DENSE_UP_TO, BLOCK, FADED = 48, 24, 11
"""A spline's weights fade to 1e-6 within 11 voxels, so that axes are multiplied block by block: twice as fast
at 224 voxels on a CPU. A GPU is faster with one large product."""


def along_axes(
    volume: Float[Tensor, "channel z y x"], axes: tuple[Axis, Axis, Axis]
) -> Float[Tensor, "channel _ _ _"]:
    """Resample axis by axis, in the order that costs least: axes that shrink first.

    Where all axes are plain crops the answer is a view of ``volume``.
    """
    ways = sorted(enumerate(axes, FIRST_AXIS), key=lambda way: _growth(way[1], volume.shape[way[0]]))
    for dim, axis in ways:
        volume = along_axis(volume, dim, axis)
    mirrored = [dim for dim, axis in ways if isinstance(axis, Cut) and axis.mirrored]
    return volume.flip(mirrored) if mirrored else volume


def along_axis(volume: Num[Tensor, "channel _ _ _"], dim: int, axis: Axis) -> Num[Tensor, "channel _ _ _"]:
    """Resample one axis; a mirrored crop is left unmirrored, so that several cost one pass together."""
    if isinstance(axis, Cut):
        return volume.narrow(dim, axis.start, axis.voxels)
    if isinstance(axis, Picks):
        return volume.index_select(dim, axis.nearest)
    rows = axis.image.to(volume.dtype)
    if volume.shape[dim] <= DENSE_UP_TO or not at_hand(volume):
        return multiplied(volume, dim, rows)
    shape = [len(rows) if other == dim else count for other, count in enumerate(volume.shape)]
    out = volume.new_empty(shape)
    margin = FADED + math.ceil(
        volume.shape[dim] / max(1, len(rows)) / 2
    )  # half a voxel of the wanted, averaged
    for start in range(0, len(rows), BLOCK):
        stop = min(start + BLOCK, len(rows))
        block, first, last = part(axis, start, stop, margin)
        assert isinstance(block, Weights)
        source = volume.narrow(dim, first, last - first)
        multiplied(
            source, dim, block.image.to(volume.dtype).contiguous(), out.narrow(dim, start, stop - start)
        )
    return out


def multiplied(
    volume: Float[Tensor, "channel _ _ _"],
    dim: int,
    rows: Float[Tensor, "out in"],
    out: Float[Tensor, "channel _ _ _"] | None = None,
) -> Float[Tensor, "channel _ _ _"]:
    """Multiply one axis by a matrix, into ``out`` where it is given."""
    if out is None:
        out = volume.new_empty([len(rows) if d == dim else count for d, count in enumerate(volume.shape)])
    if dim == X:
        torch.mm(volume.flatten(0, 2), rows.T, out=out.flatten(0, 2))
        return out
    source, target = (entry.flatten(0, dim - 1).flatten(2) for entry in (volume, out))
    torch.bmm(rows.expand(len(source), -1, -1), source, out=target)
    return out


def resampled(
    volume: Float[Tensor, "channel z y x"], way: Sampling, shape: Voxels
) -> Float[Tensor, "channel _ _ _"]:
    """Bring a normalised patch to the network's grid; what lies outside the case is zero."""
    if isinstance(way, AxisSampling):
        return padded(along_axes(volume, way.axes), way.padding)
    if isinstance(way, PlaneSampling):
        slices = along_axes(volume, (way.z, Cut(0, volume.shape[Y], False), Cut(0, volume.shape[X], False)))
        turned = F.grid_sample(slices.flatten(0, 1)[None], _last(read_at(way, shape)), align_corners=False)
        return padded(turned.reshape(*slices.shape[:2], *shape[1:]), (way.padding, (0, 0), (0, 0)))
    return F.grid_sample(volume[None], _last(read_at(way, shape)), align_corners=False)[0]


def read_at(way: PlaneSampling | ObliqueSampling, shape: Voxels) -> Float[Tensor, "to *shape"]:
    """Give where each voxel of ``shape`` (each of a slice, after a rotation in the plane) is read."""
    planes = points(way.matrix, shape[len(shape) - len(way.matrix) :])
    if isinstance(way, PlaneSampling) or way.bend is None:
        return planes
    field = way.bend.knots
    for dim, rows in enumerate(way.bend.rows, FIRST_AXIS):
        field = multiplied(field, dim, rows)
    return planes.add_(field)


def points(matrix: Float[Tensor, "to from"], shape: Sequence[int]) -> Float[Tensor, "to *shape"]:
    """Give where each voxel of ``shape`` is read, as :func:`torch.nn.functional.affine_grid` does.

    One plane for each of (x, y, z) or (x, y), by sums of what each axis adds: thirty times faster than the
    product over all voxels on a CPU, and exact where a GPU would round products.
    """
    axes = len(shape)
    planes = matrix.new_empty(axes, *shape)
    for row, plane in zip(matrix, planes, strict=True):
        terms = []
        for dim, count in enumerate(shape):
            centres = (torch.arange(count, device=matrix.device, dtype=matrix.dtype) * 2 + 1) / count - 1
            terms.append((row[axes - 1 - dim] * centres).view([-1] + [1] * (axes - 1 - dim)))
        terms[0] = terms[0] + row[axes]
        torch.add(sum(terms[1:-1], terms[0]), terms[-1], out=plane)
    return planes


def _last(planes: Float[Tensor, "to *shape"]) -> Float[Tensor, "1 *shape to"]:
    return planes.movedim(0, -1)[None]


def at_hand(voxels: Tensor) -> bool:
    """Tell whether the host may read a value without waiting for a device."""
    return voxels.device.type == "cpu"


def padded(
    volume: Shaped[Tensor, "*channel z y x"], padding: tuple[tuple[int, int], ...]
) -> Shaped[Tensor, "*channel _ _ _"]:
    """Put zeros before and after along (z, y, x)."""
    (z, z_), (y, y_), (x, x_) = padding
    return F.pad(volume, (x, x_, y, y_, z, z_)) if any(map(any, padding)) else volume


def _growth(axis: Axis, voxels: int) -> float:
    """How many times more voxels there are after an axis is resampled; crops and picks go first."""
    if isinstance(axis, Cut):
        return -1.0
    if isinstance(axis, Picks):
        return len(axis.nearest) / voxels - 1 if len(axis.nearest) <= voxels else float("inf")
    return axis.image.shape[0] / voxels
