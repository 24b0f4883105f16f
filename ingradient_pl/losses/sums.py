"""What the losses need of a pyramid's level, summed over its voxels with its gradient in closed form.

Soft Dice, Tversky and cross entropy need a few sums per image and class. Their gradients are known, so one
buffer of probabilities is kept between forward and backward, and no one-hot copy of the label is made. Of
regions not even that is kept: they are made anew from the logits, in parts that fit a processor's cache, so
that nothing of the logits' size exists but their gradient. All is done in 32 bits, whatever the logits have:
no operation here is one that autocast would do in 16.
"""

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float, Integer
from torch import Tensor
from torch.nn import functional as F
from typing_extensions import override

PART = 2**16
"""Values of logits that a CPU works on at a time: a step's buffers stay in its cache."""
PART_ELSEWHERE = 2**22
"""The same elsewhere, where starting a step is what costs."""
VOXELS = (2, 3, 4)


class Sums(NamedTuple):
    """Of one level, over the voxels that count.

    Args:
        intersection: Probability given to a class where it is true.
        predicted: Probability given to a class anywhere.
        true: Voxels of a class.
        entropy: Cross entropy, weighted.
        weight: Total weight of the voxels in ``entropy``.
    """

    intersection: Float[Tensor, "batch output"]
    predicted: Float[Tensor, "batch output"]
    true: Float[Tensor, "batch output"]
    entropy: Float[Tensor, ""]
    weight: Float[Tensor, ""]


def softmax_sums(
    logits: Float[Tensor, "batch output z y x"],
    label: Integer[Tensor, "batch z y x"],
    ignore: int | None = None,
    class_weights: Float[Tensor, " output"] | None = None,
) -> Sums:
    """Sum over voxels where each belongs to one class.

    Args:
        logits: Of one level.
        label: Integers from 0 to the number of outputs, or ``ignore``.
        ignore: Integer of voxels that do not count; None if all do.
        class_weights: Weight of a voxel in the cross entropy by its class; None weighs all alike.
    """
    one = logits.new_ones((), dtype=torch.float32)
    counted = None if ignore is None else label != ignore
    kept = label if counted is None else torch.where(counted, label, 0)
    target = kept.long()
    weights = counted
    if class_weights is not None:
        by_class = class_weights[target]
        weights = by_class if counted is None else by_class * counted
    true = _by_class(one.expand(label.shape) if counted is None else counted.float(), target, logits.shape[1])
    sums = _SoftmaxSums.apply(logits, kept, target, weights, counted)  # type: ignore[no-untyped-call]
    intersection, predicted, entropy = sums
    weight = one * label.numel() if weights is None else weights.sum(dtype=torch.float32)
    return Sums(intersection, predicted, true, entropy, weight)


def sigmoid_sums(
    logits: Float[Tensor, "batch output z y x"],
    inside: Bool[Tensor, "batch output z y x"],
    counted: Bool[Tensor, "batch z y x"] | None = None,
) -> Sums:
    """Sum over voxels where each may belong to several regions, or none.

    Args:
        logits: Of one level.
        inside: Whether a voxel is in a region.
        counted: Voxels that count; None if all do.
    """
    weight = logits.new_tensor(float(logits.numel()), dtype=torch.float32)
    if counted is not None:
        weight = counted.sum(dtype=torch.float32)
    sums = _SigmoidSums.apply(logits, inside, counted)  # type: ignore[no-untyped-call]
    intersection, predicted, true, entropy = sums
    return Sums(intersection, predicted, true, entropy, weight)


