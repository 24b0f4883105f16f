"""Overlap that weighs what was missed against what was invented."""

from jaxtyping import Bool, Float, Integer
from torch import Tensor, nn
from typing_extensions import override

from ingradient_pl.losses.dice import tversky
from ingradient_pl.losses.known_outputs import mean_of_known, merge_unknown
from ingradient_pl.losses.soft_counts import softmax_counts


class Tversky(nn.Module):
    """One minus the Tversky index of each foreground class, to a power: 0 for the perfect prediction.

    Args:
        false_positives: Weight of voxels invented; with ``false_negatives`` 0.5 it is Dice.
        false_negatives: Weight of voxels missed; higher finds more of small lesions.
        power: Of what is left to one; 1 is the plain index, 0.75 the focal Tversky of its authors.
        batch_dice: Take overlap over the batch (on all ranks) as if it were one image.
        ignore: Integer of voxels that nobody annotated; None if there are none.
        smooth: Added above and below, in voxels.

    Raises:
        ValueError: If a weight is negative, both are 0 or the power is not positive.

    Source: Salehi et al. 2017, https://arxiv.org/abs/1706.05721; Abraham & Khan 2018,
    https://arxiv.org/abs/1810.07842, whose gamma is 1 / ``power``.
    """

    regions: None = None  # each voxel has one label

    def __init__(
        self,
        false_positives: float = 0.3,
        false_negatives: float = 0.7,
        *,
        power: float = 1.0,
        batch_dice: bool = False,
        ignore: int | None = None,
        smooth: float = 1e-5,
    ) -> None:
        super().__init__()
        if min(false_positives, false_negatives) < 0 or false_positives == false_negatives == 0 or power <= 0:
            raise ValueError(
                "The weights of errors are >= 0, not both 0, and power is > 0; got "
                f"false_positives={false_positives}, false_negatives={false_negatives}, power={power}."
            )
        self.false_positives, self.false_negatives, self.power = false_positives, false_negatives, power
        self.batch_dice, self.ignore, self.smooth = batch_dice, ignore, smooth

    @override
    def forward(
        self,
        logits: Float[Tensor, "batch output z y x"],
        label: Integer[Tensor, "batch z y x"],
        known: Bool[Tensor, "batch output"] | None = None,
    ) -> Float[Tensor, ""]:
        sums = softmax_counts(merge_unknown(logits, known), label, self.ignore)
        errors = self.false_positives, self.false_negatives
        index = tversky(sums, *errors, self.smooth, pooled=self.batch_dice)[:, 1:]
        # A slope without end at a perfect class would be NaN below power 1
        missed = (1 - index).clamp_min(1e-7).pow(self.power)
        return mean_of_known(missed, None if known is None else known[:, 1:], pooled=self.batch_dice)
