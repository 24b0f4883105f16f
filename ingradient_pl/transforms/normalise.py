"""Normalisers: from the statistics of a whole case to four numbers a channel (low, high, mean, std)."""

from typing import NamedTuple

from ingradient_pl.cases.statistics import ChannelStatistics

SMALLEST_STD = 1e-8


class Terms(NamedTuple):
    """Clip to [low, high], subtract mean, divide by std; after an interpolation clip to the same again.

    ``low`` and ``high`` never lie outside the case's own range: that bounds the spline's overshoot too.
    """

    low: float
    high: float
    mean: float
    std: float


class Normaliser:
    """What every normaliser is: a frozen dataclass of settings with two answers."""

    masked: bool = False
    """Whether voxels outside the body are left out and set to zero."""

    def terms(self, statistics: ChannelStatistics) -> Terms:
        """Give the four numbers for one channel of one case."""
        raise NotImplementedError
