"""Filters as one matrix along each axis: Gaussian blur and low resolution, for many volumes at once."""

from collections.abc import Mapping, Sequence
from functools import lru_cache

import numpy as np
from jaxtyping import Float, Float32, Float64
from numpy.typing import NDArray
from torch import Tensor

from ingradient_pl.transforms.resample import multiply_slices
from ingradient_pl.transforms.spline import linear_rows, resized_positions
from ingradient_pl.transforms.volumes import Volumes, one_by_one

Range = tuple[float, float]
Rows = NDArray[np.float64]

HALF = 0.5


def within(numbers: Float64[np.ndarray, "*_"], ends: Range) -> Float64[np.ndarray, "*_"]:
    """Make uniform numbers in [0, 1) uniform in a range."""
    low, high = ends
    return low + (high - low) * numbers


def about_one(numbers: Float64[np.ndarray, "row 2"], factor: Range) -> Float64[np.ndarray, " row"]:
    """Make two uniform numbers a factor, as often below 1 as above, uniform in either part."""
    low, high = factor
    below = (numbers[:, 0] < HALF) & (low < 1)
    return np.where(
        below,
        within(numbers[:, 1], (low, min(1.0, high))),
        within(numbers[:, 1], (max(low, 1.0), max(high, 1.0))),
    )


def matrices_of(rows: Sequence[Sequence[Rows | None]], shape: Sequence[int]) -> Float32[np.ndarray, "row _"]:
    """Lay the matrices of several volumes side by side, a line a volume.

    Args:
        rows: The matrix of each axis of ``shape`` for each volume; None leaves an axis alone.
        shape: Lengths of the axes that are filtered.
    """
    found = np.empty((len(rows), sum(voxels**2 for voxels in shape)), np.float32)
    for line, matrices in zip(found, rows, strict=True):
        start = 0
        for voxels, matrix in zip(shape, matrices, strict=True):
            line[start : start + voxels**2] = (np.eye(voxels) if matrix is None else matrix).ravel()
            start += voxels**2
    return found


def apply_matrices(
    volumes: Volumes, values: Float[Tensor, "row value"], axes: Sequence[int]
) -> Float[Tensor, "row z y x"]:
    """Multiply axes of each volume by matrices of its own.

    Args:
        volumes: What is filtered; it is left as it is.
        values: Matrices that :func:`matrices_of` laid side by side.
        axes: Which of (z, y, x) they are for, ascending.
    """
    matrices, start = {}, 0
    for axis in axes:
        voxels = volumes.shape[axis + 1]
        own = values[:, start : start + voxels**2].to(volumes.dtype)
        matrices[axis] = own.view(len(own), voxels, voxels)
        start += voxels**2
    if one_by_one(volumes):
        return multiply_slices(volumes, [_unless_identity(matrices.get(axis)) for axis in range(3)])
    return _rotate_through(volumes, matrices)


def _unless_identity(matrix: Float[Tensor, "1 n n"] | None) -> Float[Tensor, "n n"] | None:
    return None if matrix is None or bool((matrix[0].diagonal() == 1).all()) else matrix[0]


def _rotate_through(volumes: Volumes, matrices: Mapping[int, Float[Tensor, "row _ _"]]) -> Volumes:
    """Multiply the last axis and put it first, until every axis came: nothing is transposed."""
    order = [0, 1, 2]
    for axis in sorted(matrices, reverse=True):
        at = order.index(axis) + 1
        lines = volumes.movedim(at, -1)  # the last already, but where an axis behind it was left alone
        rest = lines.shape[1:-1]
        product = matrices[axis].bmm(lines.flatten(1, -2).transpose(1, 2))
        volumes = product.view(*product.shape[:2], *rest)
        order = [axis, *order[: at - 1], *order[at:]]
    return volumes.permute(0, *(order.index(axis) + 1 for axis in range(3)))


def blur_rows(voxels: int, sigma: float) -> Rows | None:
    """Give a Gaussian blur as a matrix: three sigma either way, edges mirrored, as nnU-Net's."""
    radius = max(0, round((6 * sigma - 0.5) / 2))
    if voxels == 1 or radius == 0:
        return None
    taps = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    mirrored = _reflect_rows(voxels, radius)
    shifted = (weight * mirrored[tap : tap + voxels] for tap, weight in enumerate(taps / taps.sum()))
    return np.asarray(sum(shifted))


@lru_cache(maxsize=16)
def _reflect_rows(voxels: int, radius: int) -> Rows:
    """Give the matrix that repeats an axis beyond its ends, mirrored."""
    return np.pad(np.eye(voxels), ((radius, radius), (0, 0)), mode="reflect")


def coarse_rows(voxels: int, count: int) -> Rows | None:
    """Give the matrix that leaves ``count`` voxels, the nearest ones, and interpolates between them."""
    if count >= voxels:
        return None
    left = np.floor((np.arange(count) + 0.5) * (voxels / count)).astype(int)
    rows = np.zeros((voxels, voxels))
    rows[:, left] = linear_rows(count, resized_positions(count, voxels))
    return rows
