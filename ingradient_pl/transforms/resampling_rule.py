"""The rule by which axes are resampled: where slices stay apart, and where a low-pass averages."""

import math
from typing import NamedTuple


class Rule(NamedTuple):
    """How axes are interpolated.

    Args:
        separate_above: An axis whose voxels are longer than the others' by more than this factor is not
            interpolated: the nearest slice is taken. nnU-Net's is 3.
        low_pass_above: An axis that shrinks by more than this factor is averaged over the new voxel, against
            aliasing. nnU-Net has no low-pass, hence infinity: fine up to about 2, try 2 beyond. Of turned and
            bent patches the native axes are averaged, over the step to the next voxel of the patch.
    """

    separate_above: float = 3.0
    low_pass_above: float = math.inf


NNUNET = Rule()
