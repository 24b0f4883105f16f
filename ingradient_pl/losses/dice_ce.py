"""Soft Dice and cross entropy for labels that exclude each other."""

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float, Integer
from torch import Tensor, nn
from typing_extensions import override

from ingradient_pl.kernels import dice_ce
from ingradient_pl.kernels.dice_ce import SMALLEST
from ingradient_pl.losses.dice import is_summed_over_ranks, mean_over_ranks, soft_dice
from ingradient_pl.losses.known_outputs import mean_of_known, merge_unknown
from ingradient_pl.losses.soft_counts import softmax_counts


class DiceCE(nn.Module):
    """Cross entropy minus soft Dice, as nnU-Net has it: the perfect prediction scores -1.

    Args:
        batch_dice: Take Dice over the batch (on all ranks) as if it were one image.
        ignore: Integer of voxels that nobody annotated; None if there are none.
        cross_entropy: Weight of the cross entropy; 0 leaves Dice alone.
        dice: Weight of Dice; 0 leaves the cross entropy alone.
        class_weights: Weight of a voxel in the cross entropy by its class, background first; None weighs
            all alike.
        background: Whether Dice counts the background as a class.
        smooth: Added above and below in Dice, in voxels.
        absent: Price of the share (probability) that voxels give to labels their case did not annotate, over
            all voxels and beside the cross entropy, in [0, 1]. A little keeps off false positives far from
            what was annotated; it pulls least where the network is sure.

    Raises:
        ValueError: If a weight is negative, both terms are off or ``absent`` is no share.

    Source: nnU-Net, Isensee et al. 2021, https://doi.org/10.1038/s41592-020-01008-z; class weights are ours.
    """

    regions: None = None  # each voxel has one label
    class_weights: Tensor | None

    def __init__(
        self,
        *,
        batch_dice: bool = False,
        ignore: int | None = None,
        cross_entropy: float = 1.0,
        dice: float = 1.0,
        class_weights: Sequence[float] | None = None,
        background: bool = False,
        smooth: float = 1e-5,
        absent: float = 0.0,
    ) -> None:
        super().__init__()
        if not 0 <= absent <= 1:
            raise ValueError(f"absent is a share in [0, 1]; got {absent}. A percentage? Divide by 100.")
        if min(cross_entropy, dice, smooth, *(class_weights or [0])) < 0 or cross_entropy == dice == 0:
            raise ValueError(
                "Weights of a loss are >= 0 and one of cross_entropy and dice is not 0; got "
                f"cross_entropy={cross_entropy}, dice={dice}, smooth={smooth}, class_weights={class_weights}."
            )
        self.batch_dice, self.ignore, self.background, self.smooth = batch_dice, ignore, background, smooth
        self.cross_entropy, self.dice, self.absent = cross_entropy, dice, absent
        weights = None if class_weights is None else torch.tensor(class_weights, dtype=torch.float32)
        self.register_buffer("class_weights", weights, persistent=False)

    @override
    def forward(
        self,
        logits: Float[Tensor, "batch output z y x"],
        label: Integer[Tensor, "batch z y x"],
        known: Bool[Tensor, "batch output"] | None = None,
    ) -> Float[Tensor, ""]:
        score = self._score(logits, label, known)
        if known is None or not self.absent:
            return score
        sums = softmax_counts(logits, label, self.ignore)
        share = (sums.predicted * ~known).sum() / mean_over_ranks(sums.true.sum()).clamp_min(SMALLEST)
        return score + self.absent * self.cross_entropy * share

    def _score(self, logits: Tensor, label: Tensor, known: Tensor | None) -> Tensor:
        """Give cross entropy minus soft Dice, each by its weight."""
        first = 0 if self.background else 1
        uneven = self.batch_dice or self.ignore is not None or self.class_weights is not None
        among_ranks = (uneven or known is not None) and is_summed_over_ranks()
        if dice_ce.fits(logits):
            numbers = self.ignore, self.batch_dice, first, self.smooth, self.cross_entropy, self.dice
            settings = dice_ce.Settings(*numbers)
            return dice_ce.dice_ce(
                logits, label, self.class_weights, settings, known, among_ranks=among_ranks
            )
        sums = softmax_counts(merge_unknown(logits, known), label, self.ignore)
        overlap = soft_dice(sums, self.smooth, pooled=self.batch_dice)[:, first:]
        counted = None if known is None else known[:, first:]
        mean = mean_of_known(overlap, counted, pooled=self.batch_dice)
        weights = sums.true.new_ones(()) if self.class_weights is None else self.class_weights
        mass = mean_over_ranks((weights * sums.true).sum()).clamp_min(SMALLEST)
        entropy = -(weights * sums.log).sum() / mass
        return self.cross_entropy * entropy - self.dice * mean
