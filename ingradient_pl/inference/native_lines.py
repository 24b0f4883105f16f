"""Linear interpolation of rows of maps to native lines, in memory that is used again."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float, Integer
from torch import Tensor

from ingradient_pl.inference.buffer_pool import BufferPool
from ingradient_pl.transforms.patch import Axis, Crop, NearestVoxels


class LinearInterpolation(NamedTuple):
    """Between which lines along an axis the native lines lie.

    Args:
        lower: The line before each.
        upper: The line after it; the same where nothing is taken from another.
        share: What belongs to the line after, in [0, 1]; None where that is nothing for all.
        plain: Whether the native lines are successive lines as they are.
    """

    lower: Integer[Tensor, " native"]
    upper: Integer[Tensor, " native"]
    share: Float[Tensor, " native"] | None
    plain: bool = False

    @classmethod
    def of(cls, axis: Axis) -> "LinearInterpolation":
        """Read them off the interpolation of an axis.

        Args:
            axis: From the network's grid to the native one.
        """
        if isinstance(axis, Crop):
            lines = torch.arange(axis.start, axis.start + axis.voxels)
            return cls(lines, lines, None, plain=not axis.mirrored)
        if isinstance(axis, NearestVoxels):
            plain = bool((axis.nearest.diff() == 1).all())
            return cls(axis.nearest, axis.nearest, None, plain)
        last = axis.image.shape[1] - 1
        at = axis.positions.double().clamp(0, last)
        lower = at.floor().long().clamp(max=max(0, last - 1))
        return cls(lower, (lower + 1).clamp(max=last), (at - lower).float())

    def part(self, first: int, stop: int, begin: int) -> "LinearInterpolation":
        """Give the native lines ``[first, stop)`` alone, counted from line ``begin``.

        Args:
            first: First native line.
            stop: The native line after the last.
            begin: The network's line that becomes line 0.
        """
        share = None if self.share is None else self.share[first:stop]
        return LinearInterpolation(self.lower[first:stop] - begin, self.upper[first:stop] - begin, share)

    def to(self, device: torch.device) -> "LinearInterpolation":
        """Bring them to a device.

        Args:
            device: Where they are used.
        """
        share = None if self.share is None else self.share.to(device)
        return self._replace(lower=self.lower.to(device), upper=self.upper.to(device), share=share)

    def all_there(self, count: int) -> bool:
        """Whether ``count`` lines stay as they are.

        Args:
            count: Lines on the network's grid.
        """
        return self.plain and len(self.lower) == count

    def of_lines(self, rows: Float[Tensor, "_ _ _"], dim: int, pool: BufferPool) -> Float[Tensor, "_ _ _"]:
        """Take the native lines from between others along ``dim``; in ``pool``.

        Args:
            rows: On the network's grid along ``dim``.
            dim: 0, 1 or 2.
            pool: Whose memory the answer lies in.
        """
        shape = [*rows.shape[:dim], len(self.lower), *rows.shape[dim + 1 :]]
        below = torch.index_select(rows, dim, self.lower, out=pool.take(f"below {dim}", *shape))
        if self.share is None:
            return below
        share = self.share.reshape([-1] + [1] * (rows.ndim - 1 - dim))
        above = torch.index_select(rows, dim, self.upper, out=pool.take("above", *shape))
        return torch.lerp(below, above, share, out=below)


def resample_across(
    rows: Float[Tensor, "row _ _"], sides: Sequence[LinearInterpolation], pool: BufferPool
) -> Float[Tensor, "row _ _"]:
    """Resample the two axes across the rows, linearly or to the nearest; in ``pool``.

    Each axis is brought to the middle and taken line by line, which on a processor is 1.6 times as fast as
    torch's own bilinear interpolation.

    Args:
        rows: On the network's grid.
        sides: How axes 1 and 2 are read.
        pool: Whose memory the answer lies in.
    """
    for side in reversed(sides):
        rows = rows.transpose(1, 2)
        if not side.all_there(rows.shape[1]):
            rows = side.of_lines(pool.copy("turned", rows), 1, pool)
    return rows
