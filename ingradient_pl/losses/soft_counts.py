"""What the losses need of a pyramid's level, summed over its voxels with its gradient in closed form.

Soft Dice, Tversky and cross entropy need four sums per image and output. Their gradients are known, so
autograd keeps none of the steps between: of classes the shares alone are kept for the way back, of regions
nothing, they are made anew from the logits. Both ways go through a level in parts that fit a processor's
cache, so that nothing else of the logits' size exists. All is done in 32 bits (64 where the logits have
them): no operation here is one that autocast would do in 16.
"""

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Integer, UInt8
from torch import Tensor
from typing_extensions import override

from ingradient_pl.kernels import dice_ce
from ingradient_pl.kernels.tracing import assume_constant_result

PART = 2**18
"""Values of logits that one thread of a CPU works on at a time: a step's buffers stay in its cache."""
PART_ELSEWHERE = 2**22
"""The same for a whole device elsewhere, where starting a step is what costs."""
LOG2_E = math.log2(math.e)
VOXELS = (2, 3, 4)


class SoftCounts(NamedTuple):
    """Of one level, over the voxels that count.

    Args:
        intersection: Share (probability) given to an output where it is true.
        predicted: Share given to an output anywhere.
        true: Voxels where an output is true.
        log: Logarithms of the share given to what is true: to a class where it is true, for a region to its
            inside there and to its outside elsewhere.
    """

    intersection: Float[Tensor, "batch output"]
    predicted: Float[Tensor, "batch output"]
    true: Float[Tensor, "batch output"]
    log: Float[Tensor, "batch output"]


def softmax_counts(
    logits: Float[Tensor, "batch output z y x"],
    label: Integer[Tensor, "batch z y x"],
    ignore: int | None = None,
) -> SoftCounts:
    """Sum over voxels where each belongs to one class.

    Args:
        logits: Of one level.
        label: Integers from 0 to the number of outputs, or ``ignore``.
        ignore: Integer of voxels that do not count; None if all do.
    """
    if dice_ce.fits(logits):
        intersection, predicted, true, log = dice_ce.class_sums(logits, label, ignore).unbind(1)
        return SoftCounts(intersection, predicted, true.detach(), log)
    return SoftCounts(*_SoftmaxCounts.apply(logits, label, ignore))  # type: ignore[no-untyped-call]


def sigmoid_counts(
    logits: Float[Tensor, "batch output z y x"],
    inside: UInt8[Tensor, "batch output z y x"],
    counted: UInt8[Tensor, "batch z y x"] | None = None,
) -> SoftCounts:
    """Sum over voxels where each may belong to several regions, or none.

    Args:
        logits: Of one level.
        inside: One where a voxel is in a region, else 0.
        counted: One where a voxel counts, else 0; None if all do.
    """
    return SoftCounts(*_SigmoidCounts.apply(logits, inside, counted))  # type: ignore[no-untyped-call]


def equal(label: Integer[Tensor, "*voxels"], integer: Tensor | int) -> UInt8[Tensor, "*_"]:
    """Give 1 where ``label`` is ``integer``, else 0; to bool a CPU would compare ten times as slowly.

    Args:
        label: Integers.
        integer: One for all, or a tensor whose shape broadcasts to the label's.
    """
    other = () if isinstance(integer, int) else integer.shape
    shape = torch.broadcast_shapes(label.shape, other)  # type: ignore[no-untyped-call]
    return torch.eq(label, integer, out=label.new_empty(shape, dtype=torch.uint8))


class _SoftmaxCounts(torch.autograd.Function):
    @override
    @staticmethod
    def forward(ctx: Any, logits: Tensor, label: Tensor, ignore: int | None) -> tuple[Tensor, ...]:
        shares = torch.empty(logits.shape, dtype=_exact(logits), device=logits.device)
        sums = shares.new_zeros(4, *logits.shape[:2])
        for images, rows, (log, truth) in _parts(logits, 2):
            torch.log_softmax(logits[images, :, rows].to(log.dtype), 1, out=log)
            # 2 to the power of log2, since MKL's exp takes twice as long
            share = torch.mul(log, LOG2_E, out=shares[images, :, rows]).exp2_()
            counted = _classes(label[images, rows], ignore, truth)
            if counted is not None:
                share.mul_(counted)
            predicted, true, log = share.sum(VOXELS), truth.sum(VOXELS), log.mul_(truth).sum(VOXELS)
            sums[:, images] += torch.stack([truth.mul_(share).sum(VOXELS), predicted, true, log])
        intersection, predicted, true, log = sums.unbind()
        ctx.save_for_backward(shares, label)
        ctx.ignore, ctx.dtype = ignore, logits.dtype
        ctx.mark_non_differentiable(true)
        return intersection, predicted, true, log

    @override
    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        # With p the share of a class, t its truth and i, s, l the gradients of intersection, predicted and
        # log: d/dlog p = t (i p + l) + s p =: g, and through the softmax d/dlogit = g - p sum(g)
        shares, label = ctx.saved_tensors
        by_intersection, by_predicted, _, by_log = (one[..., None, None, None] for one in gradients)
        gradient = torch.empty_like(shares, dtype=ctx.dtype)
        for images, rows, (pull, truth) in _parts(shares, 2):
            share = shares[images, :, rows]
            _classes(label[images, rows], ctx.ignore, truth)
            torch.mul(share, by_intersection[images], out=pull).add_(by_log[images]).mul_(truth)
            pull.addcmul_(share, by_predicted[images])
            out = gradient[images, :, rows]
            torch.addcmul(pull, share, pull.sum(1, keepdim=True), value=-1, out=out)
        return gradient, None, None


