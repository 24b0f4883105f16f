"""Instance norm with its activation for channels-last volumes, as Triton programs.

A volume is a matrix of rows (voxels) by channels. Each image's rows are divided into parts, and one program
reduces one part of some channels; the next kernel combines the parts in their order, so that no sum depends
on which program was first. All is computed in 32 bits.
"""

import triton
import triton.language as tl
from torch import Tensor

TILE = 4096
"""Values that a program holds at a time."""
MOST_CHANNELS = 64
SMALLEST_ROWS = 16
PROGRAMS, MOST_PARTS = 1024, 256
"""Programs that fill a large GPU, and parts whose combination still costs little."""
COMBINED_VALUES, FEW_PARTS = 4096, 16
"""Values of parts that are combined at a time, and parts of all images that are few."""


@triton.jit
def _combined_moments(moments, parts, rows, chunk, channels, columns, inside, COMBINED: tl.constexpr):
    # Mean and sum of squares about it over all parts; Chan's formula, for squares about zero lose digits
    index = tl.arange(0, COMBINED)
    count = 0.0
    mean = tl.zeros_like(columns).to(tl.float32)
    squares = tl.zeros_like(columns).to(tl.float32)
    for first in range(0, parts, COMBINED):
        part = first + index
        there = (part < parts)[:, None] & inside[None, :]
        size = tl.where(part < parts, tl.minimum(chunk, rows - part * chunk), 0).to(tl.float32)
        place = moments + part[:, None] * (2 * channels) + columns[None, :]
        means = tl.load(place, mask=there, other=0.0)
        spreads = tl.load(place + channels, mask=there, other=0.0)
        added = tl.sum(size, 0)
        near = tl.sum(means * size[:, None], 0) / added
        off = tl.where(there, means - near[None, :], 0.0)
        spread = tl.sum(spreads + size[:, None] * off * off, 0)
        apart = near - mean
        total = count + added
        mean += apart * (added / total)
        squares += spread + apart * apart * (count * added / total)
        count = total
    return mean, squares


@triton.jit(do_not_specialize=["rows", "chunk"])
def _moments(
    features,
    moments,
    rows,
    channels,
    batch_stride,
    row_stride,
    chunk,
    ROWS: tl.constexpr,
    CHANNELS: tl.constexpr,
):
    image, part = tl.program_id(0), tl.program_id(1)
    columns = tl.program_id(2) * CHANNELS + tl.arange(0, CHANNELS)
    inside = columns < channels
    start = part * chunk
    count = tl.minimum(chunk, rows - start)
    index = tl.arange(0, ROWS)
    base = features + image.to(tl.int64) * batch_stride + start.to(tl.int64) * row_stride
    place = index[:, None] * row_stride + columns[None, :]
    there = (index < count)[:, None] & inside[None, :]
    values = tl.load(base + place, mask=there, other=0.0).to(tl.float32)
    near = tl.sum(values, 0) / tl.minimum(count, ROWS).to(tl.float32)
    total = tl.zeros((ROWS, CHANNELS), tl.float32)
    squares = tl.zeros((ROWS, CHANNELS), tl.float32)
    for begin in range(0, count, ROWS):
        there = (begin + index < count)[:, None] & inside[None, :]
        values = tl.load(base + begin * row_stride + place, mask=there, other=0.0).to(tl.float32)
        off = tl.where(there, values - near[None, :], 0.0)
        total += off
        squares += off * off
    length = count.to(tl.float32)
    sum_off = tl.sum(total, 0)
    out = moments + (image * tl.num_programs(1) + part) * (2 * channels) + columns
    tl.store(out, near + sum_off / length, mask=inside)
    tl.store(out + channels, tl.sum(squares, 0) - sum_off * sum_off / length, mask=inside)


@triton.jit(do_not_specialize=["rows", "chunk"])
def _apply(
    features,
    moments,
    weight,
    bias,
    shortcut,
    normal,
    statistics,
    rows,
    channels,
    batch_stride,
    row_stride,
    shortcut_batch,
    shortcut_row,
    chunk,
    slope,
    epsilon,
    ROWS: tl.constexpr,
    CHANNELS: tl.constexpr,
    COMBINED: tl.constexpr,
    BENT: tl.constexpr,
    ADDED: tl.constexpr,
):
    image, part = tl.program_id(0), tl.program_id(1)
    parts = tl.num_programs(1)
    columns = tl.program_id(2) * CHANNELS + tl.arange(0, CHANNELS)
    inside = columns < channels
    own = moments + image * parts * (2 * channels)
    mean, squares = _combined_moments(own, parts, rows, chunk, channels, columns, inside, COMBINED)
    scale = 1.0 / tl.sqrt(squares / rows + epsilon)
    if part == 0:
        out = statistics + image * (2 * channels) + columns
        tl.store(out, mean, mask=inside)
        tl.store(out + channels, scale, mask=inside)
    factor = scale * tl.load(weight + columns, mask=inside, other=0.0).to(tl.float32)
    offset = tl.load(bias + columns, mask=inside, other=0.0).to(tl.float32)
    start = part * chunk
    count = tl.minimum(chunk, rows - start)
    index = tl.arange(0, ROWS)
    base = features + image.to(tl.int64) * batch_stride + start.to(tl.int64) * row_stride
    other = shortcut + image.to(tl.int64) * shortcut_batch + start.to(tl.int64) * shortcut_row
    target = normal + (image.to(tl.int64) * rows + start) * channels
    for begin in range(0, count, ROWS):
        row = begin + index
        there = (row < count)[:, None] & inside[None, :]
        values = tl.load(base + row[:, None] * row_stride + columns[None, :], mask=there, other=0.0)
        found = (values.to(tl.float32) - mean[None, :]) * factor[None, :] + offset[None, :]
        if ADDED:
            added = tl.load(other + row[:, None] * shortcut_row + columns[None, :], mask=there, other=0.0)
            found += added.to(tl.float32)
        if BENT:
            found = tl.where(found > 0, found, found * slope)
        place = target + row[:, None] * channels + columns[None, :]
        tl.store(place, found.to(normal.dtype.element_ty), mask=there)


