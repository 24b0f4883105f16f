"""Topology: how often each axis of a patch is halved, and with which kernels, by the size of its voxels."""

import math
from collections.abc import Sequence
from typing import NamedTuple

ALIKE = 2
"""Axes count as equally fine while their spacings differ by less than this factor."""
WIDE = 3
"""Kernel along an axis that is as fine as the finest; 1 along coarser ones."""


class Topology(NamedTuple):
    """Shape of a UNet along as many axes as it convolves, two or three.

    Args:
        patch: Its input in voxels, halvable as the strides ask.
        strides: Of each stage, finest first; the first is all ones.
        kernels: Of each stage.
    """

    patch: tuple[int, ...]
    strides: tuple[tuple[int, ...], ...]
    kernels: tuple[tuple[int, ...], ...]

    @property
    def factors(self) -> tuple[int, ...]:
        """What each axis of the patch is a multiple of."""
        return tuple(math.prod(steps) for steps in zip(*self.strides, strict=True))

    @property
    def voxels(self) -> tuple[int, ...]:
        """Voxels of each stage."""
        counts, left = [], math.prod(self.patch)
        for stride in self.strides:
            left //= math.prod(stride)
            counts.append(left)
        return tuple(counts)

    def within(self, axes: int) -> "Topology":
        """Give the same network among more axes, in front of its own: one voxel, never halved, kernel 1.

        Args:
            axes: How many in all, at least as many as its own.

        >>> plane = Topology((8, 8), ((1, 1), (2, 2)), ((3, 3), (3, 3)))
        >>> plane.within(3).strides
        ((1, 1, 1), (1, 2, 2))
        """
        front = (1,) * (axes - len(self.patch))
        strides = tuple(front + stride for stride in self.strides)
        return Topology(front + self.patch, strides, tuple(front + kernel for kernel in self.kernels))


def topology(shape: Sequence[float], spacing: Sequence[float], edge: int = 4) -> Topology:
    """Halve a patch until its edges are short, the finest axes first, so that voxels become cubes.

    Source: Isensee et al. 2021, https://doi.org/10.1038/s41592-020-01008-z: nnU-Net's rule.

    Args:
        shape: Voxels wanted along each axis; rounded up to what can be halved.
        spacing: Size of a voxel along each axis in mm.
        edge: Voxels that an axis keeps at least, where it is halved at all.

    >>> topology((36, 50, 35), (1, 1, 1)).patch
    (40, 56, 40)
    """
    sizes, lengths = list(shape), list(spacing)
    kernel = (1,) * len(sizes)
    strides, kernels = [kernel], []
    while halved := _halve(sizes, lengths, edge):
        fine = [mm / min(lengths) < ALIKE for mm in lengths]
        kernel = tuple(WIDE if now else before for now, before in zip(fine, kernel, strict=True))
        kernels.append(kernel)
        strides.append(tuple(2 if axis in halved else 1 for axis in range(len(sizes))))
        for axis in halved:
            sizes[axis], lengths[axis] = math.ceil(sizes[axis] / 2), lengths[axis] * 2
    kernels.append((WIDE,) * len(sizes))
    factors = [math.prod(steps) for steps in zip(*strides, strict=True)]
    patch = tuple(math.ceil(size / factor) * factor for size, factor in zip(shape, factors, strict=True))
    return Topology(patch, tuple(strides), tuple(kernels))


def _halve(sizes: Sequence[float], lengths: Sequence[float], edge: int) -> list[int]:
    """Which axes the next stage halves; none where the network ends."""
    long = [axis for axis, size in enumerate(sizes) if size >= 2 * edge]
    finest = min((lengths[axis] for axis in long), default=0.0)
    axes = [axis for axis in long if lengths[axis] / finest < ALIKE]
    alone = len(axes) == 1
    return [] if alone and sizes[axes[0]] < 3 * edge else axes
