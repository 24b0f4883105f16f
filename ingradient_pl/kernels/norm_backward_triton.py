"""The way back of instance norm with its activation, as Triton programs; see ``norm_triton``."""

import triton
import triton.language as tl
from torch import Tensor

from ingradient_pl.kernels.norm_triton import TILE, combined_of, rows_of, tile_of


@triton.jit
def _combined_sums(sums, parts, channels, columns, inside, COMBINED: tl.constexpr):
    index = tl.arange(0, COMBINED)
    first_sum = tl.zeros_like(columns).to(tl.float32)
    second_sum = tl.zeros_like(columns).to(tl.float32)
    for first in range(0, parts, COMBINED):
        part = first + index
        there = (part < parts)[:, None] & inside[None, :]
        place = sums + part[:, None] * (2 * channels) + columns[None, :]
        first_sum += tl.sum(tl.load(place, mask=there, other=0.0), 0)
        second_sum += tl.sum(tl.load(place + channels, mask=there, other=0.0), 0)
    return first_sum, second_sum


@triton.jit(do_not_specialize=["rows", "chunk"])
def _backward_sums(
    gradient,
    features,
    statistics,
    weight,
    bias,
    shortcut,
    by_shortcut,
    sums,
    rows,
    channels,
    gradient_batch,
    gradient_row,
    batch_stride,
    row_stride,
    shortcut_batch,
    shortcut_row,
    chunk,
    slope,
    ROWS: tl.constexpr,
    CHANNELS: tl.constexpr,
    BENT: tl.constexpr,
    ADDED: tl.constexpr,
):
    image, part = tl.program_id(0), tl.program_id(1)
    columns = tl.program_id(2) * CHANNELS + tl.arange(0, CHANNELS)
    inside = columns < channels
    own = statistics + image * (2 * channels) + columns
    mean = tl.load(own, mask=inside, other=0.0)
    scale = tl.load(own + channels, mask=inside, other=0.0)
    factor = scale * tl.load(weight + columns, mask=inside, other=0.0).to(tl.float32)
    offset = tl.load(bias + columns, mask=inside, other=0.0).to(tl.float32)
    start = part * chunk
    count = tl.minimum(chunk, rows - start)
    index = tl.arange(0, ROWS)
    base = features + image.to(tl.int64) * batch_stride + start.to(tl.int64) * row_stride
    above = gradient + image.to(tl.int64) * gradient_batch + start.to(tl.int64) * gradient_row
    other = shortcut + image.to(tl.int64) * shortcut_batch + start.to(tl.int64) * shortcut_row
    target = by_shortcut + (image.to(tl.int64) * rows + start) * channels
    total = tl.zeros((ROWS, CHANNELS), tl.float32)
    along = tl.zeros((ROWS, CHANNELS), tl.float32)
    for begin in range(0, count, ROWS):
        row = begin + index
        there = (row < count)[:, None] & inside[None, :]
        pull = tl.load(above + row[:, None] * gradient_row + columns[None, :], mask=there, other=0.0)
        values = tl.load(base + row[:, None] * row_stride + columns[None, :], mask=there, other=0.0)
        pull = pull.to(tl.float32)
        off = values.to(tl.float32) - mean[None, :]
        if BENT:
            found = off * factor[None, :] + offset[None, :]
            if ADDED:
                place = other + row[:, None] * shortcut_row + columns[None, :]
                found += tl.load(place, mask=there, other=0.0).to(tl.float32)
            pull = tl.where(found > 0, pull, pull * slope)
        if ADDED:
            place = target + row[:, None] * channels + columns[None, :]
            kept = pull.to(by_shortcut.dtype.element_ty)
            tl.store(place, kept, mask=there)
            pull = kept.to(tl.float32)  # what is read again must be what was summed
        total += pull
        along += pull * off
    out = sums + (image * tl.num_programs(1) + part) * (2 * channels) + columns
    tl.store(out, tl.sum(total, 0), mask=inside)
    tl.store(out + channels, tl.sum(along, 0) * scale, mask=inside)


