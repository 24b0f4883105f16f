"""Voxels of a label file as integers of the smallest type that holds them."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ingradient_pl.images.raw_image import ImageError
from ingradient_pl.task import LARGEST_UINT8

ROUNDING = 1e-3
"""How far a label may lie from an integer: what resampling and 32 bits leave of one."""


def as_integers(path: Path, voxels: NDArray[Any]) -> tuple[NDArray[Any], tuple[str, ...]]:
    """Give labels in the smallest type, and a remark where rounding had touched them.

    Args:
        path: Of the file, for messages.
        voxels: Shape (1, z, y, x), of any type.

    Raises:
        ImageError: If there are several channels, or a voxel is no integer in 0 to 65535.
    """
    if len(voxels) != 1:
        raise ImageError(f"{path}: a label has one channel, this file has {len(voxels)}.")
    if voxels.dtype == np.uint8:
        return voxels, ()
    rounded, remarks = _round(path, voxels) if voxels.dtype.kind == "f" else (voxels, ())
    low, high = (rounded.min(), rounded.max()) if rounded.size else (0, 0)
    if low < 0 or high > np.iinfo(np.uint16).max:
        raise ImageError(f"{path}: labels must lie in 0 to 65535; these run from {low:g} to {high:g}.")
    return rounded.astype(np.uint8 if high <= LARGEST_UINT8 else np.uint16), remarks


def _round(path: Path, voxels: NDArray[Any]) -> tuple[NDArray[Any], tuple[str, ...]]:
    rounded = np.rint(voxels)
    off = np.abs(voxels - rounded)
    if not off.any():
        return voxels, ()
    wrong = voxels[off > ROUNDING]
    if wrong.size:
        raise ImageError(
            f"{path}: labels must be integers, {wrong.size} voxels are not, e.g. {wrong[0]!s}. "
            "Is this an image or a probability map? Round or threshold it."
        )
    some = voxels.flat[int(off.argmax())]
    count = int(np.count_nonzero(off))
    text = f"{count} labels are integers but for rounding (the worst is {some!s}); they were rounded."
    return rounded, (f"{path}: {text}",)
