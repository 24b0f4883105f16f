"""The way along one axis as dense numbers of one size for a whole batch: matrices, indices and positions."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ingradient_pl.transforms.patch import (
    Axis,
    AxisSampling,
    Crop,
    Interpolation,
    NearestVoxels,
    Padding,
    PlaneSampling,
    Sampling,
)

HALF = 0.5


def is_identity(axis: Axis, padding: Padding, voxels: int) -> bool:
    """Tell whether ``voxels`` along an axis become the same voxels.

    Args:
        axis: How the axis is read.
        padding: Voxels wanted before and after that lie outside the case.
        voxels: Of the patch along the axis.
    """
    return isinstance(axis, Crop) and axis == Crop(0, voxels, mirrored=False) and not any(padding)


def nearest_index(axis: Axis) -> NDArray[np.int64]:
    """Give the label's nearest voxel for each voxel wanted, the one after where both are as near.

    Args:
        axis: How the axis is read; the answer has one entry for each voxel wanted.
    """
    if isinstance(axis, Crop):
        index = np.arange(axis.start, axis.start + axis.voxels)
        return index[::-1] if axis.mirrored else index
    if isinstance(axis, NearestVoxels):
        return axis.nearest.numpy().astype(np.int64)
    return np.floor(axis.positions.numpy() + np.float32(HALF)).astype(np.int64)


def image_rows(axis: Axis, voxels: int) -> NDArray[np.float32]:
    """Give the weight of each of ``voxels`` in each voxel wanted, shape ``(wanted, voxels)``.

    Args:
        axis: How the axis is read.
        voxels: Of the patch along the axis.
    """
    if isinstance(axis, Interpolation):
        return axis.image.numpy()
    return one_hot(nearest_index(axis), voxels)


def label_rows(axis: Axis, voxels: int, *, linear: bool) -> NDArray[np.float32]:
    """Give the weight of each voxel of a label: of the two about each place, or of the nearest alone.

    Args:
        axis: How the axis is read; the answer has the shape ``(wanted, voxels)``.
        voxels: Of the label along the axis.
        linear: Whether two voxels share a weight; False gives all of it to the nearest.
    """
    if not isinstance(axis, Interpolation) or not linear:
        return one_hot(nearest_index(axis), voxels)
    below, part = np.floor(positions := axis.positions.numpy()), positions - np.floor(positions)
    first, wanted = below.astype(np.int64), np.arange(len(positions))
    rows = np.zeros((len(positions), voxels), np.float32)
    rows[wanted, first] = 1 - part
    rows[wanted, np.minimum(first + 1, voxels - 1)] += part
    return rows


def label_positions(axis: Axis) -> NDArray[np.float32]:
    """Give where among the label's voxels each voxel wanted lies.

    Args:
        axis: How the axis is read; the answer has one entry for each voxel wanted.
    """
    if isinstance(axis, Interpolation):
        return axis.positions.numpy()
    return nearest_index(axis).astype(np.float32)


def one_hot(index: NDArray[np.int64], voxels: int) -> NDArray[np.float32]:
    """Give rows that take one voxel each.

    Args:
        index: The voxel that each row takes; the answer has the shape ``(len(index), voxels)``.
        voxels: Length of each row.
    """
    rows = np.zeros((len(index), voxels), np.float32)
    rows[np.arange(len(index)), index] = 1
    return rows


def straight_axes(way: Sampling) -> tuple[tuple[Axis, ...], tuple[Padding, ...]]:
    """Give the axes of a patch that no turn concerns, and their padding: all three, z alone, or none.

    Args:
        way: How the patch is read.
    """
    if isinstance(way, AxisSampling):
        return way.axes, way.padding
    return ((way.z,), (way.padding,)) if isinstance(way, PlaneSampling) else ((), ())


def count_interpolated(axes: Sequence[Axis]) -> int:
    """Count the axes along which values in between are made.

    Args:
        axes: Of one patch.
    """
    return sum(isinstance(axis, Interpolation) for axis in axes)


def stack_padded(
    parts: Sequence[NDArray[Any]],
    paddings: Sequence[Padding],
    shape: Sequence[int],
    fill: Sequence[float] | float = 0,
) -> NDArray[Any]:
    """Lay what belongs to each patch into one array.

    Args:
        parts: Of each patch, the voxels wanted first.
        paddings: Voxels wanted before (and after) them that lie outside the case.
        shape: Of the answer, without its first axis.
        fill: What stands everywhere else; one number for all, or one for each patch.
    """
    out = np.empty((len(parts), *shape), parts[0].dtype)
    out[:] = np.reshape(fill, (-1, *[1] * len(shape)))
    for entry, part, (before, _) in zip(out, parts, paddings, strict=True):
        entry[before:][tuple(slice(0, count) for count in part.shape)] = part
    return out


def lay_into(arrays: Sequence[NDArray[Any]], add: int = 0) -> Callable[[NDArray[Any]], None]:
    """Give what writes arrays of several sizes, at the lower end of each axis, into one; zero beyond them.

    Args:
        arrays: Of each patch, shape (..., z, y, x); the last three axes differ in length.
        add: What is added to every voxel.
    """

    def write(place: NDArray[Any]) -> None:
        for entry, array in zip(place, arrays, strict=True):
            z, y, x = array.shape[-3:]
            entry[..., z:, :, :] = 0
            entry[..., :z, y:, :] = 0
            entry[..., :z, :y, x:] = 0
            if add:
                np.add(array, add, out=entry[..., :z, :y, :x], casting="unsafe", dtype=place.dtype)
            else:
                entry[..., :z, :y, :x] = array

    return write
