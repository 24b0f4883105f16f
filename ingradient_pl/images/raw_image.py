"""What every reader of a file format gives, before axes are turned; and what is wrong with a file."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ingradient_pl.images.frame import Frame

NEAR = 0.1
"""Grids are the same where no corner lies farther apart than this share of the smallest voxel edge."""


class ImageError(ValueError):
    """A file that cannot be read as promised; the message begins with its name and ends with the cure."""


class RawImage(NamedTuple):
    """Voxels as a file holds them.

    Args:
        path: The file.
        voxels: Axes (channel, z, y, x) as stored, x fastest: as SimpleITK's GetArrayFromImage gives them.
        frame: Where they lie.
        block: The header as it stands in a NIfTI file; None for other formats.
        remarks: What a user should know of the file, a sentence each.
    """

    path: Path
    voxels: NDArray[Any]
    frame: Frame
    block: bytes | None = None
    remarks: tuple[str, ...] = ()


def describe_difference(first: RawImage, other: RawImage) -> str:
    """Say in what two files' grids differ; empty where they are the same but for rounding."""
    return _describe_difference(first.voxels.shape[1:], first.frame, other.voxels.shape[1:], other.frame)


def _describe_difference(
    shape: tuple[int, ...], frame: Frame, other_shape: tuple[int, ...], other: Frame
) -> str:
    if shape != other_shape:
        return f"its shape (z, y, x) {other_shape} differs from {shape} of"
    apart = frame.distance(other, shape)
    if apart <= NEAR * min(frame.spacing):
        return ""
    for name in ("spacing", "origin", "direction"):
        mine, its = getattr(frame, name), getattr(other, name)
        if not np.allclose(mine, its, rtol=1e-4, atol=1e-4):
            rounded = [tuple(round(number, 4) for number in numbers) for numbers in (its, mine)]
            return (
                f"its {name} {rounded[0]} differs (corners up to {apart:.3g} mm apart) from {rounded[1]} of"
            )
    return f"its corners lie up to {apart:.3g} mm from those of"


def to_plain_dtype(path: Path, voxels: NDArray[Any]) -> NDArray[Any]:
    """Bring voxels to a type of this machine that torch knows, without changing a value.

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
