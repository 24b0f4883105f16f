"""Random linear motions of a patch, in millimetres: rotation, scaling and mirroring as one matrix."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from ingradient_pl.geometry import AXES, Grid, is_flat

NARROW_ABOVE = 1.5
HALF_TURN = 180.0
NARROW_TURN = 15.0
T = TypeVar("T")


@dataclass(frozen=True)
class RandomAffine:
    """How training patches are turned, scaled and mirrored; the defaults are nnU-Net's.

    The matrix acts in millimetres about the patch's centre, so that a rotation is rigid whatever the voxels
    are (nnU-Net rotates voxels of its resampled grid, which is the same where they are cubes). A flat
    patch (``max(patch) / patch[0] > 3``) is turned within its slices by any angle and keeps its z; a single
    slice longer than 1.5 times its width by 15 degrees at most.

    Args:
        rotation: Largest angle in degrees either way, or (smallest, largest), about each axis.
        rotation_p: Probability of a rotation, in [0, 1].
        rotation_axis_p: Probability of each axis, where there is a rotation.
        flat_rotation: The same range for flat patches; None takes 180, or 15 for long single slices.
        scaling: Range of the factor; above 1 the patch covers more space and things in it look smaller.
        scaling_p: Probability of a scaling, in [0, 1].
        synchronised_p: Probability that all axes share one factor.
        mirror: Which of (z, y, x) may be mirrored.
        mirror_p: Probability of each.
        flat: Whether the patch moves within its slices only; None decides by its shape.

    Raises:
        ValueError: If a probability is outside [0, 1] or a range descends.
    """

    rotation: float | tuple[float, float] = 30.0
    rotation_p: float = 0.2
    rotation_axis_p: float = 1.0
    flat_rotation: float | tuple[float, float] | None = None
    scaling: tuple[float, float] = (0.7, 1.4)
    scaling_p: float = 0.2
    synchronised_p: float = 1.0
    mirror: tuple[bool, bool, bool] = (True, True, True)
    mirror_p: float = 0.5
    flat: bool | None = None

    def __post_init__(self) -> None:
        for name in ("rotation", "flat_rotation", "scaling"):
            if getattr(self, name) is not None:
                _check_range(name, getattr(self, name))
        object.__setattr__(self, "scaling", _pair(self.scaling))  # YAML knows lists only
        object.__setattr__(self, "mirror", tuple(self.mirror))
        for name in ("rotation_p", "rotation_axis_p", "scaling_p", "synchronised_p", "mirror_p"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(
                    f"'{name}' of an affine is a probability in [0, 1], got {getattr(self, name)}."
                )
        low, high = self.scaling
        if not 0 < low <= high or len(self.mirror) != AXES:
            raise ValueError(
                "An affine needs a scaling range of two ascending positive factors and one mirror entry for "
                f"each of (z, y, x); got scaling={list(self.scaling)}, mirror={list(self.mirror)}."
            )

    def draw(self, rng: np.random.Generator, patch: Grid) -> NDArray[np.float64]:
        """Draw one affine: a 3x3 matrix from offsets in the patch to offsets in the case (mm; z, y, x).

        Every random number is taken whether it is used or not, so that switching one part off leaves the
        others as they were.

        Args:
            rng: Of this patch alone.
            patch: The patch on the network's grid.
        """
        flat = self.is_flat(patch)
        turned, scaled, together = rng.random(3) < (self.rotation_p, self.scaling_p, self.synchronised_p)
        low, high = self._degrees(patch)
        angles = np.radians(rng.uniform(low, high, AXES)) * (rng.random(AXES) < self.rotation_axis_p)
        factors = rng.uniform(*self.scaling, AXES)
        mirrored = (rng.random(AXES) < self.mirror_p) & np.array(self.mirror)
        if together:
            factors[:] = factors[0]
        if flat:
            angles[1:], factors[0] = 0, 1
        rotation = _rotation(angles) if turned else np.eye(AXES)
        scaling = factors if scaled else np.ones(AXES)
        signs = np.where(mirrored & (np.array(patch.shape) > 1), -1.0, 1.0)
        return rotation * (scaling * signs) + 0.0  # no negative zeros

    def is_flat(self, patch: Grid) -> bool:
        """Tell whether ``patch`` moves within its slices only.

        Args:
            patch: Its voxels (z, y, x).
        """
        return is_flat(patch.shape) if self.flat is None else self.flat

    def _degrees(self, patch: Grid) -> tuple[float, float]:
        if not self.is_flat(patch):
            return _pair(self.rotation)
        if self.flat_rotation is not None:
            return _pair(self.flat_rotation)
        slice_shape = patch.shape[1:]
        narrow = patch.shape[0] == 1 and max(slice_shape) / min(slice_shape) > NARROW_ABOVE
        return _pair(NARROW_TURN if narrow else HALF_TURN)


def _pair(entry: float | Sequence[float]) -> tuple[float, float]:
    """Read a range: a number stands for both directions."""
    low, high = entry if isinstance(entry, Sequence) else (-entry, entry)
    return float(low), float(high)


def _check_range(name: str, entry: float | Sequence[float]) -> None:
    """Refuse what is neither a number from 0 nor two that ascend; NaN is neither."""
    ends = [-entry, entry] if isinstance(entry, (int, float)) else list(entry)
    if len(ends) != 2 or not -math.inf < ends[0] <= ends[1] < math.inf:  # noqa: PLR2004 - a range has two
        raise ValueError(
            f"'{name}' of an affine is a number from 0, or two of which the first is not larger; got {entry}."
        )


def _rotation(angles: NDArray[np.float64]) -> NDArray[np.float64]:
    """Turn about z, then y, then x; each matrix acts on (z, y, x)."""
    turn = np.eye(AXES)
    for axis, angle in enumerate(angles):
        first, second = (other for other in range(AXES) if other != axis)
        about = np.eye(AXES)
        about[first, first] = about[second, second] = math.cos(angle)
        about[first, second], about[second, first] = -math.sin(angle), math.sin(angle)
        turn = about @ turn
    return turn
