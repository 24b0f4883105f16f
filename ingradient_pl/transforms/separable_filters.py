"""Filters as one matrix along each axis: Gaussian blur and low resolution, for many volumes at once."""

from collections.abc import Mapping, Sequence
from functools import lru_cache

import numpy as np
import torch
from jaxtyping import Float, Float32, Float64, Int64
from torch import Tensor

from ingradient_pl.transforms.matrix_products import multiply_slices
from ingradient_pl.transforms.volumes import Volumes, one_by_one

Range = tuple[float, float]

HALF = 0.5
SMALLEST = 1e-7


def within(numbers: Float64[np.ndarray, "*_"], ends: Range) -> Float64[np.ndarray, "*_"]:
    """Make uniform numbers in [0, 1) uniform in a range.

    Args:
        numbers: Uniform in [0, 1), of any shape.
        ends: Of the range.
    """
    low, high = ends
    return low + (high - low) * numbers


def about_one(numbers: Float64[np.ndarray, "row 2"], factor: Range) -> Float64[np.ndarray, " row"]:
    """Make two uniform numbers a factor, as often below 1 as above, uniform in either part.

    Args:
        numbers: Uniform in [0, 1): which side of 1, then where on it.
        factor: Lowest and highest factor; where both lie on one side of 1, that side alone is taken.
    """
    low, high = factor
    below = (numbers[:, 0] < HALF) & (low < 1)
    return np.where(
        below,
        within(numbers[:, 1], (low, min(1.0, high))),
        within(numbers[:, 1], (max(low, 1.0), max(high, 1.0))),
    )


def side_by_side(matrices: Sequence[Float32[np.ndarray, "row _ _"]]) -> Float32[np.ndarray, "row value"]:
    """Lay the matrices of several axes side by side, a line a volume.

    Args:
        matrices: Of each axis, one for each volume.
    """
    return np.concatenate([axis.reshape(len(axis), axis.shape[1] * axis.shape[2]) for axis in matrices], 1)


def apply_matrices(
    volumes: Volumes, values: Float[Tensor, "row value"], axes: Sequence[int]
) -> Float[Tensor, "row z y x"]:
    """Multiply axes of each volume by matrices of its own.

    Args:
        volumes: What is filtered; it is left as it is.
        values: Matrices that :func:`side_by_side` laid.
        axes: Which of (z, y, x) they are for, ascending.
    """
    sizes = [volumes.shape[axis + 1] for axis in axes]
    parts = torch.split(values.to(volumes.dtype), [voxels**2 for voxels in sizes], dim=1)
    matrices = {
        axis: part.view(-1, voxels, voxels) for axis, part, voxels in zip(axes, parts, sizes, strict=True)
    }
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


def blur_matrices(voxels: int, sigmas: Float64[np.ndarray, " row"]) -> Float32[np.ndarray, "row _ _"]:
    """Give Gaussian blurs as matrices: three sigma either way, edges mirrored, as nnU-Net's.

    Args:
        voxels: Length of the axis.
        sigmas: Widths in voxels; one too narrow to reach a neighbour leaves the axis as it is.
    """
    radii = np.maximum(0, np.rint((6 * sigmas - 0.5) / 2)).astype(int)
    widest = int(radii.max(initial=0))
    offsets = np.arange(-widest, widest + 1)
    exponents = -0.5 * (offsets / np.maximum(sigmas, SMALLEST)[:, None]) ** 2
    taps = np.where(np.abs(offsets) <= radii[:, None], np.exp(exponents), 0.0)
    taps /= taps.sum(1, keepdims=True)
    found: Float32[np.ndarray, "row _"] = taps.astype(np.float32) @ _shifts(voxels, widest)
    return found.reshape(len(found), voxels, voxels)


@lru_cache(maxsize=8)
def _shifts(voxels: int, radius: int) -> Float32[np.ndarray, "tap _"]:
    """Give matrices that shift an axis by up to ``radius`` voxels either way, mirrored beyond its ends."""
    mirrored = np.pad(np.eye(voxels, dtype=np.float32), ((radius, radius), (0, 0)), mode="reflect")
    return np.stack([mirrored[tap : tap + voxels].ravel() for tap in range(2 * radius + 1)])


def coarse_matrices(voxels: int, counts: Int64[np.ndarray, " row"]) -> Float32[np.ndarray, "row _ _"]:
    """Give matrices that leave some voxels, the nearest ones, and interpolate linearly between them.

    Args:
        voxels: Length of the axis.
        counts: How many are left, from 1 to ``voxels``.
    """
    left = counts[:, None]
    positions = ((np.arange(voxels) + 0.5) * (left / voxels) - 0.5).clip(0.0, left - 1.0)
    below = np.floor(positions)
    weights = positions - below
    found = np.zeros((len(counts), voxels, voxels), np.float32)
    at = np.ogrid[: len(counts), :voxels]
    for sample, weight in ((below, 1 - weights), (np.minimum(below + 1, left - 1), weights)):
        found[(*at, np.floor((sample + 0.5) * (voxels / left)).astype(int))] += weight.astype(np.float32)
    return found
