"""Sliding windows over a grid: where the network looks when a whole case is predicted."""

import itertools
import math
from collections.abc import Sequence

from ingradient_pl.geometry import Box


def windows(shape: Sequence[int], patch: Sequence[int], step: float = 0.5) -> list[Box]:
    """Give the boxes that cover a grid, as few and as evenly spread as ``step`` allows.

    They are ordered by their first axis, then the second, then the third.

    Args:
        shape: Voxels of the grid, at least as many as the patch has.
        patch: Voxels of a window.
        step: Largest way from one window to the next, as a share of the patch, in (0, 1].

    Raises:
        ValueError: If the grid is smaller than a window, or ``step`` is no such share.

    >>> [box.start for box in windows((4, 4, 8), (4, 4, 4))]
    [(0, 0, 0), (0, 0, 2), (0, 0, 4)]
    """
    axes = [starts(size, length, step) for size, length in zip(shape, patch, strict=True)]
    window = Box.between((0, 0, 0), patch)
    return [window.moved(first) for first in itertools.product(*axes)]


def starts(size: int, length: int, step: float = 0.5) -> list[int]:
    """Give where windows of ``length`` voxels begin along an axis of ``size`` voxels.

    The last window ends where the axis ends; steps are rounded to voxels and never less than one.

    Args:
        size: Voxels of the axis.
        length: Voxels of a window, at most ``size``.
        step: From window to window, as a fraction of ``length`` in (0, 1]; overlap is 1 - step.

    Raises:
        ValueError: If the axis is shorter than a window, or ``step`` is not in (0, 1].

    Source: nnU-Net v2, https://github.com/MIC-DKFZ/nnUNet

    >>> starts(110, 64, 0.5)
    [0, 23, 46]
    """
    if not 0 < step <= 1:
        raise ValueError(f"The step between windows must be a share of the patch in (0, 1], got {step}.")
    if size < length:
        raise ValueError(
            f"An axis of {size} voxels is shorter than a window of {length}: pad the case first."
        )
    last = size - length
    steps = math.ceil(last / max(1.0, length * step))
    return [round(number * (last / steps)) for number in range(steps + 1)] if steps else [0]
