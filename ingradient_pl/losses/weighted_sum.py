"""Losses added up."""

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float, Integer
from torch import Tensor, nn
from typing_extensions import override

from ingradient_pl.short_repr import describe


class WeightedSum(nn.Module):
    """Several losses of one level as one: Dice and the hardest voxels, Tversky and focal, ...

    Args:
        losses: Each takes logits and label of one level, gives a scalar.
        weights: One for each; None adds them as they are.

    Raises:
        ValueError: If there is no loss, not one weight for each, or a weight below 0 or none above.
    """

    def __init__(self, losses: Sequence[nn.Module], weights: Sequence[float] | None = None) -> None:
        super().__init__()
        weights = [1.0] * len(losses) if weights is None else weights
        if not losses or len(weights) != len(losses) or min(weights) < 0 or not sum(weights):
            raise ValueError(
                f"{len(losses)} losses need as many weights from 0, and at least one above; got "
                f"{list(weights)}."
            )
        self.losses, self.weights = nn.ModuleList(losses), tuple(weights)

    def __repr__(self) -> str:
        return describe(self, {"losses": list(self.losses), "weights": self.weights})

    @override
    def forward(
        self,
        logits: Float[Tensor, "batch output z y x"],
        label: Integer[Tensor, "batch z y x"],
        known: Bool[Tensor, "batch output"] | None = None,
    ) -> Float[Tensor, ""]:
        more = () if known is None else (known,)
        pairs = zip(self.weights, self.losses, strict=True)
        return torch.stack([weight * loss(logits, label, *more) for weight, loss in pairs]).sum()
