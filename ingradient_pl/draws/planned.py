"""Training draws of a plan: its patch, spacing and batch size."""

from typing import Any, Protocol, runtime_checkable

from ingradient_pl.draws.training import TrainingDraws
from ingradient_pl.geometry import Voxels


@runtime_checkable
class PlannedPatches(Protocol):
    """What a plan decides about patches.

    Attributes:
        patch: Voxels (z, y, x) of the network's input.
        spacing: Size of its voxels in mm; None keeps an axis as it comes.
        batch_size: Patches per step, over all ranks.
    """

    @property
    def patch(self) -> Voxels: ...
    @property
    def spacing(self) -> tuple[float | None, float | None, float | None]: ...
    @property
    def batch_size(self) -> int: ...


def draws(plan: PlannedPatches, **settings: Any) -> TrainingDraws:
    """Build the draws of a plan: which patch of which case comes next, and how it is turned and scaled.

    Args:
        plan: Its patch (voxels), spacing (mm) and batch size.
        settings: Further arguments of :class:`TrainingDraws`: ``seed``, ``oversampling``, ``affine``, ...

    Returns:
        The draws: the same for the same seed, on any number of workers or ranks.
    """
    return TrainingDraws(patch=plan.patch, spacing=plan.spacing, batch_size=plan.batch_size, **settings)
