"""Whole cases kept in a device's memory, from which the patches of a batch are cut there."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Integer, Num, Shaped
from numpy.typing import NDArray
from torch import Tensor

from ingradient_pl.geometry import Box, Voxels
from ingradient_pl.short_repr import short_repr


class ResidentLayout(NamedTuple):
    """Where cases lie in a device's memory: all that a host needs to know to have patches cut there.

    Args:
        starts: First voxel of each case, by name, all cases one after the other.
        shapes: Voxels of each case along (z, y, x).
        channels: Of every image.
        dtype: Of the images.
        label_dtype: Of the labels.
        classes: One more than the largest label.
        has_bodies: Whether bodies are kept.
    """

    starts: dict[str, int]
    shapes: dict[str, Voxels]
    channels: int
    dtype: torch.dtype
    label_dtype: torch.dtype
    classes: int
    has_bodies: bool

    def __repr__(self) -> str:
        return short_repr(self)

    @property
    def voxels(self) -> int:
        """Of all cases together."""
        return sum(int(np.prod(shape, dtype=np.int64)) for shape in self.shapes.values())

    @property
    def size(self) -> int:
        """Bytes of device memory."""
        each = self.channels * self.dtype.itemsize + self.label_dtype.itemsize + int(self.has_bodies)
        return self.voxels * each


class ResidentCases(NamedTuple):
    """Cases in a device's memory, one after the other.

    Args:
        layout: Where each lies.
        images: Native intensities; of each case (channel, z, y, x).
        labels: Integers of the task; of each case (z, y, x).
        bodies: Voxels inside the patient; None where no normaliser asks.
    """

    layout: ResidentLayout
    images: Num[Tensor, " voxel"]
    labels: Integer[Tensor, " voxel"]
    bodies: Bool[Tensor, " voxel"] | None

    def __repr__(self) -> str:
        return short_repr(self)

    @classmethod
    def empty(cls, layout: ResidentLayout, device: torch.device) -> "ResidentCases":
        """Take the memory that a layout needs.

        Args:
            layout: What lies where.
            device: Where the memory is taken.
        """
        count = layout.voxels
        bodies = torch.ones(count, dtype=torch.bool, device=device) if layout.has_bodies else None
        return cls(
            layout,
            torch.empty(count * layout.channels, dtype=layout.dtype, device=device),
            torch.empty(count, dtype=layout.label_dtype, device=device),
            bodies,
        )

    def fill(self, name: str, image: Tensor, label: Tensor, body: Tensor | None) -> None:
        """Put a case in its place; without a body every voxel is inside.

        Args:
            name: Of the case.
            image: Shape (channel, z, y, x).
            label: Shape (z, y, x).
            body: Shape (z, y, x), true inside the patient; None where that is every voxel.
        """
        start, channels = self.layout.starts[name], self.layout.channels
        count = label.numel()
        self.images[start * channels : (start + count) * channels].copy_(image.reshape(-1))
        self.labels[start : start + count].copy_(label.reshape(-1))
        if self.bodies is not None and body is not None:
            self.bodies[start : start + count].copy_(body.reshape(-1))


Add = Callable[[str, NDArray[Any]], None]


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
