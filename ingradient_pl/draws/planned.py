"""Training draws of a plan: its patch, spacing and batch size."""

from typing import Any

from ingradient_pl.draws.records import PlannedPatches
from ingradient_pl.draws.training import PlannedDraws, TrainingDraws


def draws(plan: PlannedPatches, **settings: Any) -> PlannedDraws:
    """Build the draws of a plan: which patch of which case comes next, and how it is turned and scaled.

    Args:
        plan: Its patch (voxels), spacing (mm) and batch size.
        settings: Arguments of :class:`TrainingDraws`: ``seed``, ``oversampling``, ``affine``, ...

    Returns:
        The draws: the same for the same seed, on any number of workers or ranks.
    """
    return TrainingDraws(**settings).of(plan)
