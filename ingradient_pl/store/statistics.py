"""Intensity statistics of a whole case by channel: what normalisers and planners are made from."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

STEPS = 1000
"""Quantiles are kept at 0, 1/1000, ..., 1: a percentile with one decimal is read off exactly."""

WIDEST = 2**20
"""Integers that span no more are counted instead of sorted."""

PART = 2**22
"""Voxels looked at at once."""


class Statistics(NamedTuple):
    """Intensities of one channel over one region of a case.

    Args:
        voxels: How many voxels the region holds.
        mean: Their mean.
        std: Their standard deviation (of the population).
        quantiles: Shape ``(1001,)``: minimum, ..., median, ..., maximum.
    """

    voxels: int
    mean: float
    std: float
    quantiles: NDArray[np.float64]

    @classmethod
    def of(cls, values: NDArray[Any]) -> "Statistics | None":
        """Measure ``values`` (any shape); None where there are none.

        Args:
            values: Numbers of any shape.
        """
        if not values.size:
            return None
        low, high = values.min(), values.max()
        if values.dtype.kind in "iu" and int(high) - int(low) < WIDEST:
            return cls._of_integers(values.reshape(-1), int(low), int(high))
        flat = np.sort(values, axis=None)
        ranks = np.linspace(0, 1, STEPS + 1) * (flat.size - 1)
        below = flat[np.floor(ranks).astype(np.int64)].astype(np.float64)
        above = flat[np.ceil(ranks).astype(np.int64)].astype(np.float64)
        quantiles = below + (above - below) * (ranks % 1)
        mean = float(flat.mean(dtype=np.float64))
        squares = sum(float(np.square(part.astype(np.float64) - mean).sum()) for part in _parts(flat))
        return cls(flat.size, mean, float(np.sqrt(squares / flat.size)), quantiles)

    @classmethod
    def _of_integers(cls, flat: NDArray[Any], low: int, high: int) -> "Statistics":
        """Measure integers exactly from how often each occurs: no sort, no copy in 64 bits."""
        counts = np.zeros(high - low + 1, dtype=np.int64)
        for part in _parts(flat):
            counts += np.bincount(part.astype(np.int64) - low, minlength=counts.size)
        return cls.of_counts(counts, low)

    @classmethod
    def of_counts(cls, counts: NDArray[np.int64], low: int) -> "Statistics":
        """Measure integers from how often each occurs.

        Args:
            counts: Of each integer from ``low`` on, shape ``(integers,)``; the first and last are above zero.
            low: The least integer.
        """
        values, size = np.arange(low, low + counts.size, dtype=np.float64), int(counts.sum())
        mean = float(counts @ values) / size
        std = float(np.sqrt(counts @ np.square(values - mean) / size))
        ranks = np.linspace(0, 1, STEPS + 1) * (size - 1)
        reached = np.cumsum(counts)
        below = values[np.searchsorted(reached, np.floor(ranks), side="right")]
        above = values[np.searchsorted(reached, np.ceil(ranks), side="right")]
        return cls(size, mean, std, below + (above - below) * (ranks % 1))

    @classmethod
    def of_row(cls, row: NDArray[np.float64]) -> "Statistics":
        """Read what a store keeps of one region.

        Args:
            row: Voxels, mean, standard deviation and quantiles, shape ``(3 + 1001,)``.
        """
        voxels, mean, std = row[:3]
        return cls(int(voxels), float(mean), float(std), row[3 : 3 + STEPS + 1])

    @property
    def minimum(self) -> float:
        """The smallest intensity."""
        return float(self.quantiles[0])

    @property
    def maximum(self) -> float:
        """The largest intensity."""
        return float(self.quantiles[-1])

    def quantile(self, share: float) -> float:
        """Give the intensity below which ``share`` (in [0, 1]) of the voxels lie.

        Args:
            share: In [0, 1].
        """
        return float(np.interp(share * STEPS, np.arange(STEPS + 1), self.quantiles))


class ChannelStatistics(NamedTuple):
    """Intensities of one channel of a case, over the regions that normalisers ask for.

    Args:
        whole: Every voxel of the (cropped) case.
        body: Voxels where some channel is not zero, holes filled; equals ``whole`` where that is all.
        foreground: Voxels of any foreground label; None where there are none or no label is known.
    """

    whole: Statistics
    body: Statistics
    foreground: Statistics | None

    @classmethod
    def of_rows(cls, rows: NDArray[np.float64]) -> "ChannelStatistics":
        """Read what a store keeps of one channel.

        Args:
            rows: Of its whole, its body and its foreground, shape ``(3, 3 + 1001)``.
        """
        whole, body, foreground = map(Statistics.of_row, rows)
        return cls(whole, body, foreground if rows[2, 0] else None)


def _parts(flat: NDArray[Any]) -> list[NDArray[Any]]:
    return [flat[start : start + PART] for start in range(0, flat.size, PART)]
