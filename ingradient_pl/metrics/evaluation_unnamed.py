"""Integers that two label maps hold and no label names: a score that silently leaves them out misleads."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Integer
from numpy.typing import NDArray

from ingradient_pl.phrases import name_some
from ingradient_pl.task import Task

Unnamed = tuple[tuple[int, ...], tuple[int, ...]]
"""Integers of a prediction, and of its reference, that the task does not name."""


def integers_of(array: NDArray[np.integer]) -> NDArray[np.integer]:
    """Give the integers that occur in an array, ascending.

    Args:
        array: Of any shape, nothing below 0. The answer has one entry for each integer.

    >>> integers_of(np.array([[3, 0], [3, 1]], np.uint8)).tolist()
    [0, 1, 3]
    """
    if array.dtype.itemsize == 1:
        return np.flatnonzero(np.bincount(array.reshape(-1).view(np.uint8), minlength=1))
    return np.unique(array)


def unnamed_values(
    prediction: Integer[np.ndarray, "z y x"], reference: Integer[np.ndarray, "z y x"], task: Task
) -> Unnamed:
    """Give the integers of a prediction, and of its reference, that a task does not name.

    Args:
        prediction: Integers of a segmentation.
        reference: Integers of its label.
        task: What they should mean.
    """
    named = set(task.values)
    one, two = (
        tuple(sorted({int(value) for value in integers_of(array)} - named))
        for array in (prediction, reference)
    )
    return one, two


def describe_unnamed(cases: Sequence[tuple[str, Unnamed]]) -> list[str]:
    """Say which integers nobody named, a line for each.

    Args:
        cases: Name of each case, and what it holds beside the task's integers.
    """
    told = []
    for place, what in enumerate(("predictions", "references")):
        names: dict[int, list[str]] = {}
        for case, unnamed in cases:
            for value in unnamed[place]:
                names.setdefault(value, []).append(case)
        told += [
            f"{len(held)} of the {what} hold the integer {value}, which has no name among the task's labels "
            f"({name_some(held)}): it counts as background. Name it in dataset.json, or correct the files."
            for value, held in sorted(names.items())
        ]
    return told
