"""Losses of other packages, which want the label as integers of 64 bits with a channel axis."""

import torch
from jaxtyping import Float, Integer
from torch import Tensor, nn
from typing_extensions import override

from ingradient_pl.short_repr import describe


class ExternalLoss(nn.Module):
    """Hand a level's logits and label to a loss as another package takes them.

    MONAI's losses take (batch, 1, z, y, x) where ``to_onehot_y`` is set; torch's ``CrossEntropyLoss`` takes
    (batch, z, y, x).

    Args:
        loss: Takes logits (batch, output, z, y, x) and the label, gives a scalar.
        channel: Whether the label gets a channel axis.

    Its ``ignore_index``, where it has one that is not negative, must be the task's ignore label; regions and
    cases that annotate some labels only are refused before the first step.
    """

    regions = None
    """Each voxel has one label."""

    def __init__(self, loss: nn.Module, *, channel: bool = True) -> None:
        super().__init__()
        self.loss, self.channel = loss, channel
        index = getattr(loss, "ignore_index", None)
        self.ignore = index if isinstance(index, int) and index >= 0 else None

    def __repr__(self) -> str:
        return describe(self, {"loss": self.loss, "channel": self.channel})

    @override
    def forward(
        self, logits: Float[Tensor, "batch output z y x"], label: Integer[Tensor, "batch z y x"]
    ) -> Float[Tensor, ""]:
        label = label.long()
        value: Tensor = self.loss(logits, label.unsqueeze(1) if self.channel else label)
        if not isinstance(value, Tensor) or value.ndim:
            shape = tuple(value.shape) if isinstance(value, torch.Tensor) else type(value).__name__
            raise ValueError(
                f"{type(self.loss).__name__} gives {shape}, where a scalar is wanted: reduction=mean."
            )
        return value
