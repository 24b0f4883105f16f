"""Products of one axis of volumes with matrices: whole on a GPU, block by block on a CPU."""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from ingradient_pl.geometry import AXES
from ingradient_pl.transforms.patch import Interpolation
from ingradient_pl.transforms.sampling_matrices import reads

Z, Y, X = 1, 2, 3
"""Dimensions of a volume (channel, z, y, x)."""
DENSE_UP_TO, BLOCK, FADED = 48, 16, 10
"""A spline's weights fade to 2e-6 within 10 voxels, so that axes are multiplied block by block: twice as fast
at 224 voxels on a CPU. A GPU is faster with one large product."""


class Block(NamedTuple):
    """Some lines of what an axis becomes, and the lines that they are made of.

    Args:
        start: First line wanted.
        stop: The line wanted after the last.
        first: First line read.
        last: The line after the last read.
        rows: Weights of the lines read, a row for each line wanted.
    """

    start: int
    stop: int
    first: int
    last: int
    rows: Float[Tensor, "out in"]


def divide(axis: Interpolation, voxels: int) -> list[Block]:
    """Divide a way along an axis into blocks, or leave it whole where it is short.

    Args:
        axis: How it is read.
        voxels: How many there are to read.
    """
    wanted = len(axis.image)
    if voxels <= DENSE_UP_TO:
        return [Block(0, wanted, 0, voxels, axis.image)]
    margin = FADED + math.ceil(voxels / max(1, wanted) / 2)  # half a voxel of the wanted, averaged
    found = []
    for start in range(0, wanted, BLOCK):
        stop = min(start + BLOCK, wanted)
        first, last = reads(axis, start, stop, margin)
        found.append(Block(start, stop, first, last, axis.image[start:stop, first:last].contiguous()))
    return found


def multiply_by_blocks(
    volume: Tensor, dim: int, blocks: Sequence[Block], out: Tensor, picks: Tensor | None = None
) -> None:
    """Resample one axis into ``out``, and where ``picks`` are given, take these of its slices alone.

    Args:
        volume: Shape (channel, z, y, x), left as it is.
        dim: 1, 2 or 3 for z, y or x.
        blocks: As :func:`divide` gave them for this axis.
        out: Where the answer is written.
        picks: Slices (along z) wanted; None takes all.
    """
    for start, stop, first, last, rows in blocks:
        source, target = volume.narrow(dim, first, last - first), out.narrow(dim, start, stop - start)
        if picks is None:
            multiply_axis(source, dim, rows.to(volume.dtype), target)
        else:
            torch.index_select(multiply_axis(source, dim, rows.to(volume.dtype)), Z, picks, out=target)


def multiply_axis(
    volume: Float[Tensor, "channel _ _ _"],
    dim: int,
    rows: Float[Tensor, "out in"],
    out: Float[Tensor, "channel _ _ _"] | None = None,
) -> Float[Tensor, "channel _ _ _"]:
    """Multiply one axis by a matrix, into ``out`` where it is given.

    Args:
        volume: Left as it is.
        dim: 1, 2 or 3 for z, y or x.
        rows: Weights of the voxels there are, a row for each voxel wanted.
        out: Where the answer is written; None takes new memory.
    """
    if out is None:
        out = volume.new_empty([len(rows) if d == dim else count for d, count in enumerate(volume.shape)])
    if dim == X:
        torch.mm(volume.flatten(0, 2), rows.T, out=out.flatten(0, 2))
        return out
    source, target = (entry.flatten(0, dim - 1).flatten(2) for entry in (volume, out))
    batch = rows.expand(len(source), -1, -1)
    if target.is_contiguous():
        torch.bmm(batch, source, out=target)
    else:  # torch would multiply matrix by matrix: more than twice as slow
        target.copy_(torch.bmm(batch, source))
    return out


def multiply_slices(
    volume: Float[Tensor, "channel _ _ _"], matrices: Sequence[Float[Tensor, "_ _"] | None]
) -> Float[Tensor, "channel _ _ _"]:
    """Multiply each of (z, y, x) by its matrix; None leaves an axis alone.

    Args:
        volume: Left as it is.
        matrices: Rows for each of (z, y, x), or None.
    """
    for dim, rows in enumerate(matrices, Z):
        if rows is not None:
            volume = multiply_axis(volume, dim, rows.to(volume.dtype))
    return volume


@contextmanager
def exact_products() -> Iterator[None]:
    """Multiply in full single precision, whatever the network may do: rows of ones must copy voxels."""
    before = torch.get_float32_matmul_precision()
    if before == "highest":
        yield
        return
    torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


def multiply_patches(
    volume: Float[Tensor, "patch channel z y x"], axis: int, rows: Float[Tensor, "patch out in"]
) -> Float[Tensor, "patch channel _ _ _"]:
    """Multiply one of (z, y, x) of every patch by a matrix of its own.

    Args:
        volume: Of all patches.
        axis: 0, 1 or 2.
        rows: Of each patch.
    """
    n, channels, z, y, x = volume.shape
    if axis == AXES - 1:
        factors = _spread(rows, n, channels).transpose(1, 2)
        return torch.bmm(volume.reshape(n * channels, z * y, x), factors).view(n, channels, z, y, -1)
    if axis == 0:
        slices = volume.reshape(n * channels, z, y * x)
        return torch.bmm(_spread(rows, n, channels), slices).view(n, channels, -1, y, x)
    slices = volume.reshape(n * channels * z, y, x)
    return torch.bmm(_spread(rows, n, channels * z), slices).view(n, channels, z, -1, x)


def _spread(rows: Tensor, n: int, count: int) -> Tensor:
    """Give a matrix to each of ``count`` products of a patch."""
    return rows[:, None].expand(-1, count, -1, -1).reshape(n * count, *rows.shape[1:])