class _SoftmaxSums(torch.autograd.Function):
    @override
    @staticmethod
    def forward(  # keeps the label as small as it came, not the 64-bit target made of it
        ctx: Any,
        logits: Tensor,
        label: Tensor,
        target: Tensor,
        weights: Tensor | None,
        counted: Tensor | None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        log = F.log_softmax(logits.float(), dim=1)
        log_true = log.gather(1, target[:, None])[:, 0]
        entropy = -(log_true if weights is None else log_true * weights).sum()
        share, share_true = log.exp_(), log_true.exp_()
        if counted is not None:
            share, share_true = share.mul_(counted[:, None]), share_true.mul_(counted)
        ctx.save_for_backward(share, label, weights)
        ctx.dtype = logits.dtype
        intersection = _by_class(share_true, target, logits.shape[1])
        return intersection, share.sum((2, 3, 4)), entropy

    @override
    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        # With p the share of a class and t its truth: d/dlogit = p (b - sum(b p) - a p_t + e) + t (a p_t - e)
        # where a, b and e are the gradients of intersection, prediction and entropy
        by_intersection, by_predicted, by_entropy = gradients
        share, label, weights = ctx.saved_tensors
        target = label.long()
        pulls = share.gather(1, target[:, None])[:, 0]
        pulls.mul_(by_intersection.gather(1, target.flatten(1)).view_as(pulls))
        pulls.sub_(by_entropy if weights is None else weights * by_entropy)
        gradient = share * by_predicted[:, :, None, None, None]
        gradient.addcmul_(share, gradient.sum(1, keepdim=True).add_(pulls[:, None]), value=-1)
        gradient.scatter_add_(1, target[:, None], pulls[:, None])
        return gradient.to(ctx.dtype), None, None, None, None


class _SigmoidSums(torch.autograd.Function):
    @override
    @staticmethod
    def forward(ctx: Any, logits: Tensor, inside: Tensor, counted: Tensor | None) -> tuple[Tensor, ...]:
        ctx.save_for_backward(logits, inside, counted)
        sums = logits.new_zeros((3, *logits.shape[:2]), dtype=torch.float32)
        entropy = logits.new_zeros((), dtype=torch.float32)
        for images, rows in _parts(logits):
            exact, truth = logits[images, :, rows].float(), inside[images, :, rows].float()
            wrong = F.softplus((1 - 2 * truth).mul_(exact))  # minus the log of the truth's share, yes or no
            share = exact.sigmoid()
            if counted is not None:
                for one in (wrong, share, truth):
                    one.mul_(counted[images, None, rows])
            entropy += wrong.sum()
            parts = share.sum(VOXELS), truth.sum(VOXELS), share.mul_(truth).sum(VOXELS)
            sums[:, images] += torch.stack(parts)
        predicted, true, intersection = sums.unbind()
        ctx.mark_non_differentiable(true)
        return intersection, predicted, true, entropy

    @override
    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        by_intersection, by_predicted, _, by_entropy = (one[..., None, None, None] for one in gradients)
        logits, inside, counted = ctx.saved_tensors
        gradient = torch.empty_like(logits)
        for images, rows in _parts(logits):
            share, truth = logits[images, :, rows].float().sigmoid(), inside[images, :, rows].float()
            pull = (truth * by_intersection[images]).add_(by_predicted[images]).mul_(share)
            pull.addcmul_(pull, share, value=-1).add_(share.sub_(truth).mul_(by_entropy))
            if counted is not None:
                pull.mul_(counted[images, None, rows])
            gradient[images, :, rows] = pull
        return gradient, None, None


def _by_class(values: Tensor, target: Tensor, classes: int) -> Tensor:
    """Sum ``values`` by class, first within each row of voxels: threads that share no sum need not wait."""
    rows = values.new_zeros(*target.shape[:3], classes).scatter_add_(-1, target, values)
    return rows.sum((1, 2))


def _parts(logits: Tensor) -> Iterator[tuple[slice, slice]]:
    """Divide a level into several images each, or where that is too much into slices of one."""
    images, outputs, depth, *plane = logits.shape
    slab = outputs * math.prod(plane)
    values = PART if logits.is_cpu else PART_ELSEWHERE
    together = max(1, values // (slab * depth))
    rows = depth if values >= slab * depth else max(1, values // slab)
    for first in range(0, images, together):
        for start in range(0, depth, rows):
            yield slice(first, first + together), slice(start, start + rows)
