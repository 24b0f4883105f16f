"""Soft Dice and Tversky from the sums of a level, over images or over the whole batch on all ranks."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, distributed
from typing_extensions import override

from ingradient_pl.kernels.dice_ce import SMALLEST
from ingradient_pl.losses.soft_counts import SoftCounts


def soft_dice(
    sums: SoftCounts, smooth: float = 1e-5, *, pooled: bool = False
) -> Float[Tensor, "images output"]:
    """Twice the overlap over the sum of both sizes, for each image and class.

    Args:
        sums: Of one level.
        smooth: Added above and below, in voxels: a class that is neither true nor predicted scores 1.
        pooled: Take all images of the batch, on all ranks, as one.
    """
    intersection, predicted, true = _pool_counts(sums) if pooled else sums[:3]
    return (2 * intersection + smooth) / (true + predicted + smooth).clamp_min(SMALLEST)


def tversky(
    sums: SoftCounts,
    false_positives: float,
    false_negatives: float,
    smooth: float = 1e-5,
    *,
    pooled: bool = False,
) -> Float[Tensor, "images output"]:
    """Overlap over itself and both kinds of error, each with its own weight; 0.5 and 0.5 are Dice.

    Source: Salehi et al. 2017, https://arxiv.org/abs/1706.05721.

    Args:
        sums: Of one level.
        false_positives: Weight of what was predicted and is not true, 0 or more.
        false_negatives: Weight of what is true and was not predicted, 0 or more.
        smooth: Added above and below, in voxels: a class that is neither true nor predicted scores 1.
        pooled: Take all images of the batch, on all ranks, as one.
    """
    intersection, predicted, true = _pool_counts(sums) if pooled else sums[:3]
    errors = false_positives * (predicted - intersection) + false_negatives * (true - intersection)
    return (intersection + smooth) / (intersection + errors + smooth).clamp_min(SMALLEST)


def is_summed_over_ranks() -> bool:
    """Whether a batch is pooled over ranks: in training alone.

    Without gradients (validation) ranks may hold unequal numbers of batches, and one would wait forever.
    """
    return torch.is_grad_enabled() and distributed.is_available() and distributed.is_initialized()


def mean_over_ranks(count: Tensor) -> Tensor:
    """Give what a loss divides by, so that the mean of the ranks' losses is the loss of the whole batch.

    How many voxels, or outputs, count may differ from rank to rank; DDP takes the plain mean of gradients.

    Args:
        count: Of this rank; without gradient.
    """
    if not is_summed_over_ranks():
        return count
    total = count.detach().clone()
    distributed.all_reduce(total)
    return total / distributed.get_world_size()


def _pool_counts(sums: SoftCounts) -> Tensor:
    batch = torch.stack([sums.intersection.sum(0), sums.predicted.sum(0), sums.true.sum(0)])
    if is_summed_over_ranks():
        batch = _OverRanks.apply(batch)  # type: ignore[no-untyped-call]
    return batch[:, None]


class _OverRanks(torch.autograd.Function):
    """Sum over ranks; the gradient too is summed, which averaging over ranks (DDP) then makes exact."""

    @override
    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        total = values.clone()
        distributed.all_reduce(total)
        return total

    @override
    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        total = gradients[0].clone()
        distributed.all_reduce(total)
        return total
