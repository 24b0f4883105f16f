"""Cross entropy that looks away from what is easy."""

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float, Integer
from torch import Tensor, nn
from torch.nn import functional as F
from typing_extensions import override

from ingradient_pl.losses.dice import mean_over_ranks
from ingradient_pl.losses.known_outputs import merge_unknown


class Focal(nn.Module):
    """Mean cross entropy, each voxel weighed by a power of the probability that it is wrong.

    Args:
        power: 0 is the plain cross entropy; the higher, the less do easy voxels count.
        ignore: Integer of voxels that nobody annotated; None if there are none.
        class_weights: Weight of a voxel by its class, background first; None weighs all alike.

    Raises:
        ValueError: If ``power`` or a weight is negative.

    Source: Lin et al. 2017, https://arxiv.org/abs/1708.02002, for several classes.
    """

    regions: None = None  # each voxel has one label
    class_weights: Tensor | None

    def __init__(
        self, power: float = 2.0, *, ignore: int | None = None, class_weights: Sequence[float] | None = None
    ) -> None:
        super().__init__()
        if min(power, *(class_weights or [0])) < 0:
            raise ValueError(f"power and class_weights are >= 0; got power={power}, {class_weights=}.")
        self.power, self.ignore = power, ignore
        weights = None if class_weights is None else torch.tensor(class_weights, dtype=torch.float32)
        self.register_buffer("class_weights", weights, persistent=False)

    @override
    def forward(
        self,
        logits: Float[Tensor, "batch output z y x"],
        label: Integer[Tensor, "batch z y x"],
        known: Bool[Tensor, "batch output"] | None = None,
    ) -> Float[Tensor, ""]:
        target = label.long()
        counted = torch.ones_like(target) if self.ignore is None else (target != self.ignore).long()
        target = target * counted
        weights = counted.float() if self.class_weights is None else counted * self.class_weights[target]
        entropy = F.cross_entropy(merge_unknown(logits.float(), known), target, reduction="none")
        wrong = (-torch.expm1(-entropy)).clamp_min(1e-7)  # of 0 a power below 1 has no gradient
        return (weights * wrong**self.power * entropy).sum() / mean_over_ranks(weights.sum()).clamp_min(1e-8)
