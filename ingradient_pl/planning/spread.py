"""Between what the intensities of a data set's cases lie: what images to predict are held against."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ingradient_pl.store.statistics import Statistics
from ingradient_pl.transforms.normalise import SMALLEST_STD

SHARES = (0.05, 0.25, 0.5, 0.75, 0.95)
"""Quantiles by which an image to predict is held against those that were planned for."""


class Spread(NamedTuple):
    """Between what the cases' intensities of one channel lie, for images to predict to be held against.

    Args:
        shape: Least and greatest of each quantile (``SHARES``) in standard deviations from the mean.
        values: Least of the lowest quantiles and greatest of the highest, in units of the channel.
    """

    shape: tuple[tuple[float, ...], tuple[float, ...]]
    values: tuple[float, float]

    @classmethod
    def of(cls, cases: Sequence[Statistics]) -> "Spread":
        """Find the spread over cases.

        Args:
            cases: Statistics of the body, of each case; at least one.
        """
        shapes = np.round([standardise(case) for case in cases], 3)
        ends = [(case.quantile(SHARES[0]), case.quantile(SHARES[-1])) for case in cases]
        least, greatest = (tuple(one.tolist()) for one in (shapes.min(axis=0), shapes.max(axis=0)))
        return cls((least, greatest), (min(low for low, _ in ends), max(high for _, high in ends)))


def standardise(case: Statistics) -> list[float]:
    """Give the quantiles ``SHARES`` of a case in standard deviations from its mean.

    Args:
        case: Of a channel's body.
    """
    return [(case.quantile(share) - case.mean) / max(case.std, SMALLEST_STD) for share in SHARES]
