"""Whether the values of a CT can be Hounsfield units (not scaled, not wrapped), and whether others are."""

import re
from collections.abc import Sequence
from statistics import median

from ingradient_pl.store.statistics import ChannelStatistics

HOUNSFIELD = "ct"
"""Name of a channel that is normalised as Hounsfield units, in small letters."""
LIKE_CT = re.compile(r"\bct\b|ct$|^ct|cbct|tomography|hounsfield|\bhu\b", re.IGNORECASE)
"""Names that seem to say the same."""
AIR = (-3100.0, -900.0)
"""Where the smallest value of a CT lies: air, or what a scanner writes outside of its circle."""
NARROW = 30
"""Difference of the largest and smallest value below which a CT was scaled."""
WRAPPED = 20_000
"""Values above which a CT without negative ones holds those as unsigned numbers."""


def describe_hounsfield(channel: str, low: float, high: float) -> list[str]:
    """Say why the values of a CT cannot be Hounsfield units, where air is -1000 and water 0.

    Args:
        channel: Name of the channel; one that is not ``CT`` may hold anything.
        low: The smallest value.
        high: The largest.
    """
    if channel.strip().lower() != HOUNSFIELD:
        return []
    if high - low < NARROW:
        return [
            f"its values run from {low:g} to {high:g}, so they are not Hounsfield units. Was it scaled? Name "
            "the channel otherwise than CT, or save the values of the scanner."
        ]
    if low >= 0 and high > WRAPPED:
        return [
            f"its values run from {low:g} to {high:g}: negative Hounsfield units were saved as unsigned "
            "numbers, so that air is brighter than bone. Save it as int16."
        ]
    if low >= 0:
        return [
            f"its values run from {low:g} to {high:g}, none below 0, where air has -1000 Hounsfield units. "
            "Is an intercept of -1024 missing?"
        ]
    return []


class HounsfieldSearch:
    """Finds channels that hold Hounsfield units and are not normalised as such, since they are not called CT.

    Args:
        channels: Their names.
    """

    def __init__(self, channels: Sequence[str]) -> None:
        self.channels, self.lowest = channels, [list[float]() for _ in channels]

    def add(self, name: str, statistics: Sequence[ChannelStatistics]) -> None:
        """Take a case.

        Args:
            name: Of the case.
            statistics: Of each of its channels.
        """
        for lowest, channel in zip(self.lowest, statistics, strict=True):
            lowest.append(channel.body.minimum)

    def describe(self) -> list[str]:
        """Say which channels look like a CT though their names say something else, or nothing."""
        return [
            f"the channel '{name}' begins at {median(lowest):g}, as Hounsfield units do, and is normalised "
            "by each case's own mean and deviation: only the name 'CT' means Hounsfield units. For a CT "
            f'write "channel_names": {{"{at}": "CT"}} into dataset.json (of a table: beside it), and prepare '
            "into another folder."
            for at, (name, lowest) in enumerate(zip(self.channels, self.lowest, strict=True))
            if lowest and AIR[0] <= median(lowest) <= AIR[1] and not LIKE_CT.search(name)
        ]
