"""A normaliser: a frozen dataclass that makes four numbers of a channel's statistics."""

from dataclasses import dataclass

from ingradient_pl.transforms import Normaliser
from ingradient_pl.transforms.normalise import Terms


@dataclass(frozen=True)
class Median(Normaliser):
    """Subtract the median, divide by the standard deviation.

    Args:
        masked: Measure inside the body only, and set what lies outside to zero.
    """

    masked: bool = False

    def terms(self, statistics):
        """Take statistics over whole, body and foreground of a case; give what clips, shifts and scales."""
        region = statistics.body if self.masked else statistics.whole
        median = region.quantiles[len(region.quantiles) // 2]
        return Terms(region.minimum, region.maximum, float(median), max(region.std, 1e-8))
