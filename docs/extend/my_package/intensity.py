"""An intensity augmentation: a frozen dataclass whose ``change`` changes one patch in place."""

from dataclasses import dataclass

from ingradient_pl.transforms import Intensity


@dataclass(frozen=True)
class Invert(Intensity):
    """Turn bright into dark.

    Args:
        p: Probability of each patch.
    """

    p: float = 0.1

    def change(self, patch, rng):
        """Take a normalised patch (channel, z, y, x) on the device, and NumPy's generator of this patch."""
        patch.neg_()
