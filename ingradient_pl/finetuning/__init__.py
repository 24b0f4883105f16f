"""Starting from trained weights: where they come from, how they are made to fit, and what was taken."""

from typing import TYPE_CHECKING

from ingradient_pl.lazy import attach

if TYPE_CHECKING:
    from ingradient_pl.finetuning.mapping import WeightMapping as WeightMapping
    from ingradient_pl.finetuning.mapping import map_weights as map_weights
    from ingradient_pl.finetuning.source import read_weights as read_weights
    from ingradient_pl.finetuning.source_record import Source as Source

__all__, __getattr__, __dir__ = attach(__name__)
