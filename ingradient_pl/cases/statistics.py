"""Intensity statistics of a whole case by channel: what normalisers and planners are made from."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

STEPS = 1000
"""Quantiles are kept at 0, 1/1000, ..., 1: a percentile with one decimal is read off exactly."""


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
    def of(cls, values: NDArray[np.generic]) -> "Statistics | None":
        """Measure ``values`` (any shape); None where there are none."""
        if not values.size:
            return None
        flat = np.asarray(values, dtype=np.float64).ravel()
        quantiles = np.quantile(flat, np.linspace(0, 1, STEPS + 1))
        return cls(flat.size, float(flat.mean()), float(flat.std()), quantiles)

    @property
    def minimum(self) -> float:
        """The smallest intensity."""
        return float(self.quantiles[0])

    @property
    def maximum(self) -> float:
        """The largest intensity."""
        return float(self.quantiles[-1])

    def quantile(self, share: float) -> float:
        """Give the intensity below which ``share`` (in [0, 1]) of the voxels lie."""
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
