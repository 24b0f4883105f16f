"""Random smooth bending of a patch (elastic deformation), in millimetres."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ingradient_pl.geometry import AXES

ORDER = 3
"""Of the splines between knots: as many knots more than segments."""


@dataclass(frozen=True)
class RandomElasticDeformation:
    """How training patches are bent: knots spread over them move at random, what is between follows.

    nnU-Net leaves it out, and so does the shipped config.

    Args:
        magnitude: Range that the largest displacement is drawn from, in mm.
        segments: Pieces along each axis; more bend on a smaller scale.
        p: Probability of a bend, in [0, 1].

    Raises:
        ValueError: If the range descends or is negative, or there is no segment.
    """

    magnitude: tuple[float, float] = (0.0, 5.0)
    segments: int = 3
    p: float = 0.2

    def __post_init__(self) -> None:
        low, high = self.magnitude
        object.__setattr__(self, "magnitude", (float(low), float(high)))  # YAML knows lists only
        if not 0 <= low <= high < math.inf or self.segments < 1 or not 0 <= self.p <= 1:
            raise ValueError(
                "A bend needs an ascending range of displacements in mm, one segment or more and a "
                f"probability in [0, 1]; got magnitude={[low, high]}, segments={self.segments}, p={self.p}."
            )

    def draw(self, rng: np.random.Generator, flat: bool) -> NDArray[np.float64] | None:  # noqa: FBT001
        """Draw the knots' displacements along (z, y, x), shape ``(3, n, n, n)``, in mm; None for no bend.

        A ``flat`` patch is bent within its slices only, and all slices alike.

        Args:
            rng: Of this patch alone.
            flat: Whether displacements stay within slices.
        """
        if rng.random() >= self.p:
            return None
        knots = self.segments + ORDER
        field = rng.uniform(-1, 1, (AXES, knots, knots, knots)) * rng.uniform(*self.magnitude)
        if flat:
            field[0] = 0
            field[:] = field[:, :1]
        return np.asarray(field)