@triton.jit(do_not_specialize=["rows", "chunk"])
def _backward_apply(
    gradient,
    features,
    statistics,
    sums,
    weight,
    bias,
    by_features,
    by_affine,
    rows,
    channels,
    gradient_batch,
    gradient_row,
    batch_stride,
    row_stride,
    chunk,
    slope,
    ROWS: tl.constexpr,
    CHANNELS: tl.constexpr,
    COMBINED: tl.constexpr,
    BENT: tl.constexpr,
):
    image, part = tl.program_id(0), tl.program_id(1)
    parts = tl.num_programs(1)
    columns = tl.program_id(2) * CHANNELS + tl.arange(0, CHANNELS)
    inside = columns < channels
    if (image == 0) & (part == 0):
        images = tl.num_programs(0)
        by_bias, by_weight = _combined_sums(sums, images * parts, channels, columns, inside, COMBINED)
        tl.store(by_affine + columns, by_weight, mask=inside)
        tl.store(by_affine + channels + columns, by_bias, mask=inside)
        tl.store(by_affine + 2 * channels + columns, tl.zeros_like(by_bias), mask=inside)
    own = sums + image * parts * (2 * channels)
    total, along = _combined_sums(own, parts, channels, columns, inside, COMBINED)
    saved = statistics + image * (2 * channels) + columns
    mean = tl.load(saved, mask=inside, other=0.0)
    scale = tl.load(saved + channels, mask=inside, other=0.0)
    factor = scale * tl.load(weight + columns, mask=inside, other=0.0).to(tl.float32)
    offset = tl.load(bias + columns, mask=inside, other=0.0).to(tl.float32)
    total = total / rows
    along = along * scale / rows
    start = part * chunk
    count = tl.minimum(chunk, rows - start)
    index = tl.arange(0, ROWS)
    base = features + image.to(tl.int64) * batch_stride + start.to(tl.int64) * row_stride
    above = gradient + image.to(tl.int64) * gradient_batch + start.to(tl.int64) * gradient_row
    target = by_features + (image.to(tl.int64) * rows + start) * channels
    for begin in range(0, count, ROWS):
        row = begin + index
        there = (row < count)[:, None] & inside[None, :]
        pull = tl.load(above + row[:, None] * gradient_row + columns[None, :], mask=there, other=0.0)
        values = tl.load(base + row[:, None] * row_stride + columns[None, :], mask=there, other=0.0)
        pull = pull.to(tl.float32)
        off = values.to(tl.float32) - mean[None, :]
        if BENT:
            pull = tl.where(off * factor[None, :] + offset[None, :] > 0, pull, pull * slope)
        found = factor[None, :] * (pull - total[None, :] - off * along[None, :])
        place = target + row[:, None] * channels + columns[None, :]
        tl.store(place, found.to(by_features.dtype.element_ty), mask=there)


def backward_sums(
    gradient: tuple[Tensor, tuple[int, int]],
    features: tuple[Tensor, tuple[int, int]],
    statistics: Tensor,
    affine: tuple[Tensor, Tensor],
    shortcut: tuple[Tensor, tuple[int, int]] | None,
    slope: float,
    out: tuple[Tensor, Tensor],
) -> None:
    """Write each part's sum of the gradient, and of it times what was normalised; the shortcut's gradient.

    Args:
        gradient: Of the answer, shape (batch, channel, z, y, x), and its steps from image to image and voxel
            to voxel.
        features: Before the norm, of the same shape, and their steps.
        statistics: Mean, and one over the spread, shape (images, 2, channels).
        affine: Weight and bias of each channel.
        shortcut: What was added, of the same shape, and its steps; None where nothing was.
        slope: Of what is negative; 1 is no activation.
        out: Written: sums, shape (images, parts, 2, channels), and the shortcut's gradient.
    """
    sums, by_shortcut = out
    images, parts, _, channels = sums.shape
    rows, tile = rows_of(features[0]), tile_of(rows_of(features[0]), channels, TILE // 2)
    added, others = features if shortcut is None else shortcut
    grid = (images, parts, triton.cdiv(channels, tile["CHANNELS"]))
    tensors = gradient[0], features[0], statistics, *affine, added, by_shortcut, sums
    numbers = rows, channels, *gradient[1], *features[1], *others, triton.cdiv(rows, parts), slope
    _backward_sums[grid](*tensors, *numbers, **tile, BENT=slope != 1, ADDED=shortcut is not None)


def backward_apply(
    gradient: tuple[Tensor, tuple[int, int]],
    features: tuple[Tensor, tuple[int, int]],
    statistics: Tensor,
    sums: Tensor,
    affine: tuple[Tensor, Tensor],
    slope: float,
    out: tuple[Tensor, Tensor],
) -> None:
    """Write the gradient of the features, and those of weight and bias with a row of zeros after them.

    Args:
        gradient: Of what was normalised, shape (batch, channel, z, y, x), and its steps.
        features: Before the norm, of the same shape, and their steps.
        statistics: Mean, and one over the spread, shape (images, 2, channels).
        sums: As :func:`backward_sums` wrote them.
        affine: Weight and bias of each channel.
        slope: Of what is negative; 1 is no activation.
        out: Written: gradients of the features, and of weight, bias and a row of zeros, shape (3, channels).
    """
    images, parts, _, channels = sums.shape
    rows, tile = rows_of(features[0]), tile_of(rows_of(features[0]), channels, TILE // 2)
    grid = (images, parts, triton.cdiv(channels, tile["CHANNELS"]))
    tensors = gradient[0], features[0], statistics, sums, *affine, *out
    numbers = rows, channels, *gradient[1], *features[1], triton.cdiv(rows, parts), slope
    _backward_apply[grid](
        *tensors, *numbers, **tile, COMBINED=combined_of(images * parts, tile), BENT=slope != 1
    )
