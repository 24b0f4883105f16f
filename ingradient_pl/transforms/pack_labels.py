"""How the labels of a group of patches are numbered where few are told apart, and the arrays that say so."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ingradient_pl.transforms.labels import TIE
from ingradient_pl.transforms.pack_turned import Add

MOST_CLASSES = 16
"""Labels told apart by one channel each; more are told apart by their neighbours' votes."""
NEAREST, MANY, LINEAR = 0, -1, -2
"""How integers are interpolated where they are not few classes, and floating numbers where axes move."""
OUTSIDE = 2.0
"""Weight of being outside the case, where the nearest voxel is: more than all labels together."""


def number_few(labels: list[NDArray[Any]], label_dtype: Any) -> tuple[list[NDArray[Any]], int, list[int]]:
    """Number the labels that occur from 0 where they are few; else leave them.

    Args:
        labels: Of each patch, shape (z, y, x).
        label_dtype: NumPy's type of integers that holds all labels of the batch.

    Returns:
        The labels; how many classes there are, or ``MANY``; the integer of each class, empty where they are
        numbered already.
    """
    least, most = min(int(label.min()) for label in labels), max(int(label.max()) for label in labels)
    if least >= 0 and most < MOST_CLASSES:
        return labels, most + 1, []
    values = np.unique(np.concatenate([np.zeros(1, label_dtype), *map(np.unique, labels)]))
    if len(values) > MOST_CLASSES:
        return labels, MANY, []
    return [np.searchsorted(values, label).astype(np.uint8) for label in labels], len(values), values.tolist()


def add_classes(add: Add, prefix: str, vote: int, dtype: Any, named: NDArray[Any], *, outside: bool) -> None:
    """Add the numbers of few classes, and the integers that they stand for.

    Args:
        add: Gives an array its place, by name.
        prefix: Of the arrays' names.
        vote: How many classes there are; nothing is added for ``NEAREST``, ``MANY`` or ``LINEAR``.
        dtype: Of the numbered volumes.
        named: The integer of each class, shape ``(vote,)``.
        outside: Whether class 0 stands for being outside the case, as where patches are turned.
    """
    if vote <= 0:
        return
    if not outside:
        add(f"{prefix}classes", np.arange(vote).astype(dtype))
        if not np.array_equal(named, np.arange(vote)):
            add(f"{prefix}values", named)
        return
    add(f"{prefix}classes", np.arange(vote + 1).astype(dtype))
    add(f"{prefix}values", np.concatenate([np.zeros(1, named.dtype), named]))
    add(f"{prefix}bonus", np.array([OUTSIDE, *[TIE] * vote], np.float32))
