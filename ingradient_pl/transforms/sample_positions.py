"""Where the voxels wanted lie among the voxels there are."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from ingradient_pl.geometry import Voxels

Triple = tuple[Tensor, Tensor, Tensor]


class SamplePositions(NamedTuple):
    """Where voxels wanted lie among voxels that are there, along (z, y, x).

    Args:
        at: Shapes broadcast to (z y x); voxel centres are whole numbers.
        moves: Along which axes they lie in between.
    """

    at: Triple
    moves: tuple[bool, bool, bool]

    @property
    def shape(self) -> torch.Size:
        """Of what is wanted."""
        sizes = zip(*(place.shape for place in self.at), strict=True)
        return torch.Size(0 if 0 in voxels else max(voxels) for voxels in sizes)

    def apply(self, change: Callable[[Tensor, int], Tensor]) -> "SamplePositions":
        """Give the places that ``change`` makes of those along each axis (0, 1, 2).

        Args:
            change: Takes the places along an axis, which broadcast to (z, y, x), and the axis; gives others.
        """
        z, y, x = (change(place, axis) for axis, place in enumerate(self.at))
        return self._replace(at=(z, y, x))

    def clamp_to(self, counts: Sequence[int]) -> "SamplePositions":
        """Give the nearest places among ``counts`` voxels.

        Args:
            counts: Voxels (z, y, x) of the label.
        """
        return self.apply(lambda place, axis: place.clamp(0, counts[axis] - 1))

    def since(self, start: Voxels) -> "SamplePositions":
        """Give the places counted from another first voxel.

        Args:
            start: The voxel (z, y, x) that becomes voxel 0.
        """
        return self.apply(lambda place, axis: place - start[axis])

    def within(self, low: Sequence[float], high: Sequence[float]) -> Triple:
        """Tell of each axis which places lie between two ends.

        Args:
            low: First place (z, y, x) that counts as inside.
            high: Last place (z, y, x) that counts as inside.
        """
        z, y, x = ((place >= a) & (place <= b) for place, a, b in zip(self.at, low, high, strict=True))
        return z, y, x
