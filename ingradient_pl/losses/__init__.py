"""Losses of logits against integer labels, over every supervised level."""

from typing import TYPE_CHECKING

from ingradient_pl.lazy import attach

if TYPE_CHECKING:
    from ingradient_pl.losses.deep_supervision import DeepSupervision as DeepSupervision
    from ingradient_pl.losses.dice_ce import DiceCE as DiceCE
    from ingradient_pl.losses.external import ExternalLoss as ExternalLoss
    from ingradient_pl.losses.focal import Focal as Focal
    from ingradient_pl.losses.regions import RegionDiceCE as RegionDiceCE
    from ingradient_pl.losses.topk import TopKCE as TopKCE
    from ingradient_pl.losses.tversky import Tversky as Tversky
    from ingradient_pl.losses.weighted_sum import WeightedSum as WeightedSum

__all__, __getattr__, __dir__ = attach(__name__)
