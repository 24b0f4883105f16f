"""Scores of labels that a reference does not tell: left unknown."""

import math
from collections.abc import Collection, Hashable, Mapping
from typing import TypeVar

L = TypeVar("L", bound=Hashable)


def leave_unannotated(
    scores: Mapping[L, Mapping[str, float]], names: Mapping[L, str], annotated: Collection[str] | None
) -> dict[L, dict[str, float]]:
    """Give the scores of a case, unknown (NaN) for labels that its reference does not tell.

    Args:
        scores: By label.
        names: Of the labels.
        annotated: Names of those that somebody annotated in the reference; None where all were.

    >>> leave_unannotated({1: {"Dice": 0.9}, 2: {"Dice": 0.0}}, {1: "liver", 2: "spleen"}, ["liver"])
    {1: {'Dice': 0.9}, 2: {'Dice': nan}}
    """
    told = {label for label in scores if annotated is None or names[label] in annotated}
    return {
        label: dict(numbers) if label in told else dict.fromkeys(numbers, math.nan)
        for label, numbers in scores.items()
    }
