"""Starting from trained weights: where they come from, how they are made to fit, and what was taken."""

__all__ = ["Source", "WeightMapping", "map_weights", "read_weights"]

from ingradient_pl.finetuning.mapping import WeightMapping, map_weights
from ingradient_pl.finetuning.source import Source, read_weights
