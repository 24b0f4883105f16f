"""Histograms of intensities from the quantiles that a store keeps of each case."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from ingradient_pl.store.statistics import STEPS, Statistics

BINS = 160
"""Of a histogram, at most."""
INTEGERS = 0.9
"""Share of quantiles that are integers from which an image counts as one of integers."""


def bin_edges(statistics: Sequence[Statistics], low: float, high: float) -> Float[np.ndarray, " n"]:
    """Give bins of equal width from ``low`` to ``high``, both within: of integers each holds equally many.

    Args:
        statistics: Of the cases.
        low: The smallest intensity that is shown.
        high: The largest.
    """
    values = np.concatenate([one.quantiles for one in statistics])
    if np.mean(values == np.round(values)) < INTEGERS:
        return np.linspace(np.nextafter(low, -np.inf), high, BINS + 1)
    width = max(1.0, np.ceil((high - low) / BINS))
    return np.arange(np.floor(low) - 0.5, high + width, width)


def bin_shares(statistics: Sequence[Statistics], edges: Float[np.ndarray, " n"]) -> list[float]:
    """Give the share of the voxels in each bin, the mean over cases.

    Args:
        statistics: Of the cases.
        edges: Of the bins.
    """
    shares = np.linspace(0, 1, STEPS + 1)
    total: NDArray[np.float64] = np.zeros(len(edges) - 1)
    for one in statistics:
        below = np.interp(edges, one.quantiles, shares, left=0.0, right=1.0)
        total += np.diff(below)
    mean: list[float] = (total / len(statistics)).tolist()
    return mean