class _SigmoidCounts(torch.autograd.Function):
    @override
    @staticmethod
    def forward(ctx: Any, logits: Tensor, inside: Tensor, counted: Tensor | None) -> tuple[Tensor, ...]:
        ctx.save_for_backward(logits, inside, counted)
        sums = logits.new_zeros((4, *logits.shape[:2]), dtype=_exact(logits))
        for images, rows, (truth, share, room) in _parts(logits, 3):
            exact = _plain(logits[images, :, rows], truth.dtype)
            truth.copy_(inside[images, :, rows])
            # log of the truth's share = x t - log(1 + e^x), and log(1 + e^x) = max(x, 0) - log(max(p, 1 - p))
            torch.sigmoid(exact, out=share)
            above = torch.clamp_min(exact, 0, out=room)
            if counted is not None:
                for one in (truth, share, above):
                    one.mul_(counted[images, None, rows])
            log = -above.sum(VOXELS)
            log += torch.mul(exact, truth, out=room).sum(VOXELS)
            log += _sum_of_logs(torch.sub(share, 0.5, out=room).abs_().add_(0.5))
            predicted, true = share.sum(VOXELS), truth.sum(VOXELS)
            sums[:, images] += torch.stack([truth.mul_(share).sum(VOXELS), predicted, true, log])
        intersection, predicted, true, log = sums.unbind()
        ctx.mark_non_differentiable(true)
        return intersection, predicted, true, log

    @override
    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        # With p, t, i, s and l as above: d/dlogit = p (1 - p) (t i + s) + (t - p) l
        logits, inside, counted = ctx.saved_tensors
        by_intersection, by_predicted, _, by_log = (one[..., None, None, None] for one in gradients)
        gradient = torch.empty(logits.shape, dtype=logits.dtype, device=logits.device)
        for images, rows, (truth, share, pull) in _parts(logits, 3):
            torch.sigmoid(_plain(logits[images, :, rows], share.dtype), out=share)
            truth.copy_(inside[images, :, rows])
            torch.mul(truth, by_intersection[images], out=pull).add_(by_predicted[images])
            pull.mul_(share).addcmul_(pull, share, value=-1)
            apart = truth.sub_(share)
            if counted is not None:
                for one in (pull, apart):
                    one.mul_(counted[images, None, rows])
            torch.addcmul(pull, apart, by_log[images], out=gradient[images, :, rows])
        return gradient, None, None


def _classes(label: Tensor, ignore: int | None, truth: Tensor) -> Tensor | None:
    """Set ``truth`` to one where a class is true, else to zero; tell which voxels count (None: all)."""
    label = label[:, None]
    classes = torch.arange(truth.shape[1], dtype=label.dtype, device=label.device)
    truth.copy_(equal(label, classes[:, None, None, None]))
    if ignore is None:
        return None
    counted = 1 - equal(label, ignore)
    truth.mul_(counted)
    return counted


def _sum_of_logs(shares: Tensor) -> Tensor:
    """Sum the logarithms of numbers of at least a half: one logarithm serves for sixty of them."""
    parts = [rows.prod(2).log_().sum((2, 3)) for rows in torch.split(shares, 60, 2)]
    return torch.stack(parts).sum(0)


def _exact(logits: Tensor) -> torch.dtype:
    return torch.promote_types(logits.dtype, torch.float32)


def _plain(logits: Tensor, dtype: torch.dtype) -> Tensor:
    return logits.to(dtype, memory_format=torch.contiguous_format)


@assume_constant_result
def _threads() -> int:
    return torch.get_num_threads()


def _parts(level: Tensor, buffers: int) -> Iterator[tuple[slice, slice, list[Tensor]]]:
    """Divide a level into several images each, or where that is too much into slices of one.

    With each part come ``buffers`` of its shape, in the same memory for all parts: fresh memory costs a CPU
    more than what is reckoned in it. On a CPU no part is more than half of the batch, however small: buffers
    stay small beside the logits.
    """
    images, outputs, depth, *plane = level.shape
    slab = outputs * math.prod(plane)
    values = PART * _threads() if level.is_cpu else PART_ELSEWHERE
    most = max(1, images // 2) if level.is_cpu else images
    together = min(most, max(1, values // (slab * depth)))
    rows = math.ceil(depth / math.ceil(slab * depth / values))
    room = torch.empty(buffers, together * rows * slab, dtype=_exact(level), device=level.device)
    for first in range(0, images, together):
        for start in range(0, depth, rows):
            shape = (min(together, images - first), outputs, min(rows, depth - start), *plane)
            free = [one[: math.prod(shape)].view(shape) for one in room]
            yield slice(first, first + together), slice(start, start + rows), free
