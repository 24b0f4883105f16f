"""Where each integer of two label maps lies, so that a measure looks at no more voxels than it must."""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Integer
from scipy import ndimage

Box = tuple[slice, slice, slice]
NOWHERE: Box = (slice(0, 1),) * 3
"""A voxel stands for the box of what is nowhere: measures need an array."""


def shared_boxes(
    one: Integer[np.ndarray, "z y x"], other: Integer[np.ndarray, "z y x"]
) -> dict[int, list[Box]]:
    """Find, in one pass over each map, the smallest box of every integer above 0.

    Args:
        one: Integers, 0 and above.
        other: The same on the same voxels.
    """
    boxes: dict[int, list[Box]] = {}
    for array in (one, other):
        for value, box in enumerate(ndimage.find_objects(array), 1):
            if box is not None:
                boxes.setdefault(value, []).append(box)
    return boxes


def box_of(values: Sequence[int], boxes: Mapping[int, Sequence[Box]]) -> Box:
    """Give the smallest box that holds all the integers in both maps; one voxel where there is none.

    Args:
        values: Integers of a label or region.
        boxes: As :func:`shared_boxes` gave them.

    >>> box_of([1], {1: [(slice(1, 2), slice(0, 3), slice(4, 5)), (slice(3, 4), slice(2, 9), slice(4, 5))]})
    (slice(1, 4, None), slice(0, 9, None), slice(4, 5, None))
    """
    found = [box for value in values for box in boxes.get(value, ())]
    if not found:
        return NOWHERE
    z, y, x = (
        slice(min(part.start for part in axis), max(part.stop for part in axis))
        for axis in zip(*found, strict=True)
    )
    return z, y, x


def widen_thin(box: Box, shape: Sequence[int]) -> Box:
    """Take in a neighbouring slice along each axis on which a box, but not the image, is one voxel thick.

    So a measure can tell a single slice (2D), which has no surface above and below, from a flat object in a
    volume, which has.

    Args:
        box: Of a label.
        shape: Voxels of the whole image (z, y, x).

    >>> widen_thin((slice(4, 5), slice(0, 1), slice(2, 9)), (5, 1, 20))
    (slice(3, 5, None), slice(0, 1, None), slice(2, 9, None))
    """
    z, y, x = (_widen(part, count) for part, count in zip(box, shape, strict=True))
    return z, y, x


def _widen(part: slice, count: int) -> slice:
    if part.stop - part.start > 1 or count == 1:
        return part
    return slice(part.start - 1, part.stop) if part.start else slice(0, 2)
