"""Intensities of a data set, pooled over its cases, and the normaliser that each channel's name asks for."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ingradient_pl.store.statistics import STEPS, Statistics
from ingradient_pl.transforms.normalise import CT, RGB01, MinMax01, NoNormalisation, Normaliser, ZScore

LOW_SHARE, HIGH_SHARE = 0.005, 0.995


class Intensities(NamedTuple):
    """Foreground intensities of one channel over a data set in which every case weighs the same.

    Args:
        mean: Their mean.
        std: Their standard deviation.
        median: Half of them lie below.
        minimum: The smallest.
        maximum: The largest.
        low: The 0.5th percentile.
        high: The 99.5th percentile.
    """

    mean: float
    std: float
    median: float
    minimum: float
    maximum: float
    low: float
    high: float

    @classmethod
    def pool(cls, cases: Sequence[Statistics]) -> "Intensities | None":
        """Pool the foreground of ``cases``, as if equally many voxels were drawn from each; None of none.

        Mean and deviation are exact. Percentiles come from the cases' tables of quantiles: each entry
        stands for a thousandth of its case, the two ends for half of that.

        Args:
            cases: Statistics of the foreground of one channel, of each case that has any.
        """
        if not cases:
            return None
        means, stds = np.array([case.mean for case in cases]), np.array([case.std for case in cases])
        mean = float(means.mean())
        variance = float((stds**2 + (means - mean) ** 2).mean())
        values = np.concatenate([case.quantiles for case in cases])
        weights = np.tile(np.r_[0.5, np.ones(STEPS - 1), 0.5], len(cases))
        order = np.argsort(values, kind="stable")
        shares = (np.cumsum(weights[order]) - weights[order] / 2) / weights.sum()
        low, median, high = np.interp([LOW_SHARE, 0.5, HIGH_SHARE], shares, values[order])
        ends = values[order[0]], values[order[-1]]
        return cls(
            mean, variance**0.5, float(median), float(ends[0]), float(ends[1]), float(low), float(high)
        )


def normaliser(channel: str, intensities: Intensities | None, *, masked: bool) -> Normaliser:
    """Give the normaliser that nnU-Net takes for a channel of this name.

    Args:
        channel: ``CT``, ``noNorm``, ``rescale_to_0_1`` or ``rgb_to_0_1``, in capitals or not; any other name
            (``MRI``, ``T1``, ``zscore``) takes a z-score.
        intensities: Of the channel's foreground; CT needs them.
        masked: Whether a z-score looks at the inside of the body only.

    Raises:
        ValueError: If a CT channel has no foreground to be measured.
    """
    name = channel.strip().casefold()
    if name == "ct":
        return _ct(channel, intensities)
    plain = {"nonorm": NoNormalisation, "rescale_to_0_1": MinMax01, "rgb_to_0_1": RGB01}
    return plain[name]() if name in plain else ZScore(masked=masked)


def _ct(channel: str, intensities: Intensities | None) -> CT:
    if intensities is None:
        raise ValueError(
            f"Channel '{channel}' is normalised by the foreground of the data set, and no case has any. "
            "Give the cases labels, or call the channel otherwise (any other name takes a z-score)."
        )
    return CT(intensities.low, intensities.high, intensities.mean, intensities.std)
