"""Optimisers and learning-rate schedules beside torch's own."""

from typing import TYPE_CHECKING

from ingradient_pl.lazy import attach

if TYPE_CHECKING:
    from ingradient_pl.optimizers.muon import Muon as Muon
    from ingradient_pl.optimizers.schedules import OpenEnded as OpenEnded
    from ingradient_pl.optimizers.schedules import WarmupPoly as WarmupPoly

__all__, __getattr__, __dir__ = attach(__name__)
