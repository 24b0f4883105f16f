"""Resampling of images on the device: slice, multiply, or read along one matrix, as the host decided."""

import torch.nn.functional as F
from jaxtyping import Float, Num
from torch import Tensor

from ingradient_pl.cases.patch import Axis, AxisSampling, Cut, Picks, PlaneSampling, Sampling
from ingradient_pl.geometry import Voxels

FIRST_AXIS = 1
Z, Y, X = 1, 2, 3


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
    return multiplied(volume, dim, axis.image.to(volume.dtype))


def multiplied(
    volume: Float[Tensor, "channel _ _ _"], dim: int, rows: Float[Tensor, "out in"]
) -> Float[Tensor, "channel _ _ _"]:
    """Multiply one axis by a matrix."""
    if dim == X:
        return volume @ rows.T
    if dim == Y:
        return rows @ volume
    channels, z, y, x = volume.shape
    return (rows @ volume.reshape(channels, z, y * x)).reshape(channels, len(rows), y, x)


def resampled(
    volume: Float[Tensor, "channel z y x"], way: Sampling, shape: Voxels
) -> Float[Tensor, "channel _ _ _"]:
    """Bring a normalised patch to the network's grid; what lies outside the case is zero."""
    if isinstance(way, AxisSampling):
        return padded(along_axes(volume, way.axes), way.padding)
    if isinstance(way, PlaneSampling):
        slices = along_axes(volume, (way.z, Cut(0, volume.shape[Y], False), Cut(0, volume.shape[X], False)))
        points = F.affine_grid(way.matrix[None], [1, 1, *shape[1:]], align_corners=False)
        turned = F.grid_sample(slices.flatten(0, 1)[None], points, align_corners=False)
        return padded(turned.reshape(*slices.shape[:2], *shape[1:]), (way.padding, (0, 0), (0, 0)))
    points = F.affine_grid(way.matrix[None], [1, 1, *shape], align_corners=False)
    return F.grid_sample(volume[None], points, align_corners=False)[0]


def padded(
    volume: Num[Tensor, "*channel z y x"], padding: tuple[tuple[int, int], ...]
) -> Num[Tensor, "*channel _ _ _"]:
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
