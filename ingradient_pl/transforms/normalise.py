"""Normalisers: from the statistics of a whole case to four numbers a channel (low, high, mean, std)."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from typing_extensions import override

from ingradient_pl.store.statistics import STEPS, ChannelStatistics, Statistics

SMALLEST_STD = 1e-8
BRIGHTEST_RGB = 255.0


class Terms(NamedTuple):
    """Clip to [low, high], subtract mean, divide by std; after an interpolation clip to the same again.

    ``low`` and ``high`` are what the clipping makes of the case's own range: that bounds the spline's
    overshoot too.
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
        """Give the four numbers for one channel of one case.

        Args:
            statistics: Intensities of the channel over whole, body and foreground of the case.
        """
        raise NotImplementedError


@dataclass(frozen=True)
class ZScore(Normaliser):
    """Mean 0 and standard deviation 1 in each case: for MR and wherever intensities have no unit.

    Args:
        masked: Measure inside the body only, and set what lies outside to zero.
    """

    masked: bool = False

    @override
    def terms(self, statistics: ChannelStatistics) -> Terms:
        region = statistics.body if self.masked else statistics.whole
        return Terms(region.minimum, region.maximum, region.mean, max(region.std, SMALLEST_STD))


@dataclass(frozen=True)
class CT(Normaliser):
    """One clipping and one scale for the whole data set, since Hounsfield units mean the same everywhere.

    Args:
        low: Intensities below become this; nnU-Net's is the 0.5th percentile of all foreground.
        high: Intensities above become this; the 99.5th percentile.
        mean: Mean of all foreground, subtracted.
        std: Its standard deviation, divided by.

    Raises:
        ValueError: If ``low`` is above ``high`` or ``std`` negative.
    """

    low: float
    high: float
    mean: float
    std: float

    def __post_init__(self) -> None:
        if not (self.low <= self.high and self.std >= 0):
            raise ValueError(
                "CT normalisation needs low <= high and a standard deviation that is not negative; "
                f"got low={self.low}, high={self.high}, std={self.std}. Take all four from one fingerprint."
            )

    @override
    def terms(self, statistics: ChannelStatistics) -> Terms:
        whole = statistics.whole
        low, high = (float(min(max(end, self.low), self.high)) for end in (whole.minimum, whole.maximum))
        return Terms(low, high, float(self.mean), max(float(self.std), SMALLEST_STD))


@dataclass(frozen=True)
class PercentileZScore(Normaliser):
    """Clip each case at two of its own percentiles, then z-score what came out.

    Mean and deviation after the clipping are those of the stored quantiles, taken as a line between each
    other: exact to a thousandth of the case's voxels.

    Args:
        low_share: Share of the voxels, in [0, 1], that are raised to one value.
        high_share: Share from which on they are lowered to one value.
        masked: Measure inside the body only, and set what lies outside to zero.

    Raises:
        ValueError: If the shares are not ascending within [0, 1].
    """

    low_share: float = 0.05
    high_share: float = 0.95
    masked: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.low_share < self.high_share <= 1:
            raise ValueError(
                "Percentile clipping needs 0 <= low_share < high_share <= 1; got "
                f"low_share={self.low_share}, high_share={self.high_share}. Percentages? Divide them by 100."
            )

    @override
    def terms(self, statistics: ChannelStatistics) -> Terms:
        region = statistics.body if self.masked else statistics.whole
        low, high = region.quantile(self.low_share), region.quantile(self.high_share)
        mean, std = _clipped_moments(region, self.low_share, self.high_share)
        return Terms(low, high, mean, max(std, SMALLEST_STD))


@dataclass(frozen=True)
class MinMax01(Normaliser):
    """Each case from 0 (its darkest voxel) to 1 (its brightest)."""

    @override
    def terms(self, statistics: ChannelStatistics) -> Terms:
        low, high = statistics.whole.minimum, statistics.whole.maximum
        return Terms(low, high, low, max(high - low, SMALLEST_STD))


@dataclass(frozen=True)
class RGB01(Normaliser):
    """Colours of one byte, divided by 255."""

    @override
    def terms(self, statistics: ChannelStatistics) -> Terms:
        return Terms(statistics.whole.minimum, statistics.whole.maximum, 0.0, BRIGHTEST_RGB)


@dataclass(frozen=True)
class NoNormalisation(Normaliser):
    """Intensities as they come."""

    @override
    def terms(self, statistics: ChannelStatistics) -> Terms:
        return Terms(statistics.whole.minimum, statistics.whole.maximum, 0.0, 1.0)


def _clipped_moments(region: Statistics, low_share: float, high_share: float) -> tuple[float, float]:
    """Mean and deviation of a region clipped at two shares, its quantile function taken as straight lines."""
    shares = np.linspace(0, 1, STEPS + 1)
    knots = np.unique(np.concatenate([shares, [low_share, high_share]]))
    values = np.interp(np.clip(knots, low_share, high_share), shares, region.quantiles)
    width, start, stop = np.diff(knots), values[:-1], values[1:]
    mean = float(width @ (start + stop)) / 2
    from_mean, to_mean = start - mean, stop - mean
    variance = float(width @ (from_mean**2 + from_mean * to_mean + to_mean**2)) / 3
    return mean, max(variance, 0.0) ** 0.5
