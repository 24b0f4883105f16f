"""Products of one axis of volumes, or of patches, with matrices."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from jaxtyping import Float
from torch import Tensor

from ingradient_pl.geometry import AXES

Z, Y, X = 1, 2, 3
"""Dimensions of a volume (channel, z, y, x)."""


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
