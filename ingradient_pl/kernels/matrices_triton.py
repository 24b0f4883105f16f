"""Products of many matrices of different sizes that lie one after the other in memory, as Triton programs.

A table has a row for each matrix: its first value, rows, columns, and the steps from row to row and from
column to column; rows are the smaller side. Products are made of three in TF32 (tf32x3), which leaves the
digits of 32 bits. Squares are padded with zeros to whole blocks; blocks beyond a matrix's rows are neither
read nor computed.
"""

import triton
import triton.language as tl
from torch import Tensor

TILE, DEEP = 64, 32


@triton.jit
def _gram(flat, table, parts, count, size, PART: tl.constexpr, TILE: tl.constexpr, DEEP: tl.constexpr):
    # Each block above the diagonal and its mirror image, of a part of the columns
    place, down_block, right_block = tl.program_id(0), tl.program_id(1), tl.program_id(2)
    matrix, part = place % count, place // count
    if right_block >= down_block:
        entry = table + matrix * 5
        start, rows, columns = tl.load(entry), tl.load(entry + 1), tl.load(entry + 2)
        down, right = tl.load(entry + 3), tl.load(entry + 4)
        high = down_block * TILE + tl.arange(0, TILE)
        wide = right_block * TILE + tl.arange(0, TILE)
        index = tl.arange(0, DEEP)
        begin = part * PART
        end = tl.where(right_block * TILE < rows, tl.minimum(begin + PART, columns.to(tl.int32)), 0)
        product = tl.zeros((TILE, TILE), tl.float32)
        if (right == 1) & (columns % 4 == 0) & (start % 4 == 0):  # four values at a time
            left = flat + (start // 4) * 4 + high[:, None] * ((down // 4) * 4)
            other = flat + (start // 4) * 4 + wide[:, None] * ((down // 4) * 4)
            last = (columns // 4) * 4
            for first in range(begin, end, DEEP):
                column = first + index
                inside = (column < last)[None, :]
                a = tl.load(left + column[None, :], mask=(high < rows)[:, None] & inside, other=0.0)
                b = tl.load(other + column[None, :], mask=(wide < rows)[:, None] & inside, other=0.0)
                product = tl.dot(a, tl.trans(b), product, input_precision="tf32x3")
        else:
            left = flat + start + high[:, None] * down
            other = flat + start + wide[:, None] * down
            for first in range(begin, end, DEEP):
                column = first + index
                inside = (column < columns)[None, :]
                a = tl.load(left + column[None, :] * right, mask=(high < rows)[:, None] & inside, other=0.0)
                b = tl.load(other + column[None, :] * right, mask=(wide < rows)[:, None] & inside, other=0.0)
                product = tl.dot(a, tl.trans(b), product, input_precision="tf32x3")
        square = parts + place.to(tl.int64) * size * size
        tl.store(square + high[:, None] * size + wide[None, :], product)
        if right_block > down_block:
            tl.store(square + wide[:, None] * size + high[None, :], tl.trans(product))


@triton.jit
def _combine(
    left, right, added, table, out, size, scale, added_scale, diagonal, TILE: tl.constexpr, DEEP: tl.constexpr
):
    # Each block above the diagonal and its mirror image
    matrix, down_block, right_block = tl.program_id(0), tl.program_id(1), tl.program_id(2)
    rows = tl.load(table + matrix * 5 + 1).to(tl.int32)
    if (right_block >= down_block) & (right_block * TILE < rows):
        high = down_block * TILE + tl.arange(0, TILE)
        wide = right_block * TILE + tl.arange(0, TILE)
        index = tl.arange(0, DEEP)
        square = matrix.to(tl.int64) * size * size
        product = tl.zeros((TILE, TILE), tl.float32)
        for first in range(0, rows, DEEP):
            middle = first + index
            a = tl.load(left + square + high[:, None] * size + middle[None, :])
            b = tl.load(right + square + middle[:, None] * size + wide[None, :])
            product = tl.dot(a, b, product, input_precision="tf32x3")
        place = square + high[:, None] * size + wide[None, :]
        found = scale * product + added_scale * tl.load(added + place)
        own = (high[:, None] == wide[None, :]) & (high < rows)[:, None]
        found += tl.where(own, diagonal, 0.0)
        tl.store(out + place, found)
        if right_block > down_block:
            tl.store(out + square + wide[:, None] * size + high[None, :], tl.trans(found))


@triton.jit
def _multiply(flat, table, left, out, size, TILE: tl.constexpr, DEEP: tl.constexpr):
    matrix = tl.program_id(0)
    entry = table + matrix * 5
    start, rows, columns = tl.load(entry), tl.load(entry + 1).to(tl.int32), tl.load(entry + 2)
    down, right = tl.load(entry + 3), tl.load(entry + 4)
    if (tl.program_id(1) * TILE < columns) & (tl.program_id(2) * TILE < rows):
        wide = tl.program_id(1) * TILE + tl.arange(0, TILE)
        high = tl.program_id(2) * TILE + tl.arange(0, TILE)
        index = tl.arange(0, DEEP)
        square = left + matrix.to(tl.int64) * size * size + high[:, None] * size
        product = tl.zeros((TILE, TILE), tl.float32)
        there = (high < rows)[:, None] & (wide < columns)[None, :]
        if (right == 1) & (columns % 4 == 0) & (start % 4 == 0):
            begin, step = (start // 4) * 4, (down // 4) * 4
            last = (columns // 4) * 4
            for first in range(0, rows, DEEP):
                row = first + index
                a = tl.load(square + row[None, :])
                inside = (row < rows)[:, None] & (wide < last)[None, :]
                b = tl.load(flat + begin + row[:, None] * step + wide[None, :], mask=inside, other=0.0)
                product = tl.dot(a, b, product, input_precision="tf32x3")
            place = out + begin + high[:, None] * step + wide[None, :]
            tl.store(place, product, mask=(high < rows)[:, None] & (wide < last)[None, :])
        else:
            for first in range(0, rows, DEEP):
                row = first + index
                a = tl.load(square + row[None, :])
                inside = (row < rows)[:, None] & (wide < columns)[None, :]
                b = tl.load(
                    flat + start + row[:, None] * down + wide[None, :] * right, mask=inside, other=0.0
                )
                product = tl.dot(a, b, product, input_precision="tf32x3")
            place = out + start + high[:, None] * down + wide[None, :] * right
            tl.store(place, product, mask=there)


def gram(flat: Tensor, table: Tensor, part: int, parts: Tensor) -> None:
    """Write X X' of some columns of each matrix into the corner of a square, zeros beyond it.

    Args:
        flat: All matrices, shape (values,).
        table: Where each lies, shape (matrix, 5), as of :class:`ingradient_pl.kernels.matrices.Layout`.
        part: Columns that are taken together; the number of programs grows with those of the widest matrix.
        parts: Written, shape (part, matrix, size, size): a square for so many columns, to be added up.
    """
    number, count, size = parts.shape[:3]
    blocks = size // TILE
    grid = (number * count, blocks, blocks)
    _gram[grid](flat, table, parts, count, size, PART=part, TILE=TILE, DEEP=DEEP)


def combine(
    squares: tuple[Tensor, Tensor, Tensor], table: Tensor, scales: tuple[float, float, float], out: Tensor
) -> None:
    """Write s L R + t A + u I of squares (L, R, A), in the blocks of each matrix's rows.

    Args:
        squares: Three that are symmetric as L R is, of shape (matrix, size, size).
        table: Where each matrix lies, shape (matrix, 5).
        scales: The numbers s, t and u.
        out: Written, shape (matrix, size, size).
    """
    count, size = out.shape[:2]
    blocks = size // TILE
    _combine[(count, blocks, blocks)](*squares, table, out, size, *scales, TILE=TILE, DEEP=DEEP)


def multiply(flat: Tensor, table: Tensor, left: Tensor, columns: int, out: Tensor) -> None:
    """Write S X of each matrix X and square S where X lies in ``flat``; no X is wider than ``columns``.

    Args:
        flat: All matrices, shape (values,).
        table: Where each lies, shape (matrix, 5).
        left: S of each, shape (matrix, size, size).
        columns: Of the widest matrix.
        out: Written, shape (values,).
    """
    count, size = left.shape[:2]
    grid = (count, triton.cdiv(columns, TILE), size // TILE)
    _multiply[grid](flat, table, left, out, size, TILE=TILE, DEEP=DEEP)
