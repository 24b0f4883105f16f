"""A spacing rule: a frozen dataclass whose ``target`` answers for the grids of all cases."""

from dataclasses import dataclass

import numpy as np

from ingradient_pl.planning import SpacingRule
from ingradient_pl.planning.spacing import Target


@dataclass(frozen=True)
class Coarser(SpacingRule):
    """The median spacing times a factor along each axis.

    Args:
        threshold: The factor.
    """

    threshold: float = 2.0

    def target(self, grids):
        """Take grids (voxels and mm along z, y, x); give the network's spacing in mm."""
        z, y, x = np.median([grid.spacing for grid in grids], axis=0) * self.threshold
        return Target((float(z), float(y), float(x)), anisotropic_axis=None)
