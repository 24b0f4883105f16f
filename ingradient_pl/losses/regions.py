"""Soft Dice and binary cross entropy for regions, which may lie inside each other."""

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Bool, Float, Integer, UInt8
from torch import Tensor, nn
from typing_extensions import override

from ingradient_pl.losses.dice import mean_over_ranks, soft_dice
from ingradient_pl.losses.known_outputs import mask_unknown, mean_of_known
from ingradient_pl.losses.soft_counts import equal, sigmoid_counts


class RegionDiceCE(nn.Module):
    """Binary cross entropy minus soft Dice of each region, as nnU-Net has it.

    Where voxels are ignored, nnU-Net adds the cross entropies of the regions up, and else takes their mean;
    we keep to it, so that its settings can be kept.

    Args:
        regions: The integers that make up each region, in the order of the network's outputs, as
            ``Task.regions`` gives them; or by name, as ``Task.foreground`` does.
        batch_dice: Take Dice over the batch (on all ranks) as if it were one image.
        ignore: Integer of voxels that nobody annotated; None if there are none.
        cross_entropy: Weight of the cross entropy; 0 leaves Dice alone.
        dice: Weight of Dice; 0 leaves the cross entropy alone.
        smooth: Added above and below in Dice, in voxels.

    Raises:
        ValueError: If no region is named, a weight is negative or both terms are off.

    Source: nnU-Net, Isensee et al. 2021, https://doi.org/10.1038/s41592-020-01008-z.
    """

    def __init__(
        self,
        regions: Mapping[str, int | Sequence[int]] | Sequence[int | Sequence[int]],
        *,
        batch_dice: bool = False,
        ignore: int | None = None,
        cross_entropy: float = 1.0,
        dice: float = 1.0,
        smooth: float = 1e-5,
    ) -> None:
        super().__init__()
        if not regions or min(cross_entropy, dice, smooth) < 0 or cross_entropy == dice == 0:
            raise ValueError(
                "A loss of regions needs at least one region (labels without any: loss@module.loss=dice_ce), "
                "weights >= 0 and one of cross_entropy and dice not 0; got "
                f"{regions=}, {cross_entropy=}, {dice=}, {smooth=}."
            )
        integers = regions.values() if isinstance(regions, Mapping) else regions
        self.regions = tuple((v,) if isinstance(v, int) else tuple(v) for v in integers)
        self.batch_dice, self.ignore, self.smooth = batch_dice, ignore, smooth
        self.cross_entropy, self.dice = cross_entropy, dice

    @override
    def forward(
        self,
        logits: Float[Tensor, "batch output z y x"],
        label: Integer[Tensor, "batch z y x"],
        known: Bool[Tensor, "batch output"] | None = None,
    ) -> Float[Tensor, ""]:
        counted = None if self.ignore is None else 1 - equal(label, self.ignore)
        sums = mask_unknown(sigmoid_counts(logits, _inside(label, self.regions), counted), known)
        overlap = soft_dice(sums, self.smooth, pooled=self.batch_dice)
        mean = mean_of_known(overlap, known, pooled=self.batch_dice)
        values = _count_values(logits, known) if counted is None else counted.sum(dtype=torch.float32)
        if isinstance(values, Tensor):
            values = mean_over_ranks(values)
            values = torch.where(values > 0, values, 1.0)
        return -self.cross_entropy * sums.log.sum() / values - self.dice * mean


def _count_values(logits: Tensor, known: Tensor | None) -> Tensor | int:
    """Count voxels of outputs that are known."""
    return logits.numel() if known is None else known.sum(dtype=torch.float32) * logits[0, 0].numel()


def _inside(label: Tensor, regions: Sequence[Sequence[int]]) -> UInt8[Tensor, "batch output z y x"]:
    planes = []
    for integers in regions:
        found = equal(label, integers[0])
        for integer in integers[1:]:
            found |= equal(label, integer)
        planes.append(found)
    return torch.stack(planes, dim=1)
