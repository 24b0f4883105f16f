"""Whole cases kept in a device's memory, from which the patches of a batch are cut there."""

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Integer, Num
from torch import Tensor

from ingradient_pl.geometry import Voxels
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
