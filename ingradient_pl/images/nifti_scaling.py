"""Slope and intercept of a NIfTI file: from stored numbers to intensities."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray


def slope_of(header: Any) -> tuple[float, float, list[str]]:
    """Give slope and intercept as ITK reads them, and what to remark on them.

    Args:
        header: Of nibabel, NIfTI-1 or -2.
    """
    slope, inter = float(header["scl_slope"]), float(header["scl_inter"])
    inter = inter if math.isfinite(inter) else 0.0
    if math.isfinite(slope) and abs(slope) >= np.finfo(np.float64).eps:
        return slope, inter, []
    remarks = (
        []
        if not inter
        else [
            f"its slope is {slope:g}, which asks for no scaling, its intercept {inter:g}; the intercept "
            "was added, as ITK and nnU-Net do."
        ]
    )
    return 1.0, inter, remarks


def scale(voxels: NDArray[Any], slope: float, inter: float) -> NDArray[Any]:
    """Apply slope and intercept; integers stay integers where both are whole and 32 bits hold the result.

    Args:
        voxels: Shape (x, y, z) and further axes, as stored.
        slope: Intensity of a step of 1.
        inter: Intensity of a stored 0.
    """
    if (slope, inter) == (1.0, 0.0):
        return voxels
    if voxels.dtype.kind in "iu" and slope.is_integer() and inter.is_integer():
        return _apply_integer_slope(voxels, int(slope), int(inter))
    return _apply_slope(voxels, slope, inter)


def _apply_slope(voxels: NDArray[Any], slope: float, inter: float) -> NDArray[Any]:
    """Slope and intercept in 64 bits, the result in 32, without a 64-bit copy of the whole."""
    scaled = np.empty(voxels.shape, np.float32, order="F")
    for plane in range(voxels.shape[-1]):
        scaled[..., plane] = voxels[..., plane] * np.float64(slope) + inter
    return scaled


def _apply_integer_slope(voxels: NDArray[Any], slope: int, inter: int) -> NDArray[Any]:
    """Integers that stay integers: a CT stored with an offset of 1024 remains 16 bits."""
    ends = [int(end) * slope + inter for end in (voxels.min(), voxels.max())] if voxels.size else [0, 0]
    for dtype in (voxels.dtype, np.dtype(np.int16), np.dtype(np.int32)):
        limits = np.iinfo(dtype)
        if limits.min <= min(ends) and max(ends) <= limits.max:
            return (voxels.astype(np.int64) * slope + inter).astype(dtype)
    return _apply_slope(voxels, slope, inter)