def parts_of(images: int, rows: int, channels: int) -> int:
    """In how many parts the rows of each image are reduced.

    Args:
        images: In the batch.
        rows: Voxels of each image.
        channels: Of each voxel.
    """
    tile = tile_of(rows, channels, TILE)
    blocks = images * triton.cdiv(channels, tile["CHANNELS"])
    most = min(MOST_PARTS, triton.cdiv(PROGRAMS, blocks), triton.cdiv(rows, tile["ROWS"]))
    return int(triton.cdiv(rows, triton.cdiv(rows, most)))


def moments(features: Tensor, strides: tuple[int, int], out: Tensor) -> None:
    """Write mean and squares about it of each part; ``out`` is ``(images, parts, 2, channels)``.

    Args:
        features: Shape (batch, channel, z, y, x), channels side by side.
        strides: Steps from image to image and from voxel to voxel.
        out: Written; its second size says how many parts an image is reduced in.
    """
    images, parts, _, channels = out.shape
    rows, tile = rows_of(features), tile_of(rows_of(features), channels, TILE)
    grid = (images, parts, triton.cdiv(channels, tile["CHANNELS"]))
    _moments[grid](features, out, rows, channels, *strides, triton.cdiv(rows, parts), **tile)


def apply(
    features: tuple[Tensor, tuple[int, int]],
    moments: Tensor,
    affine: tuple[Tensor, Tensor],
    shortcut: tuple[Tensor, tuple[int, int]] | None,
    settings: tuple[float, float],
    out: tuple[Tensor, Tensor],
) -> None:
    """Write what is normalised, and each image's mean and one over its spread: ``(images, 2, channels)``.

    Args:
        features: Shape (batch, channel, z, y, x), and its steps from image to image and voxel to voxel.
        moments: As :func:`moments` wrote them.
        affine: Weight and bias of each channel.
        shortcut: Added before the activation, with its steps; None adds nothing.
        settings: Slope of what is negative, and what is added to the variance.
        out: Written: the answer, and the statistics.
    """
    slope, epsilon = settings
    (values, strides), (normal, statistics) = features, out
    images, parts, _, channels = moments.shape
    rows = rows_of(values)
    tile = tile_of(rows, channels, TILE if shortcut is None else TILE // 2)
    added, others = (values, strides) if shortcut is None else shortcut
    grid = (images, parts, triton.cdiv(channels, tile["CHANNELS"]))
    chosen = {
        "COMBINED": combined_of(images * parts, tile),
        "BENT": slope != 1,
        "ADDED": shortcut is not None,
    }
    numbers = rows, channels, *strides, *others, triton.cdiv(rows, parts), slope, epsilon
    _apply[grid](values, moments, *affine, added, normal, statistics, *numbers, **tile, **chosen)


def rows_of(features: Tensor) -> int:
    """How many voxels an image has.

    Args:
        features: Shape (batch, channel, z, y, x).
    """
    return features.shape[2:].numel()


def combined_of(parts: int, tile: dict[str, int]) -> int:
    """How many parts are combined at a time: each step waits for memory, so many where there are many.

    Args:
        parts: Of all images.
        tile: As :func:`tile_of` gave it.
    """
    return FEW_PARTS if parts <= FEW_PARTS else min(128, COMBINED_VALUES // tile["CHANNELS"])


def tile_of(rows: int, channels: int, values: int) -> dict[str, int]:
    """Shape of the piece that a program holds at a time, of so many values at most.

    Args:
        rows: Voxels of each image.
        channels: Of each voxel.
        values: Most that a program may hold.
    """
    wide = min(MOST_CHANNELS, triton.next_power_of_2(channels))
    high = min(values // wide, max(SMALLEST_ROWS, triton.next_power_of_2(rows)))
    return {"ROWS": high, "CHANNELS": wide}
