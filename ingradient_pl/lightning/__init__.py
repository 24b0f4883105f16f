"""Lightning's part: the data module, the module, its callbacks and the training run."""

from typing import TYPE_CHECKING

from ingradient_pl.lazy import attach

if TYPE_CHECKING:
    from ingradient_pl.lightning.datamodule import SegmentationData as SegmentationData
    from ingradient_pl.lightning.module import SegmentationModule as SegmentationModule
    from ingradient_pl.lightning.training import fit as fit
    from ingradient_pl.workers.stopped import Stopped as Stopped

__all__, __getattr__, __dir__ = attach(__name__)
