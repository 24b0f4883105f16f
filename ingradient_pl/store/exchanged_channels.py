"""Cases of which two channels look exchanged: by their intensities beside those of the other cases."""

from collections.abc import Sequence
from itertools import combinations

import numpy as np
from jaxtyping import Float

from ingradient_pl.store.statistics import ChannelStatistics

SHARES = (0.05, 0.25, 0.5, 0.75, 0.95)
SMALLEST_STD = 1e-8
FEWEST = 5
"""Cases below which nobody can tell what is usual."""

ROUGH, FARTHEST = 0.1, 10.0
"""Least spread of a number over the cases, and the farthest that one counts, in spreads."""

MISFIT, APART, BETTER = 0.8, 0.5, 0.75
"""Mean distance of a case from the others, of two channels from each other, and the share of the former that
is left once they are exchanged: what must be exceeded, exceeded and not reached for a remark."""


class ExchangeSearch:
    """Finds the cases of which two channels look like each other's in the other cases.

    Numbers that a unit of intensity does not change are compared (quantiles, the foreground's contrast), and
    how much brighter one channel is than the other; for each pair of channels the difference of both.

    Args:
        channels: Their names.
    """

    def __init__(self, channels: Sequence[str]) -> None:
        self.channels, self.found = channels, dict[str, list[list[float]]]()

    def add(self, name: str, statistics: Sequence[ChannelStatistics]) -> None:
        """Take a case.

        Args:
            name: Of the case.
            statistics: Of each of its channels.
        """
        if len(self.channels) > 1:
            self.found[name] = [_numbers(one) for one in statistics]

    def describe(self) -> list[str]:
        """Say which of the cases have two channels exchanged."""
        if len(self.found) < FEWEST:
            return []
        told, numbers = [], np.array(list(self.found.values()))
        for one, other in combinations(range(len(self.channels)), 2):
            differences = numbers[:, one] - numbers[:, other]
            told += [
                f"{name}: its channels {one} ('{self.channels[one]}') and {other} ('{self.channels[other]}') "
                "look exchanged: each has the intensities that the other one has elsewhere. Look at both "
                "files."
                for case, name in enumerate(self.found)
                if _looks_exchanged(differences, case)
            ]
        return told


def _numbers(channel: ChannelStatistics) -> list[float]:
    body, foreground = channel.body, channel.foreground
    std = max(body.std, SMALLEST_STD)
    inside = (
        (np.nan, np.nan)
        if foreground is None
        else ((foreground.mean - body.mean) / std, foreground.std / std)
    )
    shape = [(body.quantile(share) - body.mean) / std for share in SHARES]
    return [*shape, *inside, float(np.log(std)), float(np.arcsinh(body.mean / std))]


def _looks_exchanged(differences: Float[np.ndarray, "case number"], case: int) -> bool:
    """Whether the difference of two channels is as usual once its sign is changed, and not before."""
    others, mine = np.delete(differences, case, axis=0), differences[case]
    known = ~np.isnan(differences).any(axis=0)
    usual = np.median(others, axis=0)
    spread = 2 * np.median(np.abs(others - usual), axis=0) + ROUGH
    now, then, apart = (
        float(np.minimum(np.abs(one / spread), FARTHEST)[known].mean())
        for one in (mine - usual, mine + usual, 2 * usual)
    )
    return now > MISFIT and apart > APART and then < BETTER * now
