"""Cases as the draws see them, what a plan fixes of patches, and a drawn patch of the run."""

from collections.abc import Callable, Mapping
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from ingradient_pl.geometry import Grid, Millimetres, Voxels
from ingradient_pl.short_repr import short_repr

Coordinates = Mapping[int, NDArray[np.int32]]


Numbers = tuple[float, ...]


class Candidate(NamedTuple):
    """A case as the draws see it.

    Args:
        name: Its name.
        grid: Its native grid, axes in the network's order.
        foreground: Voxels of each class, shape ``(n, 3)``, or what reads those of one: called only for the
            patches centred on foreground, so that nothing is kept for all cases and classes.
        classes: Foreground classes it holds.
        annotated: Reads voxels that somebody annotated, shape ``(n, 3)``, where others were left out: patches
            lie about one of them; None where the whole case is annotated.
        regions: How many voxels each integer has, for each region that the case holds; None where labels are
            no regions.
        store: Name of its store where several train together.
    """

    name: str
    grid: Grid
    foreground: Coordinates | Callable[[int], NDArray[np.int32]]
    classes: tuple[int, ...]
    annotated: Callable[[], NDArray[np.int32] | None] | None = None
    regions: tuple[Mapping[int, int], ...] | None = None
    store: str = ""

    def __repr__(self) -> str:
        return short_repr(self)


@runtime_checkable
class PlannedPatches(Protocol):
    """What a plan decides about patches.

    Attributes:
        patch: Voxels (z, y, x) of the network's input.
        spacing: Size of its voxels in mm; None keeps an axis as it comes.
        batch_size: Patches per step, over all ranks.
    """

    @property
    def patch(self) -> Voxels:
        """Voxels (z, y, x)."""

    @property
    def spacing(self) -> tuple[float | None, float | None, float | None]:
        """Millimetres (z, y, x), or None."""

    @property
    def batch_size(self) -> int:
        """At least 1."""


class Draw(NamedTuple):
    """One patch of the run, before anything is read.

    Args:
        number: Which patch of the run.
        case: Name of the case.
        centre: Of the patch, in native voxels as cells.
        affine: 3x3 matrix, row by row, from offsets in the patch to offsets in the case (mm; z, y, x).
        elastic: Displacements of knots over the patch, in mm of the case; None where it is not bent.
    """

    number: int
    case: str
    centre: Millimetres
    affine: Numbers
    elastic: NDArray[np.float64] | None = None

    def __repr__(self) -> str:
        return short_repr(self)
