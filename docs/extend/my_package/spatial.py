"""A spatial augmentation: a random 3x3 matrix of each patch, part of the one interpolation that there is."""

from dataclasses import dataclass

import numpy as np

from ingradient_pl.draws import RandomAffine


@dataclass(frozen=True)
class Sheared(RandomAffine):
    """Rotation, scaling and mirroring as before, and a shear of y along x.

    Args:
        shear: Largest shift in mm for each mm.
    """

    shear: float = 0.2

    def draw(self, rng, patch):
        """Take NumPy's generator of this patch and the patch as a grid; give a matrix in mm (z, y, x)."""
        shear = np.eye(3)
        shear[1, 2] = rng.uniform(-self.shear, self.shear)
        return super().draw(rng, patch) @ shear
