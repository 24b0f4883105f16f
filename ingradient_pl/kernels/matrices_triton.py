"""Products of many matrices of different sizes that lie one after the other in memory, as Triton programs.

A table has a row for each matrix: its first value, rows, columns, and the steps from row to row and from
column to column; rows are the smaller side. Products are made of three in TF32 (tf32x3), which leaves the
digits of 32 bits.
"""

import triton
import triton.language as tl
from torch import Tensor

TILE, DEEP = 64, 32
ENTRIES = 5


@triton.jit
def _gram(flat, table, gram, size, TILE: tl.constexpr, DEEP: tl.constexpr):
    matrix = tl.program_id(0)
    entry = table + matrix * 5
    start, rows, columns = tl.load(entry), tl.load(entry + 1), tl.load(entry + 2)
    down, right = tl.load(entry + 3), tl.load(entry + 4)
    high = tl.program_id(1) * TILE + tl.arange(0, TILE)
    wide = tl.program_id(2) * TILE + tl.arange(0, TILE)
    index = tl.arange(0, DEEP)
    there = (tl.program_id(1) * TILE < rows) & (tl.program_id(2) * TILE < rows)
    depth = tl.where(there, columns, 0)
    left = flat + start + high[:, None] * down
    other = flat + start + wide[:, None] * down
    product = tl.zeros((TILE, TILE), tl.float32)
    for first in range(0, depth, DEEP):
        column = first + index
        inside = (column < columns)[None, :]
        a = tl.load(left + column[None, :] * right, mask=(high < rows)[:, None] & inside, other=0.0)
        b = tl.load(other + column[None, :] * right, mask=(wide < rows)[:, None] & inside, other=0.0)
        product = tl.dot(a, tl.trans(b), product, input_precision="tf32x3")
    place = gram + matrix.to(tl.int64) * size * size + high[:, None] * size + wide[None, :]
    tl.store(place, product)


@triton.jit
def _multiply(flat, table, left, out, size, TILE: tl.constexpr, DEEP: tl.constexpr):
    matrix = tl.program_id(0)
    entry = table + matrix * 5
    start, rows, columns = tl.load(entry), tl.load(entry + 1), tl.load(entry + 2)
    down, right = tl.load(entry + 3), tl.load(entry + 4)
    if (tl.program_id(1) * TILE < columns) & (tl.program_id(2) * TILE < rows):
        wide = tl.program_id(1) * TILE + tl.arange(0, TILE)
        high = tl.program_id(2) * TILE + tl.arange(0, TILE)
        index = tl.arange(0, DEEP)
        square = left + matrix.to(tl.int64) * size * size + high[:, None] * size
        product = tl.zeros((TILE, TILE), tl.float32)
        for first in range(0, rows, DEEP):
            row = first + index
            a = tl.load(square + row[None, :])
            inside = (row < rows)[:, None] & (wide < columns)[None, :]
            place = flat + start + row[:, None] * down + wide[None, :] * right
            b = tl.load(place, mask=inside, other=0.0)
            product = tl.dot(a, b, product, input_precision="tf32x3")
        place = out + start + high[:, None] * down + wide[None, :] * right
        tl.store(place, product, mask=(high < rows)[:, None] & (wide < columns)[None, :])


def gram(flat: Tensor, table: Tensor, out: Tensor) -> None:
    """Write X X' of each matrix into the corner of a square of ``out``, zeros beyond it."""
    count, size = out.shape[:2]
    blocks = size // TILE
    _gram[(count, blocks, blocks)](flat, table, out, size, TILE=TILE, DEEP=DEEP)


def multiply(flat: Tensor, table: Tensor, left: Tensor, columns: int, out: Tensor) -> None:
    """Write S X of each matrix X and square S where X lies in ``flat``; no X is wider than ``columns``."""
    count, size = left.shape[:2]
    grid = (count, triton.cdiv(columns, TILE), size // TILE)
    _multiply[grid](flat, table, left, out, size, TILE=TILE, DEEP=DEEP)
