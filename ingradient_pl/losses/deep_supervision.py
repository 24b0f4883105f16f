"""One loss over every level of a pyramid, against a label that is thinned to each level's voxels."""

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float, Integer
from torch import Tensor, nn
from typing_extensions import override

from ingradient_pl.short_repr import describe


class DeepSupervision(nn.Module):
    """Weighted sum of one loss over the levels of a pyramid.

    Levels that are not supervised do not exist, rather than having the weight 0: a head without gradient
    stops distributed training. A pyramid of one level, or bare logits, is the plain loss.

    Args:
        level_loss: Takes logits and label of one level, gives a scalar.
        weights: One per level, finest first, all positive, taken as they are; None halves from level to
            level and sums to one.

    Raises:
        ValueError: If a weight is not positive.
    """

    def __init__(self, level_loss: nn.Module, weights: Sequence[float] | None = None) -> None:
        super().__init__()
        if weights is not None and (not weights or min(weights) <= 0):
            raise ValueError(
                f"Each supervised level needs a positive weight, got {list(weights)}. To leave a level out, "
                "build the network with fewer levels."
            )
        self.level_loss = level_loss
        self.weights = None if weights is None else tuple(weights)

    def __repr__(self) -> str:
        return describe(self, {"level_loss": self.level_loss, "weights": self.weights})

    @override
    def forward(
        self,
        pyramid: Sequence[Float[Tensor, "batch output _ _ _"]] | Float[Tensor, "batch output z y x"],
        label: Integer[Tensor, "batch z y x"],
        known: Bool[Tensor, "batch output"] | None = None,
    ) -> Float[Tensor, ""]:
        levels = [pyramid] if isinstance(pyramid, Tensor) else list(pyramid)
        weights = halving_weights(len(levels)) if self.weights is None else self.weights
        if len(weights) != len(levels):
            raise ValueError(
                f"The network gives {len(levels)} levels, but the loss has {len(weights)} weights: "
                f"{list(weights)}. Let the network's 'levels' and the loss's 'weights' agree."
            )
        more = () if known is None else (known,)
        losses = [
            weight * self.level_loss(logits, downsample_label(label, logits.shape[2:]), *more)
            for weight, logits in zip(weights, levels, strict=True)
        ]
        return torch.stack(losses).sum()


def halving_weights(levels: int) -> list[float]:
    """Weights that halve from level to level and sum to one.

    Args:
        levels: At least 1; the finest comes first.

    >>> halving_weights(2)
    [0.6666666666666666, 0.3333333333333333]
    """
    total = 2**levels - 1
    return [2 ** (levels - 1 - level) / total for level in range(levels)]


def downsample_label(
    label: Integer[Tensor, "batch z y x"], shape: Sequence[int]
) -> Integer[Tensor, "batch _ _ _"]:
    """Take from ``label`` the voxel nearest to the centre of each of ``shape`` voxels.

    Where sizes divide, it is a view: no voxel is copied. Equal to torch's ``nearest-exact``.

    Args:
        label: At the finest level.
        shape: Voxels (z, y, x) of another level.
    """
    for axis, wanted in enumerate(shape, start=1):
        size = label.shape[axis]
        if size % wanted == 0:
            step = size // wanted
            start = step // 2
            label = label[(slice(None),) * axis + (slice(start, None, step),)]
        else:
            places = torch.arange(1, 2 * wanted, 2, device=label.device) * size // (2 * wanted)
            label = label.index_select(axis, places)
    return label
