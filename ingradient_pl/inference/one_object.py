"""Labels that are one object: one piece of each is kept, best one connected to what was annotated."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Integer, UInt

from ingradient_pl.metrics.lesions import components

COMPARABLE = 0.25
"""How large, beside the largest, a piece must be to be taken for being connected to what was annotated."""


def keep_one_object(
    found: UInt[np.ndarray, "z y x"], label: Integer[np.ndarray, "z y x"], values: Sequence[int]
) -> UInt[np.ndarray, "z y x"]:
    """Keep one piece of each label that is one object; the others become background.

    It is the largest of the pieces that are connected, by whatever was found, to what was annotated, unless
    another piece is more than four times as large: far from all that is known a false one can be the largest.

    Args:
        found: Integers of what nobody annotated.
        label: Of what was annotated, 0 elsewhere.
        values: Integers of labels that are one object.
    """
    kept = found.copy()
    together = components((found > 0) | (label > 0)).numbers
    main = int(np.bincount(together[label > 0]).argmax()) if label.any() else -1
    for value in values:
        numbers, sizes = components(found == value)
        if len(sizes) > 1:
            first = np.unique(numbers, return_index=True)[1][1:]
            near = together.ravel()[first] == main
            close = np.where(near, sizes, 0)
            chosen = close if close.max() >= COMPARABLE * sizes.max() else sizes
            kept[(numbers > 0) & (numbers != chosen.argmax() + 1)] = 0
    return kept
