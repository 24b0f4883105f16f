"""Interpolation along one axis as the rows of a matrix: cubic B-spline and linear, in double precision."""

from functools import lru_cache

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from scipy import ndimage

Rows = NDArray[np.float64]
Positions = NDArray[np.float64]

PAD = 12
"""Edge voxels repeated on both sides before the spline's filter, as scipy does for ``mode="nearest"``. The
filter's memory fades by 0.27 a voxel, so that 12 voxels of margin leave an error of 1e-7."""
POINTS_PER_VOXEL = 2
TAPS = np.array([[1, -3, 3, -1], [4, 0, -6, 3], [1, 3, 3, -3], [0, 0, 0, 1]]) / 6
"""A cubic B-spline's weights of four coefficients: polynomials (constant first) of the place between two."""


def cubic_rows(voxels: int, positions: Positions, width: float = 0.0) -> Rows:
    """Give the weights by which ``voxels`` become a cubic B-spline's values at ``positions``.

    The spline goes through every voxel; past the ends the edge repeats. The rows are those of
    ``scipy.ndimage.zoom(order=3, mode="nearest", grid_mode=True)``.

    Args:
        voxels: Length of the axis.
        positions: Shape ``(out,)``: where values are wanted; voxel centres are whole numbers.
        width: Average over this many voxels about each position, a low-pass for axes that shrink by much
            more than two; 0 takes the value at the position, as nnU-Net does.

    Returns:
        Shape ``(out, voxels)``; rows sum to one.
    """
    if width > 0:
        points = int(np.ceil(POINTS_PER_VOXEL * width))
        offsets = ((np.arange(points) + 0.5) / points - 0.5) * width
        rows = cubic_rows(voxels, (positions[:, None] + offsets).ravel())
        return np.asarray(rows.reshape(len(positions), points, voxels).mean(1))
    near = positions.clip(-1.0, float(voxels))
    below = np.floor(near)
    about = _coefficients(voxels)[below.astype(np.int64) + PAD - 1]
    return np.asarray((_taps(near - below).T[:, None] @ about)[:, 0])


def linear_rows(voxels: int, positions: Positions) -> Rows:
    """Give the weights by which ``voxels`` become values in between, taken along straight lines.

    The rows are those of ``skimage.transform.resize(order=1, mode="edge")`` and of torch's trilinear
    ``interpolate`` with ``align_corners=False``.

    Args:
        voxels: How many there are to read.
        positions: Of what is wanted, in voxels of what is read; those outside take the nearest end.
    """
    near = positions.clip(0.0, voxels - 1.0)
    below = np.floor(near).astype(np.int64)
    rows, wanted = np.zeros((len(positions), voxels)), np.arange(len(positions))
    rows[wanted, below] = 1 - (near - below)
    rows[wanted, np.minimum(below + 1, voxels - 1)] += near - below
    return rows


def smooth_rows(knots: int, voxels: int) -> Rows:
    """Give the weights by which ``knots`` (four or more) become a smooth curve over ``voxels``.

    A cubic B-spline that need not go through its knots and never leaves their range.

    Args:
        knots: Four or more.
        voxels: How many are wanted.
    """
    at = (np.arange(voxels) + 0.5) / voxels * (knots - 3)
    first = np.floor(at).astype(np.int64)
    rows, wanted = np.zeros((voxels, knots)), np.arange(voxels)
    for tap, weight in enumerate(_taps(at - first)):
        rows[wanted, first + tap] = weight
    return rows


def _taps(up: Positions) -> NDArray[np.float64]:
    """Give the weights of the four coefficients about positions ``up`` voxels above the second of them."""
    square = up * up
    return np.asarray(TAPS @ np.array([np.ones_like(up), up, square, square * up]))


@lru_cache(maxsize=16)  # 2 MB for 512 voxels
def _coefficients(voxels: int) -> NDArray[np.float64]:
    """What each voxel gives to the spline's coefficients, edges repeated: each four in a row, (_, 4, voxels).

    The fours overlap in memory, in which the four of each are one piece.
    """
    padded = np.pad(np.eye(voxels), ((PAD, PAD), (0, 0)), mode="edge")
    coefficients = ndimage.spline_filter1d(padded, order=3, axis=0, mode="nearest")
    return sliding_window_view(coefficients, len(TAPS), axis=0).swapaxes(1, 2)
