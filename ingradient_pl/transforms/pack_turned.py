"""Where turned and bent patches of a batch are read, as sums of what each axis adds; on the host."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ingradient_pl.geometry import AXES, Voxels
from ingradient_pl.transforms.patch import Displacements, ObliqueSampling, Patch, PlaneSampling

Add = Callable[[str, NDArray[Any]], None]
NAMES = ("z", "y", "x")
SMALL = 1 << 18
"""Voxels of a mask up to which the host makes it."""


def add_grid(add: Add, patches: Sequence[Patch], box: Sequence[int], shape: Voxels) -> None:
    """Add where each voxel wanted is read, in the terms of ``grid_sample`` over the batch's largest box.

    A place is the sum of what z, y and x add (y and x, where patches are turned within slices); beside it go
    the places of the first and last voxel of each patch, between which labels are interpolated.

    Args:
        add: Gives an array its place, by name.
        patches: Turned all alike: within slices, or in space.
        box: Voxels of the largest box, on which all are laid.
        shape: Voxels wanted.
    """
    matrices = np.stack([_turn(patch).matrix.double().numpy() for patch in patches])
    axes = matrices.shape[1]
    counts = np.array([patch.image.shape[:0:-1][:axes] for patch in patches], np.float64)  # (x, y, z)
    sizes = np.array(box[::-1][:axes], np.float64)
    share = counts / sizes
    for dim in range(AXES - axes, AXES):
        count, column = shape[dim], AXES - 1 - dim
        centres = (np.arange(count) * 2 + 1) / count - 1
        term = (matrices[:, :, column] * share)[..., None] * centres
        if dim == AXES - axes:
            term = term + ((matrices[:, :, axes] + 1) * share - 1)[..., None]
        view = [count if other == dim else 1 for other in range(AXES - axes, AXES)]
        add(f"grid_{NAMES[dim]}", term.reshape(len(patches), axes, *view).astype(np.float32))
    ends = [np.broadcast_to(1 / sizes - 1, counts.shape), (2 * counts - 1) / sizes - 1]
    for name, end in zip(("first", "last"), ends, strict=True):
        add(name, end.reshape(len(patches), axes, *[1] * axes).astype(np.float32))


def add_mask(add: Add, z: NDArray[np.bool_], y: NDArray[np.bool_], x: NDArray[np.bool_]) -> None:
    """Add a mask as two arrays that broadcast, or as one where it is small; none where it is true all over.

    Args:
        add: Gives an array its place, by name.
        z: Shape (patch, z), true where a voxel counts along z.
        y: Shape (patch, y), the same along y.
        x: Shape (patch, x), the same along x.
    """
    if z.all() and y.all() and x.all():
        return
    rows = (z[:, :, None] & y[:, None, :])[:, None, ..., None]
    columns = x[:, None, None, None, :]
    if rows.size * x.shape[1] <= SMALL:
        add("inside", rows & columns)
        return
    add("inside_zy", rows)
    add("inside_x", columns)


def add_averages(add: Add, patches: Sequence[Patch], box: Sequence[int]) -> None:
    """Add the matrices by which axes that shrink by much are averaged; the others stay as they are.

    Args:
        add: Gives an array its place, by name.
        patches: Of one group.
        box: Largest voxels (z, y, x) of their images.
    """
    for back in range(1, len(_turn(patches[0]).averages) + 1):
        averages = [_turn(patch).averages[-back] for patch in patches]
        if all(average is None for average in averages):
            continue
        size = box[-back]
        rows = np.zeros((len(patches), size, size), np.float32)
        for entry, patch, average in zip(rows, patches, averages, strict=True):
            count = patch.image.shape[-back]
            entry[:count, :count] = np.eye(count) if average is None else average.numpy()
        add(f"average_{NAMES[-back]}", rows)


def add_displacements(add: Add, patches: Sequence[Patch], box: Sequence[int], shape: Voxels) -> None:
    """Add the displacements of knots of patches that are bent, none for those that are not.

    Args:
        add: Gives an array its place, by name.
        patches: Of one group.
        box: Largest voxels (z, y, x) of their images.
        shape: Voxels (z, y, x) wanted.
    """
    ways = [way.elastic for patch in patches if isinstance(way := patch.sampling, ObliqueSampling)]
    bent = [way for way in ways if way is not None]
    if not bent:
        return
    most = np.max([way.knots.shape[1:] for way in bent], axis=0)
    knots = np.zeros((len(patches), AXES, *most), np.float32)
    for entry, bend, patch in zip(knots, ways, patches, strict=True):
        if bend is not None:
            z, y, x = bend.knots.shape[1:]
            share = np.array(patch.image.shape[:0:-1], np.float64) / np.array(box[::-1])
            entry[:, :z, :y, :x] = bend.knots.numpy() * share[:, None, None, None]
    add("knots", knots)
    for axis, count in enumerate(shape):
        rows = np.zeros((len(patches), count, most[axis]), np.float32)
        _fill(rows, ways, axis)
        add(f"knot_rows_{NAMES[axis]}", rows)


def _fill(rows: NDArray[np.float32], ways: Sequence[Displacements | None], axis: int) -> None:
    for entry, way in zip(rows, ways, strict=True):
        if way is not None:
            found: torch.Tensor = way.rows[axis]
            entry[:, : found.shape[1]] = found.numpy()


def _turn(patch: Patch) -> PlaneSampling | ObliqueSampling:
    if not isinstance(patch.sampling, PlaneSampling | ObliqueSampling):
        raise TypeError(f"A patch that is turned has a matrix; got {type(patch.sampling).__name__}.")
    return patch.sampling
