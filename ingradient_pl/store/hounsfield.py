"""Whether the values of a CT can be Hounsfield units: not scaled, not wrapped, no intercept missing."""

HOUNSFIELD = "ct"
"""Name of a channel that is normalised as Hounsfield units, in small letters."""
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
