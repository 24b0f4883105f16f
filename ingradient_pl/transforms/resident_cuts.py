"""Patches cut out of cases in a device's memory: where their voxels lie is worked out on the host."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Shaped
from numpy.typing import NDArray
from torch import Tensor

from ingradient_pl.geometry import Box
from ingradient_pl.transforms.pack_turned import Add
from ingradient_pl.transforms.resident_cases import ResidentLayout


def add_cuts(
    add: Add, prefix: str, layout: ResidentLayout, boxes: Sequence[tuple[str, Box]], size: Sequence[int]
) -> None:
    """Add where in memory the voxels of boxes lie, axis by axis; beyond a box its last voxel is taken.

    Args:
        add: Gives an array its place, by name.
        prefix: Of the names.
        layout: Where the cases lie.
        boxes: Of each patch, with the name of its case.
        size: Voxels of the largest box, on which all are laid.
    """
    tables = [np.zeros((len(boxes), count), np.int64) for count in size]
    masks = [np.zeros((len(boxes), count), bool) for count in size]
    for place, (name, box) in enumerate(boxes):
        _, y, x = layout.shapes[name]
        for axis, step in enumerate((y * x, x, 1)):
            at = np.minimum(np.arange(size[axis]), box.shape[axis] - 1) + box.start[axis]
            tables[axis][place] = at * step
            masks[axis][place] = np.arange(size[axis]) < box.shape[axis]
    starts = np.array([layout.starts[name] for name, _ in boxes])[:, None, None]
    add(f"{prefix}_zy", starts + tables[0][:, :, None] + tables[1][:, None, :])
    add(f"{prefix}_x", tables[2])
    if not all(mask.all() for mask in masks):
        add(f"{prefix}_in_zy", (masks[0][:, :, None] & masks[1][:, None, :])[..., None])
        add(f"{prefix}_in_x", masks[2][:, None, None, :])


def first_voxels(layout: ResidentLayout, boxes: Sequence[tuple[str, Box | None]]) -> NDArray[np.int64]:
    """Give where in memory the first voxel of each box lies, shape ``(boxes, 1)``.

    Args:
        layout: What lies where.
        boxes: Each with the name of its case; None is the case's first voxel.
    """
    first = np.zeros((len(boxes), 1), np.int64)
    for row, (name, box) in zip(first, boxes, strict=True):
        _, y, x = layout.shapes[name]
        start = (0, 0, 0) if box is None else box.start
        row[:] = layout.starts[name] + (start[0] * y + start[1]) * x + start[2]
    return first


def add_channels(add: Add, layout: ResidentLayout, names: Sequence[str]) -> None:
    """Add how much further each channel of an image lies than the label, where there are several.

    Args:
        add: Gives an array its place, by name.
        layout: What lies where.
        names: The case of each patch.
    """
    if layout.channels > 1:
        starts = np.array([layout.starts[name] for name in names])[:, None]
        counts = np.array([np.prod(layout.shapes[name], dtype=np.int64) for name in names])[:, None]
        further = starts * (layout.channels - 1) + counts * np.arange(layout.channels)
        add("channel_start", further[..., None, None, None])


def cut(
    voxels: Shaped[Tensor, " voxel"], rows: Tensor, columns: Tensor, channels: Tensor | None = None
) -> Shaped[Tensor, "*_"]:
    """Cut boxes of all patches out of memory.

    Args:
        voxels: All cases.
        rows: Where in memory each row (patch, z, y) begins.
        columns: How much further each voxel (patch, x) of a row lies.
        channels: How much further each channel lies; None for what has none, or an image of one.
    """
    index = rows[..., None] + columns[:, None, None]
    return voxels[index if channels is None else index[:, None] + channels]
