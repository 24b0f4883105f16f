"""How sure a mean over cases is: an interval from patients drawn anew, with replacement, many times."""

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Integer

from ingradient_pl.metrics.patients import number_groups

LEVEL = 0.95
RESAMPLES = 2000


@dataclass(frozen=True)
class Bootstrap:
    """Sets of patients drawn from those there are, as many each, the same sets for every score.

    A patient comes with all of his cases: scans of one patient are alike, and intervals from cases drawn one
    by one would be too narrow. The means are over cases, as those that they belong to.

    Args:
        times: How often each set holds each case.
        patients: How many there are. One patient tells nothing of others: all means are NaN then.
    """

    times: Integer[np.ndarray, "resample case"]
    patients: int

    @classmethod
    def of(
        cls,
        cases: int,
        rng: np.random.Generator,
        resamples: int = RESAMPLES,
        groups: Sequence[Hashable] | None = None,
    ) -> "Bootstrap":
        """Draw the sets.

        Args:
            cases: How many there are.
            rng: Where chance comes from.
            resamples: How many sets to draw.
            groups: Patient of each case; None takes each case for a patient of its own.
        """
        member = number_groups(range(cases) if groups is None else groups)
        count = int(member.max()) + 1 if cases else 0
        drawn = rng.integers(count, size=(resamples, count)) if count else np.zeros((resamples, 0), np.int64)
        times = np.zeros((resamples, count), dtype=np.int64)
        np.add.at(times, (np.arange(resamples)[:, None], drawn), 1)
        return cls(times[:, member], count)

    def means(self, values: Float[np.ndarray, "case column"]) -> Float[np.ndarray, "resample column"]:
        """Give each column's mean in each set, of what exists (is not NaN); NaN where nothing does.

        Args:
            values: Scores; NaN where one does not exist.
        """
        if self.patients == 1:
            return np.full((len(self.times), values.shape[1]), math.nan)
        finite = np.isfinite(values)
        total = self.times @ np.where(finite, values, 0.0)
        total[(self.times @ np.isposinf(values)) > 0] = math.inf
        count = self.times @ ~np.isnan(values)
        means = np.full_like(total, math.nan)
        np.divide(total, count, out=means, where=count > 0)
        return means


def interval(means: Float[np.ndarray, " resample"], level: float = LEVEL) -> tuple[float, float]:
    """Give the bounds between which a share ``level`` of the means lie; NaN where none exists.

    Args:
        means: Of each set; NaN where one does not exist.
        level: Share in (0, 1); as much is left out at either end.

    >>> interval(np.arange(1000.0))
    (25.0, 974.0)
    """
    known = np.sort(means[~np.isnan(means)])
    if not len(known):
        return math.nan, math.nan
    outside = round((1 - level) / 2 * len(known))
    return float(known[min(outside, len(known) - 1)]), float(known[max(len(known) - 1 - outside, 0)])
