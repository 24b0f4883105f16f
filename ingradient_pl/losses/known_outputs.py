"""Cases whose labels were not all annotated: marginal likelihood over classes, means over known outputs."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ingradient_pl.losses.dice import mean_over_ranks
from ingradient_pl.losses.soft_counts import SoftCounts

NEVER = -1e4
"""A logit whose share is nothing beside any other; minus infinity would make NaN of what it is times 0."""


def merge_unknown(
    logits: Float[Tensor, "batch output z y x"], known: Bool[Tensor, "batch output"] | None
) -> Float[Tensor, "batch output z y x"]:
    """Take the background and the classes that nobody annotated as one class, the first.

    Its share is the sum of theirs: where a label says background, the voxel is background or of any class
    that was not annotated, and a loss of these logits is that of the marginal likelihood. Logits of an image
    whose classes are all known stay as they are.

    Args:
        logits: Of classes, background first.
        known: Which classes each image's label tells apart; the background always is. None where all are.

    Source: Fidon et al. 2021, https://arxiv.org/abs/2107.03846; Shi et al. 2021,
    https://arxiv.org/abs/2007.03868.
    """
    if known is None:
        return logits
    exact = logits.to(torch.promote_types(logits.dtype, torch.float32))
    foreground = known[:, 1:, None, None, None]
    rest = torch.cat([exact[:, :1], exact[:, 1:].masked_fill(foreground, -torch.inf)], 1)
    return torch.cat([rest.logsumexp(1, keepdim=True), exact[:, 1:].masked_fill(~foreground, NEVER)], 1)


def mask_unknown(sums: SoftCounts, known: Bool[Tensor, "batch output"] | None) -> SoftCounts:
    """Count nothing of outputs that are not known.

    Args:
        sums: Of one level.
        known: Which outputs each image's label tells; None where it tells all.
    """
    if known is None:
        return sums
    weight = known.to(sums.true.dtype)
    return SoftCounts(*(one * weight for one in sums))


def mean_of_known(
    scores: Float[Tensor, "images output"],
    known: Bool[Tensor, "batch output"] | None,
    *,
    pooled: bool = False,
) -> Float[Tensor, ""]:
    """Average scores of images and outputs over those that are known.

    Args:
        scores: Of each image and output; of all images as one where ``pooled``.
        known: Which outputs each image's label tells; None where it tells all.
        pooled: Whether an output counts as soon as one image of the batch, on any rank, knows it.
    """
    if known is None:
        return scores.mean()
    weight = known.to(scores.dtype)
    if pooled:
        weight = (mean_over_ranks(weight.sum(0, keepdim=True)) > 0).to(scores.dtype)
    count = weight.sum() if pooled else mean_over_ranks(weight.sum())
    return (scores * weight).sum() / torch.where(count > 0, count, 1.0)
