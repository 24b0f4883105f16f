"""From the store to a data loader: patches by number, batches in shared memory."""

from typing import TYPE_CHECKING

from ingradient_pl.lazy import attach

if TYPE_CHECKING:
    from ingradient_pl.loading.patches import CasePatches as CasePatches
    from ingradient_pl.loading.patches import PatchLoader as PatchLoader
    from ingradient_pl.loading.patches import PatchNumbers as PatchNumbers

__all__, __getattr__, __dir__ = attach(__name__)
