"""What the losses need of a pyramid's level, summed over its voxels with its gradient in closed form.

Soft Dice, Tversky and cross entropy need a few sums per image and class. Their gradients are known, so one
buffer of probabilities is kept between forward and backward, and no one-hot copy of the label is made.
All is done in 32 bits, whatever the logits have.
"""

from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float, Integer
from torch import Tensor
from torch.nn import functional as F
from typing_extensions import override


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
    mask = None if counted is None else counted[:, None]
    inside = inside if mask is None else inside & mask
    true = inside.sum((2, 3, 4), dtype=torch.float32)
    weight = true.new_tensor(float(logits.numel())) if counted is None else counted.sum(dtype=torch.float32)
    intersection, predicted, entropy = _SigmoidSums.apply(logits, inside, mask)  # type: ignore[no-untyped-call]
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
    def forward(
        ctx: Any, logits: Tensor, inside: Tensor, mask: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        exact = logits.float()
        log_true = F.logsigmoid(inside.float().mul_(2).sub_(1).mul_(exact))  # of the truth, yes or no
        entropy = -(log_true if mask is None else log_true.mul_(mask)).sum()
        del log_true
        share = exact.sigmoid()
        if mask is not None:
            share.mul_(mask)
        ctx.save_for_backward(share, inside)
        ctx.dtype = logits.dtype
        return (share * inside).sum((2, 3, 4)), share.sum((2, 3, 4)), entropy

    @override
    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        by_intersection, by_predicted, by_entropy = gradients
        share, inside = ctx.saved_tensors
        truth = inside.float()
        by_share = by_predicted[:, :, None, None, None], by_intersection[:, :, None, None, None]
        gradient = torch.addcmul(by_share[0], truth, by_share[1]).mul_(share)
        gradient.addcmul_(gradient, share, value=-1).addcmul_(truth.sub_(share), by_entropy, value=-1)
        return gradient.to(ctx.dtype), None, None


def _by_class(values: Tensor, target: Tensor, classes: int) -> Tensor:
    """Sum ``values`` by class, first within each row of voxels: threads that share no sum need not wait."""
    rows = values.new_zeros(*target.shape[:3], classes).scatter_add_(-1, target, values)
    return rows.sum((1, 2))
