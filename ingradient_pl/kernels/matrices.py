"""Products of many matrices of different sizes in one launch each, where they lie one after the other."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float, Integer
from torch import Tensor

from ingradient_pl.kernels.availability import usable
from ingradient_pl.kernels.operators import define, on_device_of

NAME = "matrices"
SQUARE = 64
"""Squares are padded with zeros to a multiple of this."""
PART = 2048
"""Columns that one program multiplies: few wide matrices would leave most of a device idle."""


class Layout(NamedTuple):
    """Where matrices lie in a flat tensor; rows are their smaller side.

    Args:
        table: Of each: first value, rows, columns, step from row to row, from column to column.
        size: Edge of the squares that hold a product of each.
        columns: Of the widest.
        shapes: As they lie, row by row, (rows, columns), before the smaller side was taken.
    """

    table: Integer[Tensor, "matrix 5"]
    size: int
    columns: int
    shapes: tuple[tuple[int, int], ...]


def fits(tensor: Tensor) -> bool:
    """Whether the kernels can read ``tensor``: 32 bits, on CUDA, with Triton.

    Args:
        tensor: Of any shape.
    """
    return tensor.dtype == torch.float32 and usable(NAME, tensor)


def layout_of(shapes: Sequence[tuple[int, int]], device: torch.device) -> Layout:
    """Describe matrices of these (rows, columns) that lie row by row, one after the other.

    Args:
        shapes: Rows and columns of each, at least one matrix.
        device: Where the kernels run.
    """
    table, start = [], 0
    for rows, columns in shapes:
        if rows <= columns:
            table.append([start, rows, columns, columns, 1])
        else:
            table.append([start, columns, rows, 1, columns])
        start += rows * columns
    most, widest = max(entry[1] for entry in table), max(entry[2] for entry in table)
    size = -(-most // SQUARE) * SQUARE
    return Layout(torch.tensor(table, device=device), size, widest, tuple(shapes))


def gram(flat: Float[Tensor, " values"], layout: Layout) -> Float[Tensor, "matrix size size"]:
    """Give X X' of each matrix, in the corner of a square of zeros.

    Args:
        flat: All matrices, as ``layout`` tells.
        layout: Where each lies; the smaller side counts as its rows.
    """
    number = -(-layout.columns // PART)
    parts: Tensor = torch.ops.ingradient.matrices_gram(flat, layout.table, layout.size, number)
    return parts[0] if number == 1 else parts.sum(0)


def combine(
    left: Float[Tensor, "matrix size size"],
    right: Float[Tensor, "matrix size size"],
    added: Float[Tensor, "matrix size size"],
    layout: Layout,
    scales: tuple[float, float, float],
) -> Float[Tensor, "matrix size size"]:
    """Give s L R + t A + u I within the rows of each matrix, of squares that are their own transposes.

    Half of L R is computed and mirrored, so it must be symmetric as well: of squares that commute, such as
    polynomials of one of them.

    Args:
        left: L of each matrix, symmetric; up to a multiple of 64 there are zeros beyond the rows, in the
            answer too. What lies farther is neither read nor written.
        right: R, symmetric, which commutes with L.
        added: A, symmetric.
        layout: Tells how many rows of each square there are.
        scales: The numbers s, t and u.
    """
    found: Tensor = torch.ops.ingradient.matrices_combine(left, right, added, layout.table, *scales)
    return found


def multiply(
    flat: Float[Tensor, " values"], layout: Layout, left: Float[Tensor, "matrix size size"]
) -> Float[Tensor, " values"]:
    """Give S X of each matrix X and its square S, where X lies.

    Args:
        flat: All matrices, as ``layout`` tells.
        layout: Where each lies; the smaller side counts as its rows.
        left: The square of each; only its corner of the matrix's rows is read.
    """
    found: Tensor = torch.ops.ingradient.matrices_multiply(flat, layout.table, left, layout.columns)
    return found


def gram_twin(flat: Float[Tensor, " values"], layout: Layout) -> Float[Tensor, "matrix size size"]:
    """Compute the same as :func:`gram` by torch's operators, a matrix at a time.

    Args:
        flat: All matrices, as ``layout`` tells.
        layout: Where each lies.
    """
    out = flat.new_zeros(len(layout.shapes), layout.size, layout.size)
    for square, matrix in zip(out, _small_side_first(flat, layout), strict=True):
        square[: len(matrix), : len(matrix)] = matrix @ matrix.mT
    return out


def combine_twin(
    left: Float[Tensor, "matrix size size"],
    right: Float[Tensor, "matrix size size"],
    added: Float[Tensor, "matrix size size"],
    layout: Layout,
    scales: tuple[float, float, float],
) -> Float[Tensor, "matrix size size"]:
    """Compute the same as :func:`combine` by torch's operators, zeros beyond the rows.

    Args:
        left: L of each matrix.
        right: R.
        added: A.
        layout: Tells how many rows of each square there are.
        scales: The numbers s, t and u.
    """
    rows = torch.arange(left.shape[1], device=left.device) < layout.table[:, 1, None]
    identity = torch.eye(left.shape[1], dtype=left.dtype, device=left.device)
    found = torch.baddbmm(added, left, right, beta=scales[1], alpha=scales[0]) + scales[2] * identity
    return found * (rows[:, None] & rows[:, :, None])


def multiply_twin(
    flat: Float[Tensor, " values"], layout: Layout, left: Float[Tensor, "matrix size size"]
) -> Float[Tensor, " values"]:
    """Compute the same as :func:`multiply` by torch's operators, a matrix at a time.

    Args:
        flat: All matrices, as ``layout`` tells.
        layout: Where each lies.
        left: The square of each.
    """
    out = torch.empty_like(flat)
    pairs = zip(_small_side_first(out, layout), _small_side_first(flat, layout), strict=True)
    for square, (target, matrix) in zip(left, pairs, strict=True):
        target.copy_(square[: len(matrix), : len(matrix)] @ matrix)
    return out


def _small_side_first(flat: Tensor, layout: Layout) -> list[Tensor]:
    parts = torch.split(flat, [rows * columns for rows, columns in layout.shapes])
    matrices = [part.view(shape) for part, shape in zip(parts, layout.shapes, strict=True)]
    return [matrix.mT if matrix.shape[0] > matrix.shape[1] else matrix for matrix in matrices]


def _gram_meta(flat: Tensor, table: Tensor, size: int, parts: int) -> Tensor:
    return flat.new_empty((parts, table.shape[0], size, size))


def _combine_meta(left: Tensor, *_: object) -> Tensor:
    return torch.empty_like(left)


def _multiply_meta(flat: Tensor, table: Tensor, left: Tensor, columns: int) -> Tensor:
    return torch.empty_like(flat)


def _gram(flat: Tensor, table: Tensor, size: int, parts: int) -> Tensor:
    from ingradient_pl.kernels import matrices_triton

    out = _gram_meta(flat, table, size, parts)
    with on_device_of(flat):
        matrices_triton.gram(flat, table, PART, out)
    return out


def _combine(
    left: Tensor,
    right: Tensor,
    added: Tensor,
    table: Tensor,
    scale: float,
    added_scale: float,
    diagonal: float,
) -> Tensor:
    from ingradient_pl.kernels import matrices_triton

    out = torch.empty_like(left)
    with on_device_of(left):
        scales = scale, added_scale, diagonal
        matrices_triton.combine((left, right, added), table, scales, out)
    return out


def _multiply(flat: Tensor, table: Tensor, left: Tensor, columns: int) -> Tensor:
    from ingradient_pl.kernels import matrices_triton

    out = torch.empty_like(flat)
    with on_device_of(flat):
        matrices_triton.multiply(flat, table, left.contiguous(), columns, out)
    return out


define("matrices_gram(Tensor flat, Tensor table, int size, int parts) -> Tensor", _gram, _gram_meta)
define(
    "matrices_combine(Tensor left, Tensor right, Tensor added, Tensor table, float scale, float added_scale, "
    "float diagonal) -> Tensor",
    _combine,
    _combine_meta,
)
define(
    "matrices_multiply(Tensor flat, Tensor table, Tensor left, int columns) -> Tensor",
    _multiply,
    _multiply_meta,
)
