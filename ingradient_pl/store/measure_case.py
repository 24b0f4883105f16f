"""What a case's voxels tell before training: where its content is, its intensities, its classes."""

import zlib
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ingradient_pl.geometry import Box
from ingradient_pl.store.statistics import STEPS, Statistics

FEWEST, SHARE = 10_000, 0.01
"""Coordinates kept of each class: at most so many, or that share of it, whichever is more (nnU-Net's)."""

SLAB = 2**21
"""Voxels looked at at once, so that nothing of the whole volume's size is made in 64 bits."""


class Content(NamedTuple):
    """Where a case's content is.

    Args:
        box: The part that is not zero in every channel.
        body: Voxels of that part that are not zero in some channel, or enclosed by such; None if all are.
    """

    box: Box
    body: NDArray[np.bool_] | None


class Foreground(NamedTuple):
    """Where the classes are.

    Args:
        voxels: How many voxels each integer has.
        coordinates: Flat indices, ascending, of sampled voxels of each integer; those under 0, where an
            ignore label is given, are of all annotated voxels.
    """

    voxels: dict[int, int]
    coordinates: dict[int, NDArray[np.int64]]


def find_content(image: NDArray[Any]) -> Content | None:
    """Find the content of an image (channel, z, y, x), as nnU-Net's crop does; None if all is zero.

    Args:
        image: Shape (channel, z, y, x).
    """
    filled = find_filled(image)
    box = bounding_box(filled)
    if box is None:
        return None
    inside = filled[box.slices]
    body = None if inside.all() else inside | find_holes(inside, range(inside.ndim))
    return Content(box, None if body is None or body.all() else body)


def find_filled(image: NDArray[Any]) -> NDArray[np.bool_]:
    """Find the voxels of which some channel is not zero, shape (z, y, x).

    Args:
        image: Shape (channel, z, y, x).
    """
    filled: NDArray[np.bool_] = image[0] != 0
    for channel in image[1:]:
        filled |= channel != 0
    return filled


def count_labels(label: NDArray[Any]) -> NDArray[np.int64]:
    """Count the voxels of each integer of a label, from 0 to its largest.

    Args:
        label: Integers of any shape, none below 0. The answer has one entry for each of 0 to the largest.
    """
    found = np.zeros(int(label.max()) + 1 if label.size else 0, dtype=np.int64)
    for part in _slabs(label.reshape(-1)):
        found += np.bincount(part, minlength=found.size)
    return found


def find_foreground(label: NDArray[Any], ignore: int | None, name: str) -> Foreground:
    """Count the classes of a label (z, y, x) and sample voxels of each; the case's ``name`` seeds it.

    Args:
        label: Integers of the task.
        ignore: The integer that is neither foreground nor annotated; None where there is none.
        name: Of the case.
    """
    flat, counted = label.reshape(-1), count_labels(label)
    present = [value for value in np.flatnonzero(counted).tolist() if value not in (0, ignore)]
    found = {value: int(counted[value]) for value in present}
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    ranks = {value: _ranks(count, rng) for value, count in found.items()}
    annotated = flat.size - (int(counted[ignore]) if ignore is not None and ignore < counted.size else 0)
    if ignore is not None and annotated:
        ranks[0] = _ranks(annotated, rng)
    picked: dict[int, list[NDArray[np.int64]]] = {value: [] for value in ranks}
    passed = dict.fromkeys(ranks, 0)
    start = 0
    for part in _slabs(flat):
        for value, chosen in ranks.items():
            at = np.flatnonzero(part == value if value else part != ignore)
            first, last = np.searchsorted(chosen, [passed[value], passed[value] + at.size])
            picked[value].append(at[chosen[first:last] - passed[value]] + start)
            passed[value] += at.size
        start += part.size
    return Foreground(found, {value: np.concatenate(parts) for value, parts in sorted(picked.items())})


def measure_intensities(
    image: NDArray[Any], body: NDArray[np.bool_] | None, label: NDArray[Any] | None, ignore: int | None
) -> NDArray[np.float64]:
    """Measure each channel over its whole, its body and its foreground.

    Args:
        image: Shape (channel, z, y, x).
        body: Shape (z, y, x), true inside the patient; None where that is every voxel.
        label: Shape (z, y, x); None where the case has none.
        ignore: Integer of the label that is not foreground; None where there is none.

    Returns:
        Shape (channels, 3, 3 + 1001): count, mean, standard deviation, quantiles; a count of 0 for none.
    """
    table = np.zeros((len(image), 3, 3 + STEPS + 1))
    inside = None if label is None else label > 0
    if inside is not None and ignore is not None:
        inside &= label != ignore
    for channel, rows in zip(image, table, strict=True):
        rows[0] = _row(Statistics.of(channel))
        rows[1] = rows[0] if body is None else _row(Statistics.of(channel[body]))
        rows[2] = 0 if inside is None else _row(Statistics.of(channel[inside]))
    return table


def _row(found: Statistics | None) -> NDArray[np.float64] | float:
    return 0.0 if found is None else np.array([found.voxels, found.mean, found.std, *found.quantiles])


def bounding_box(filled: NDArray[np.bool_]) -> Box | None:
    """Give the smallest box that holds all that is filled; None if nothing is.

    Args:
        filled: Shape (z, y, x).
    """
    plane: NDArray[np.bool_] = np.any(filled, axis=0)
    lines: list[NDArray[np.bool_]] = [
        np.any(filled, axis=(1, 2)),
        np.any(plane, axis=1),
        np.any(plane, axis=0),
    ]
    if not lines[0].any():
        return None
    start = [int(line.argmax()) for line in lines]
    stop = [line.size - int(line[::-1].argmax()) for line in lines]
    return Box.between(start, stop)


def find_holes(filled: NDArray[np.bool_], axes: Iterable[int]) -> NDArray[np.bool_]:
    """Find what is empty and reaches no face: as scipy's binary_fill_holes, 10 to 100 times faster.

    Args:
        filled: Shape (z, y, x).
        axes: Those whose two faces are outside.
    """
    empty, count = ndimage.label(~filled)
    enclosed = np.ones(count + 1, dtype=bool)
    enclosed[0] = False
    for axis in axes:
        for end in (0, -1):
            enclosed[np.unique(empty.take(end, axis=axis))] = False
    holes: NDArray[np.bool_] = enclosed[empty]
    return holes


def _slabs(flat: NDArray[Any]) -> list[NDArray[Any]]:
    return [flat[start : start + SLAB] for start in range(0, flat.size, SLAB)]


def _ranks(count: int, rng: np.random.Generator) -> NDArray[np.int64]:
    kept = min(count, max(FEWEST, int(np.ceil(SHARE * count))))
    if kept == count:
        return np.arange(count)
    return np.sort(rng.choice(count, kept, replace=False, shuffle=False))
