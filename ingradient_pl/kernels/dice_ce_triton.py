"""Soft Dice and cross entropy of a level in one pass there and one back, as Triton programs.

One program goes through a part of an image's voxels with all their classes, in 32 bits. Parts are summed in
their order, so that no sum depends on which program was first.
"""

import triton
import triton.language as tl
from torch import Tensor

TILE = 2048
"""Logits that a program holds at a time."""
PROGRAMS, MOST_PARTS = 1024, 256
NEVER = tl.constexpr(-1e4)
"""The logit of a class that nobody annotated, once it is one with the background."""


@triton.jit
def _shares(
    logits,
    marks,
    known,
    ignore,
    voxel,
    count,
    classes,
    voxel_stride,
    class_stride,
    label_z,
    label_y,
    label_x,
    edge_y,
    edge_x,
    CLASSES: tl.constexpr,
    IGNORES: tl.constexpr,
    KNOWS: tl.constexpr,
):
    # Of some voxels: shares, their logarithms, where a class is true, which values there are, and of the
    # classes that are one with the background (it among them) each one's part in it
    column = tl.arange(0, CLASSES)
    there = (voxel < count)[:, None] & (column < classes)[None, :]
    place = logits + voxel.to(tl.int64)[:, None] * voxel_stride + column[None, :] * class_stride
    values = tl.load(place, mask=there, other=float("-inf")).to(tl.float32)
    x = voxel % edge_x
    y = (voxel // edge_x) % edge_y
    z = voxel // (edge_x * edge_y)
    mark = tl.load(marks + z * label_z + y * label_y + x * label_x, mask=voxel < count, other=0).to(tl.int32)
    counted = voxel < count
    if IGNORES:
        counted = counted & (mark != ignore)
    top = tl.max(tl.where(there, values, float("-inf")), 1)
    top = tl.where(voxel < count, top, 0.0)
    shifted = tl.where(there, values - top[:, None], 0.0)
    powers = tl.where(there, tl.exp(shifted), 0.0)
    total = tl.where(voxel < count, tl.sum(powers, 1), 1.0)
    valid = there & counted[:, None]
    share = powers / total[:, None]
    log = shifted - tl.log(total)[:, None]
    part = share
    if KNOWS:
        told = (tl.load(known + column, mask=column < classes, other=0) != 0) & (column > 0)
        rest = there & ~told[None, :]
        highest = tl.max(tl.where(rest, values, float("-inf")), 1)
        highest = tl.where(voxel < count, highest, 0.0)
        powers = tl.where(rest, tl.exp(tl.where(rest, values - highest[:, None], 0.0)), 0.0)
        merged = tl.where(voxel < count, tl.sum(powers, 1), 1.0)
        part = powers / merged[:, None]
        merged_log = highest - top + tl.log(merged) - tl.log(total)
        first = (column == 0)[None, :]
        log = tl.where(told[None, :], log, NEVER - top[:, None] - tl.log(total)[:, None])
        log = tl.where(first, merged_log[:, None], log)
        share = tl.where(told[None, :], share, 0.0)
        share = tl.where(first, tl.exp(merged_log)[:, None], share)
    share = tl.where(valid, share, 0.0)
    truth = valid & (mark[:, None] == column[None, :])
    return share, log, truth, there, part


@triton.jit(do_not_specialize=["voxels", "chunk", "ignore"])
def _sums(
    logits,
    label,
    known,
    out,
    ignore,
    voxels,
    classes,
    batch_stride,
    voxel_stride,
    class_stride,
    label_batch,
    label_z,
    label_y,
    label_x,
    edge_y,
    edge_x,
    chunk,
    VOXELS: tl.constexpr,
    CLASSES: tl.constexpr,
    IGNORES: tl.constexpr,
    KNOWS: tl.constexpr,
):
    image, part = tl.program_id(0).to(tl.int64), tl.program_id(1)
    source = logits + image * batch_stride
    marks = label + image * label_batch
    stop = tl.minimum((part + 1) * chunk, voxels)
    overlap = tl.zeros((VOXELS, CLASSES), tl.float32)
    predicted = tl.zeros((VOXELS, CLASSES), tl.float32)
    true = tl.zeros((VOXELS, CLASSES), tl.float32)
    logs = tl.zeros((VOXELS, CLASSES), tl.float32)
    for begin in range(part * chunk, stop, VOXELS):
        voxel = begin + tl.arange(0, VOXELS)
        share, log, truth, _, _ = _shares(
            source,
            marks,
            known + image * classes,
            ignore,
            voxel,
            stop,
            classes,
            voxel_stride,
            class_stride,
            label_z,
            label_y,
            label_x,
            edge_y,
            edge_x,
            CLASSES,
            IGNORES,
            KNOWS,
        )
        overlap += tl.where(truth, share, 0.0)
        predicted += share
        true += tl.where(truth, 1.0, 0.0)
        logs += tl.where(truth, log, 0.0)
    column = tl.arange(0, CLASSES)
    inside = column < classes
    place = out + (image * tl.num_programs(1) + part) * (4 * classes) + column
    tl.store(place, tl.sum(overlap, 0), mask=inside)
    tl.store(place + classes, tl.sum(predicted, 0), mask=inside)
    tl.store(place + 2 * classes, tl.sum(true, 0), mask=inside)
    tl.store(place + 3 * classes, tl.sum(logs, 0), mask=inside)


@triton.jit(do_not_specialize=["voxels", "chunk", "ignore"])
def _backward(
    logits,
    label,
    known,
    above,
    slopes,
    out,
    ignore,
    voxels,
    classes,
    batch_stride,
    voxel_stride,
    class_stride,
    label_batch,
    label_z,
    label_y,
    label_x,
    edge_y,
    edge_x,
    slope_batch,
    slope_kind,
    slope_class,
    chunk,
    VOXELS: tl.constexpr,
    CLASSES: tl.constexpr,
    IGNORES: tl.constexpr,
    KNOWS: tl.constexpr,
    SCALED: tl.constexpr,
):
    # With p a share, t its truth and i, s, l the slopes of overlap, predicted and log:
    # d/dlog p = t (i p + l) + s p =: g, and through the softmax d/dlogit = g - p sum(g). That of the
    # background with all that is one with it goes to each by its part
    image, part = tl.program_id(0).to(tl.int64), tl.program_id(1)
    source = logits + image * batch_stride
    target = out + image * batch_stride
    marks = label + image * label_batch
    stop = tl.minimum((part + 1) * chunk, voxels)
    column = tl.arange(0, CLASSES)
    inside = column < classes
    own = slopes + image * slope_batch + column * slope_class
    by_overlap = tl.load(own, mask=inside, other=0.0)
    by_predicted = tl.load(own + slope_kind, mask=inside, other=0.0)
    by_log = tl.load(own + 2 * slope_kind, mask=inside, other=0.0)
    if KNOWS:
        told = (tl.load(known + image * classes + column, mask=inside, other=0) != 0) & (column > 0)
    if SCALED:
        factor = tl.load(above).to(tl.float32)
        by_overlap *= factor
        by_predicted *= factor
        by_log *= factor
    for begin in range(part * chunk, stop, VOXELS):
        voxel = begin + tl.arange(0, VOXELS)
        share, _, truth, there, one_of = _shares(
            source,
            marks,
            known + image * classes,
            ignore,
            voxel,
            stop,
            classes,
            voxel_stride,
            class_stride,
            label_z,
            label_y,
            label_x,
            edge_y,
            edge_x,
            CLASSES,
            IGNORES,
            KNOWS,
        )
        pull = (
            tl.where(truth, by_overlap[None, :] * share + by_log[None, :], 0.0)
            + by_predicted[None, :] * share
        )
        found = pull - share * tl.sum(pull, 1)[:, None]
        if KNOWS:
            first = tl.sum(tl.where((column == 0)[None, :], found, 0.0), 1)
            found = tl.where(told[None, :], found, first[:, None] * one_of)
        place = target + voxel.to(tl.int64)[:, None] * voxel_stride + column[None, :] * class_stride
        tl.store(place, found.to(out.dtype.element_ty), mask=there)


def parts_of(images: int, voxels: int, classes: int) -> int:
    """In how many parts the voxels of each image are summed.

    Args:
        images: In the batch.
        voxels: Of each image.
        classes: Of each voxel.
    """
    high = _tile(classes)["VOXELS"]
    most = min(MOST_PARTS, triton.cdiv(PROGRAMS, images), triton.cdiv(voxels, high))
    return int(triton.cdiv(voxels, triton.cdiv(voxels, most)))


def sums(
    logits: tuple[Tensor, tuple[int, int, int]],
    label: Tensor,
    known: Tensor | None,
    ignore: int | None,
    out: Tensor,
) -> None:
    """Write overlap, predicted, true and log of each part; ``out`` is ``(images, parts, 4, classes)``.

    Args:
        logits: Shape (batch, class, z, y, x), and the steps from image to image, voxel to voxel, class to
            class.
        label: Shape (batch, z, y, x), classes from 0.
        known: Shape (batch, class), bytes: 0 where a class is one with the background; None where none is.
        ignore: Label whose voxels count nowhere; None where there is none.
        out: Written; its second size says how many parts an image is summed in.
    """
    values, strides = logits
    images, parts, _, classes = out.shape
    voxels = label.shape[1:].numel()
    chosen = {**_tile(classes), "IGNORES": ignore is not None, "KNOWS": known is not None}
    numbers = 0 if ignore is None else ignore, voxels, classes, *strides, *label.stride(), *label.shape[2:]
    told = label if known is None else known
    _sums[(images, parts)](values, label, told, out, *numbers, triton.cdiv(voxels, parts), **chosen)


def backward(
    logits: tuple[Tensor, tuple[int, int, int]],
    label: Tensor,
    known: Tensor | None,
    ignore: int | None,
    slopes: tuple[Tensor, Tensor | None],
    out: Tensor,
) -> None:
    """Write the gradient of the logits, where they lie; slopes are (image, 3, class) and a factor for all.

    Args:
        logits: Shape (batch, class, z, y, x), and the steps from image to image, voxel to voxel, class to
            class.
        label: Shape (batch, z, y, x), classes from 0.
        known: Shape (batch, class), bytes: 0 where a class is one with the background; None where none is.
        ignore: Label whose voxels count nowhere; None where there is none.
        slopes: Of the sums; and a factor for all, one number, or None.
        out: Written, where the logits lie.
    """
    (values, strides), (own, factor) = logits, slopes
    images, _, classes = own.shape
    voxels = label.shape[1:].numel()
    parts = parts_of(images, voxels, classes)
    chosen = {**_tile(classes), "IGNORES": ignore is not None, "SCALED": factor is not None}
    chosen["KNOWS"] = known is not None
    numbers = 0 if ignore is None else ignore, voxels, classes, *strides, *label.stride(), *label.shape[2:]
    tensors = values, label, label if known is None else known, own if factor is None else factor, own, out
    _backward[(images, parts)](*tensors, *numbers, *own.stride(), triton.cdiv(voxels, parts), **chosen)


def _tile(classes: int) -> dict[str, int]:
    wide = triton.next_power_of_2(classes)
    return {"VOXELS": max(1, TILE // wide), "CLASSES": wide}
