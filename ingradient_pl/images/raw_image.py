"""What every reader of a file format gives, before axes are turned; and what is wrong with a file."""

from pathlib import Path
from typing import Any, NamedTuple, Protocol, runtime_checkable

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
        indexed: Whether they are numbers of a palette's colours, and so no intensities.
    """

    path: Path
    voxels: NDArray[Any]
    frame: Frame
    block: bytes | None = None
    remarks: tuple[str, ...] = ()
    indexed: bool = False


@runtime_checkable
class OnGrid(Protocol):
    """Voxels (channel, z, y, x) and where they lie: an image as stored, or a volume."""

    @property
    def voxels(self) -> NDArray[Any]:
        """Axes (channel, z, y, x)."""

    @property
    def frame(self) -> Frame:
        """Where they lie."""


def describe_difference(
    first: OnGrid,
    other: OnGrid,
    same_space: bool = True,  # noqa: FBT001
) -> str:
    """Say in what the grid of ``other`` differs from that of ``first``, before the first's name is written.

    Args:
        first: What it is held against.
        other: What is looked at.
        same_space: Whether both must lie at one place too; else equal shapes suffice.

    Returns:
        Half a sentence; empty where they are the same but for rounding.
    """
    shape, found = first.voxels.shape[1:], other.voxels.shape[1:]
    if shape != found:
        return f"its shape (z, y, x) {found} differs from {shape} of"
    apart = first.frame.distance(other.frame, shape)
    if not same_space or apart <= NEAR * min(first.frame.spacing):
        return ""
    for name in ("spacing", "origin", "direction"):
        wanted, its = getattr(first.frame, name), getattr(other.frame, name)
        if not np.allclose(wanted, its, rtol=1e-4, atol=1e-4):
            rounded = [tuple(round(number, 4) for number in numbers) for numbers in (its, wanted)]
            return (
                f"its {name} {rounded[0]} differs (corners up to {apart:.3g} mm apart) from {rounded[1]} of"
            )
    return f"its corners lie up to {apart:.3g} mm from those of"
