"""Lightning callbacks: pictures, time left, averaged weights, Dice of each label."""

from typing import TYPE_CHECKING

from ingradient_pl.lazy import attach

if TYPE_CHECKING:
    from ingradient_pl.lightning.callbacks.cooldown import Cooldown as Cooldown
    from ingradient_pl.lightning.callbacks.layer_images import LayerImages as LayerImages
    from ingradient_pl.lightning.callbacks.pseudo_labels import PseudoLabels as PseudoLabels
    from ingradient_pl.lightning.callbacks.self_contained import SelfContained as SelfContained
    from ingradient_pl.lightning.callbacks.time_left import TimeLeft as TimeLeft
    from ingradient_pl.lightning.callbacks.validation_dice import ValidationDice as ValidationDice
    from ingradient_pl.lightning.callbacks.weight_average import WeightAverage as WeightAverage

__all__, __getattr__, __dir__ = attach(__name__)
