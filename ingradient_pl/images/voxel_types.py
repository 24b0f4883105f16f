"""Voxels of a file in a type that torch computes with, and whether every one is a number."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ingradient_pl.images.raw_image import ImageError


def to_plain_dtype(path: Path, voxels: NDArray[Any]) -> NDArray[Any]:
    """Bring voxels to a type of this machine that torch knows, without changing a value.

    Args:
        path: Of the file, for messages.
        voxels: Of any shape, which is kept.

    Raises:
        ImageError: If they are colours or complex numbers.
    """
    dtype = voxels.dtype.newbyteorder("=")
    if dtype.names or dtype.kind == "V":
        raise ImageError(
            f"{path}: its voxels are colours (RGB). Save each channel, or their mean, as a grey image."
        )
    if dtype.kind == "c":
        raise ImageError(f"{path}: its voxels are complex numbers. Save magnitude or phase instead.")
    if dtype.kind == "b":
        return voxels.astype(np.uint8)
    if dtype.kind == "f" and dtype != np.float32:
        with np.errstate(over="ignore"):
            return voxels.astype(np.float32)
    if dtype.kind in "iu" and dtype.itemsize > 2:  # noqa: PLR2004
        return _narrow(voxels)
    return voxels.astype(dtype, copy=False)


def check_finite(path: Path, voxels: NDArray[Any]) -> NDArray[Any]:
    """Give the voxels (channel, z, y, x) back where every one is a number.

    Args:
        path: Of the file, for messages.
        voxels: Shape (channel, z, y, x).

    Raises:
        ImageError: If any is NaN or infinite.
    """
    if voxels.dtype.kind != "f":
        return voxels
    with np.errstate(invalid="ignore"):
        total = voxels.sum(dtype=np.float64)
    if not np.isfinite(total):
        wrong = ~np.isfinite(voxels)
        at = ", ".join(map(str, np.argwhere(wrong)[0].tolist()))
        raise ImageError(
            f"{path}: {int(wrong.sum())} of {wrong.size} voxels are NaN or infinite, the first at "
            f"(channel, z, y, x) = ({at}). Replace them, for example with numpy.nan_to_num."
        )
    return voxels


def _narrow(voxels: NDArray[Any]) -> NDArray[Any]:
    """Torch computes with int32, hardly with uint32, and float32 is what 64 bits end as on a device."""
    if not voxels.size or voxels.dtype.newbyteorder("=") == np.int32:
        return voxels.astype(np.int32)
    limits = np.iinfo(np.int32)
    fits = limits.min <= int(voxels.min()) and int(voxels.max()) <= limits.max
    return voxels.astype(np.int32 if fits else np.float32)
