"""Voxels, millimetres and the arithmetic between them. Axes run (z, y, x); a voxel is a cell, not a point."""

from collections.abc import Sequence
from typing import NamedTuple

__all__ = ["AXES", "Box", "Grid", "Millimetres", "Voxels"]

AXES = 3
Voxels = tuple[int, int, int]
Millimetres = tuple[float, float, float]

FLAT_ABOVE = 3.0
"""A patch this many times longer than its first axis is flat (nnU-Net's dummy 2D)."""


def is_flat(shape: Sequence[int]) -> bool:
    """Tell whether a patch is so flat that what happens to it happens within its slices.

    Args:
        shape: Voxels (z, y, x) of the patch.

    >>> is_flat((16, 48, 48)), is_flat((16, 49, 48))
    (False, True)
    """
    return max(shape) / shape[0] > FLAT_ABOVE


class Grid(NamedTuple):
    """A box of space cut into voxels.

    Coordinates count voxels as cells: voxel ``i`` of an axis covers ``[i, i + 1)`` and has its centre at
    ``i + 0.5``, so that two grids over the same space share their outer faces, not their first centres.

    Args:
        shape: Voxels along (z, y, x).
        spacing: Size of a voxel in mm along (z, y, x).
    """

    shape: Voxels
    spacing: Millimetres

    @classmethod
    def of(cls, shape: Sequence[int], spacing: Sequence[float]) -> "Grid":
        """Build a grid from what YAML, JSON or an image header gives.

        Args:
            shape: Voxels (z, y, x), each above 0.
            spacing: Millimetres (z, y, x) from voxel to voxel, each above 0.

        Raises:
            ValueError: If there are not three positive numbers of each.

        >>> Grid.of([4, 5, 6], [2, 1, 1]).extent
        (8.0, 5.0, 6.0)
        """
        if len(shape) != AXES or len(spacing) != AXES or not all(size > 0 for size in (*shape, *spacing)):
            raise ValueError(
                "A grid needs three positive voxel counts and three positive spacings in mm, "
                f"ordered (z, y, x); got shape={list(shape)}, spacing={list(spacing)}."
            )
        z, y, x = map(int, shape)
        dz, dy, dx = map(float, spacing)
        return cls((z, y, x), (dz, dy, dx))

    @property
    def extent(self) -> Millimetres:
        """Length of each axis in mm, outer face to outer face."""
        z, y, x = (voxels * mm for voxels, mm in zip(self.shape, self.spacing, strict=True))
        return z, y, x

    @property
    def whole(self) -> "Box":
        """The box that holds every voxel of the grid."""
        return Box((0, 0, 0), self.shape)

    def respaced(self, spacing: Sequence[float | None]) -> "Grid":
        """Give the grid over (nearly) the same space whose voxels have another size.

        The voxel count is nnU-Net's, ``int(round(old / new * count))``, at least 1; ``None`` keeps an axis.

        Args:
            spacing: Millimetres (z, y, x); None keeps an axis as it is.

        >>> Grid((10, 9, 8), (2.0, 1.0, 1.0)).respaced((1.0, 2.0, None)).shape
        (20, 4, 8)
        """
        wanted = [old if new is None else new for old, new in zip(self.spacing, spacing, strict=True)]
        pairs = zip(self.shape, self.spacing, wanted, strict=True)
        return Grid.of([max(1, round(old / new * count)) for count, old, new in pairs], wanted)

    def transposed(self, axes: Sequence[int]) -> "Grid":
        """Give the grid whose axis ``i`` is axis ``axes[i]`` of this one.

        Args:
            axes: 0, 1 and 2 once each.
        """
        return Grid.of([self.shape[axis] for axis in axes], [self.spacing[axis] for axis in axes])


class Box(NamedTuple):
    """A block of voxels of some grid; it may stick out of it.

    Args:
        start: First voxel along (z, y, x).
        shape: Voxels along (z, y, x).
    """

    start: Voxels
    shape: Voxels

    @classmethod
    def between(cls, start: Sequence[int], stop: Sequence[int]) -> "Box":
        """Build a box from its first voxel and the voxel after its last.

        Args:
            start: First voxel (z, y, x); it may be negative.
            stop: The voxel (z, y, x) after the last.

        >>> Box.between([1, 2, 3], [4, 4, 4])
        Box(start=(1, 2, 3), shape=(3, 2, 1))
        """
        z, y, x = (int(first) for first in start)
        dz, dy, dx = (int(last) - int(first) for first, last in zip(start, stop, strict=True))
        return cls((z, y, x), (dz, dy, dx))

    @property
    def stop(self) -> Voxels:
        """The voxel after the last along (z, y, x)."""
        z, y, x = (first + count for first, count in zip(self.start, self.shape, strict=True))
        return z, y, x

    @property
    def slices(self) -> tuple[slice, slice, slice]:
        """What cuts the box out of an array with axes (z, y, x)."""
        z, y, x = (slice(first, last) for first, last in zip(self.start, self.stop, strict=True))
        return z, y, x

    @property
    def voxels(self) -> int:
        """Number of voxels; 0 where the box is empty."""
        z, y, x = (max(0, count) for count in self.shape)
        return z * y * x

    def clipped(self, shape: Sequence[int]) -> "Box":
        """Give the part of the box that lies on a grid of ``shape``; empty where they do not meet.

        Args:
            shape: Voxels (z, y, x) of the grid.

        >>> Box((-2, 1, 3), (4, 4, 4)).clipped((9, 3, 9))
        Box(start=(0, 1, 3), shape=(2, 2, 4))
        """
        start = [min(max(0, first), count) for first, count in zip(self.start, shape, strict=True)]
        stop = [min(max(0, last), count) for last, count in zip(self.stop, shape, strict=True)]
        return Box.between(start, [max(first, last) for first, last in zip(start, stop, strict=True)])

    def moved(self, by: Sequence[int]) -> "Box":
        """Give the box ``by`` voxels further along each axis.

        Args:
            by: Voxels (z, y, x), backwards where negative.
        """
        z, y, x = (first + step for first, step in zip(self.start, by, strict=True))
        return Box((z, y, x), self.shape)

    def transposed(self, axes: Sequence[int]) -> "Box":
        """Give the box whose axis ``i`` is axis ``axes[i]`` of this one.

        Args:
            axes: 0, 1 and 2 once each.
        """
        start = [self.start[axis] for axis in axes]
        return Box.between(start, [self.stop[axis] for axis in axes])
