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
    target = label.long()
    counted = None if ignore is None else target != ignore
    if counted is not None:
        target = torch.where(counted, target, 0)
    ones = torch.ones_like(target, dtype=torch.float32) if counted is None else counted.float()
    weights = ones if class_weights is None else ones * class_weights[target]
    true = _by_class(ones, target, logits.shape[1])
    sums = _SoftmaxSums.apply(logits, target, weights, counted)  # type: ignore[no-untyped-call]
    intersection, predicted, entropy = sums
    return Sums(intersection, predicted, true, entropy, weights.sum())


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
    true = (inside if mask is None else inside & mask).sum((2, 3, 4), dtype=torch.float32)
    weight = true.new_tensor(float(logits.numel())) if counted is None else counted.sum(dtype=torch.float32)
    intersection, predicted, entropy = _SigmoidSums.apply(logits, inside, mask)  # type: ignore[no-untyped-call]
    return Sums(intersection, predicted, true, entropy, weight)


class _SoftmaxSums(torch.autograd.Function):
    @override
    @staticmethod
    def forward(
        ctx: Any, logits: Tensor, target: Tensor, weights: Tensor, counted: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        log = F.log_softmax(logits.float(), dim=1)
        log_true = log.gather(1, target[:, None])[:, 0]
        entropy = -(log_true * weights).sum()
        share, share_true = log.exp_(), log_true.exp_()
        if counted is not None:
            share, share_true = share.mul_(counted[:, None]), share_true.mul_(counted)
        ctx.save_for_backward(share, share_true, target, weights)
        ctx.dtype = logits.dtype
        intersection = _by_class(share_true, target, logits.shape[1])
        return intersection, share.sum((2, 3, 4)), entropy

    @override
    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        by_intersection, by_predicted, by_entropy = gradients
        share, share_true, target, weights = ctx.saved_tensors
        batch = target.shape[0]
        pulls = share_true * by_intersection.gather(1, target.view(batch, -1)).view(target.shape)
        entropies = weights * by_entropy
        gradient = share * by_predicted[:, :, None, None, None]
        common = gradient.sum(1).add_(pulls).sub_(entropies)
        gradient.addcmul_(share, common[:, None], value=-1)
        gradient.scatter_add_(1, target[:, None], pulls.sub_(entropies)[:, None])
        return gradient.to(ctx.dtype), None, None, None


class _SigmoidSums(torch.autograd.Function):
    @override
    @staticmethod
    def forward(
        ctx: Any, logits: Tensor, inside: Tensor, mask: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        exact = logits.float()
        entropy = F.softplus(exact) - exact * inside
        share = exact.sigmoid()
        if mask is not None:
            entropy.mul_(mask)
        ctx.save_for_backward(share, inside, mask)
        ctx.dtype = logits.dtype
        kept = share if mask is None else share * mask
        return (kept * inside).sum((2, 3, 4)), kept.sum((2, 3, 4)), entropy.sum()

    @override
    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        by_intersection, by_predicted, by_entropy = gradients
        share, inside, mask = ctx.saved_tensors
        pulls = torch.addcmul(
            by_predicted[:, :, None, None, None], inside.float(), by_intersection[:, :, None, None, None]
        )
        gradient = pulls.mul_(share * (1 - share)).add_((share - inside.float()) * by_entropy)
        if mask is not None:
            gradient.mul_(mask)
        return gradient.to(ctx.dtype), None, None


def _by_class(values: Tensor, target: Tensor, classes: int) -> Tensor:
    """Sum ``values`` by class, first within each row of voxels: threads that share no sum need not wait."""
    batch, z, y, _ = target.shape
    rows = values.new_zeros(batch, z, y, classes).scatter_add_(-1, target, values)
    return rows.sum((1, 2))
