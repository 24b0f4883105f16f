"""Which box of which case comes next in training, decided without a voxel being read."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ingradient_pl.draws.affine import RandomAffine
from ingradient_pl.draws.elastic import RandomElasticDeformation
from ingradient_pl.draws.oversampling import FixedShare, Oversampling
from ingradient_pl.geometry import AXES, Box, Grid, Millimetres, Voxels
from ingradient_pl.short_repr import short_repr

Coordinates = Mapping[int, NDArray[np.int32]]
Numbers = tuple[float, ...]

STILL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)
PATCHES, ORDERS, BENDS = 2, 3, 4
"""Streams of random numbers, beside 1, which is the augmentation's."""
WHOLE = 1e-6
"""Voxels by which positions may miss whole ones and still be taken as them."""


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
    """

    name: str
    grid: Grid
    foreground: Coordinates | Callable[[int], NDArray[np.int32]]
    classes: tuple[int, ...]
    annotated: Callable[[], NDArray[np.int32] | None] | None = None

    def __repr__(self) -> str:
        return short_repr(self)


class Draw(NamedTuple):
    """One patch of the run, before anything is read.

    Args:
        number: Which patch of the run.
        case: Name of the case.
        centre: Of the patch, in native voxels as cells.
        affine: 3x3 matrix, row by row, from offsets in the patch to offsets in the case (mm; z, y, x).
        box: Native voxels that the patch reaches; inside the case, never empty.
        patch: The network's input as a grid, its voxels as planned. A whole case resampled has a whole number
            of voxels, and a patch is exactly a part of it, so its true voxels may differ by a fraction of one
            over the case: :func:`reach` and the resampling both reckon with that.
        elastic: Displacements of knots over the patch, in mm of the case; None where it is not bent.
    """

    number: int
    case: str
    centre: Millimetres
    affine: Numbers
    box: Box
    patch: Grid
    elastic: NDArray[np.float64] | None = None

    def __repr__(self) -> str:
        return short_repr(self)


@dataclass(frozen=True)
class TrainingDraws:
    """How training patches are chosen; validation takes the same without affine.

    Batch ``b`` holds the numbers ``b * batch_size`` and on, whatever ranks they go to. Cases come in rounds,
    each a new order of all of them, so every case comes equally often.

    Args:
        patch: The network's input in voxels.
        spacing: Size of the network's voxels in mm; None keeps an axis as it comes.
        batch_size: Patches of a step, over all ranks.
        cases_per_batch: Patients a batch is drawn from.
        oversampling: Which patches are centred on foreground.
        affine: How patches are turned, scaled and mirrored; None leaves them as they are.
        seed: Makes the run's patches; another seed, other patches.
        margin: Native voxels read beyond the patch for the spline's sake: what lies beyond them fades by
            0.27 a voxel, so that 8 leave 3e-5 of it, less than CT rounds by; 12 leave 1e-7.
        class_weights: How often each class is the centre, relative to the others; a class not named never
            is. None treats all alike.
        elastic: How patches are bent; None leaves them straight.

    Raises:
        ValueError: If the counts are not positive, there are more cases than patches in a batch, or
            ``class_weights`` is not a table of integers and weights.
    """

    patch: Voxels
    spacing: tuple[float | None, float | None, float | None]
    batch_size: int = 2
    cases_per_batch: int = 1
    oversampling: Oversampling = field(default_factory=FixedShare)
    affine: RandomAffine | None = field(default_factory=RandomAffine)
    seed: int = 0
    margin: int = 8
    class_weights: Mapping[int, float] | None = None
    elastic: RandomElasticDeformation | None = None

    def __repr__(self) -> str:
        return short_repr(self)

    def __post_init__(self) -> None:
        object.__setattr__(self, "patch", tuple(self.patch))  # YAML knows lists only
        object.__setattr__(self, "spacing", tuple(self.spacing))
        Grid.of(self.patch, [1.0 if mm is None else mm for mm in self.spacing])
        if not 1 <= self.cases_per_batch <= self.batch_size:
            raise ValueError(
                f"A batch of {self.batch_size} patches (over all ranks) cannot hold {self.cases_per_batch} "
                "cases; 'cases_per_batch' lies between 1 and 'batch_size'."
            )
        if self.seed < 0 or self.margin < 0:
            raise ValueError(f"Neither may be negative: seed={self.seed}, margin={self.margin}.")
        weights = self.class_weights
        if weights is not None:
            numbers = all(isinstance(key, int) for key in weights) and all(w >= 0 for w in weights.values())
            if not numbers or not sum(weights.values()) > 0:
                raise ValueError(
                    "class_weights gives a weight of at least 0 for the integer of each class, and one above "
                    f"0: {{1: 1.0, 2: 3.0}}; got {dict(weights)}."
                )

    def draw(self, number: int, cases: Sequence[Candidate]) -> Draw:
        """Decide patch ``number`` of the run.

        It depends on ``seed``, ``number`` and the cases alone: not on worker, rank or what came before. A
        patch centred on foreground lies about a voxel drawn from the stored ones of a class drawn from the
        case's; where a case has none, and for all other patches, it lies anywhere inside the case, or about
        an annotated voxel where parts of the case are not annotated. Along an axis shorter than the patch it
        sticks out on both sides.

        Raises:
            ValueError: If there are no cases.
        """
        if not cases:
            raise ValueError("There are no cases to draw from: is every case in the validation split?")
        batch, position = divmod(number, self.batch_size)
        case = cases[self._case(batch, position, len(cases))]
        rng = np.random.default_rng([self.seed, number, PATCHES])
        whole = case.grid.respaced(self.spacing)
        step = np.array(case.grid.shape) / np.array(whole.shape)
        pairs = zip(self.spacing, case.grid.spacing, strict=True)
        patch = Grid.of(self.patch, [kept if mm is None else mm for mm, kept in pairs])
        forced = self.oversampling.forced(position, self.batch_size, rng)
        voxel = self._foreground(rng, case) if forced else None
        voxel = _annotated(rng, case) if voxel is None else voxel
        start = self._start(rng, whole.shape, None if voxel is None else _on_network(voxel, step))
        affine = np.eye(AXES) if self.affine is None else self.affine.draw(rng, patch)
        z, y, x = ((start + np.array(self.patch) / 2) * step).tolist()
        box = reach(case.grid, patch, (z, y, x), affine, self.margin)
        elastic = self._elastic(number, patch)
        box = box if elastic is None else _grown(box, elastic, case.grid)
        return Draw(number, case.name, (z, y, x), tuple(affine.ravel().tolist()), box, patch, elastic)

    def _elastic(self, number: int, patch: Grid) -> NDArray[np.float64] | None:
        if self.elastic is None:
            return None
        flat = (self.affine or RandomAffine()).is_flat(patch)
        return self.elastic.draw(np.random.default_rng([self.seed, number, BENDS]), flat)

    def _case(self, batch: int, position: int, cases: int) -> int:
        slot = batch * self.cases_per_batch + position * self.cases_per_batch // self.batch_size
        order, place = divmod(slot, cases)
        return _order(self.seed, order, cases)[place]

    def _foreground(self, rng: np.random.Generator, case: Candidate) -> NDArray[np.int32] | None:
        """Draw a foreground voxel of the case; None where it has none."""
        weights = [
            1.0 if self.class_weights is None else self.class_weights.get(c, 0.0) for c in case.classes
        ]
        if not sum(weights):
            return None
        chosen = case.classes[rng.choice(len(weights), p=np.array(weights) / sum(weights))]
        voxels = case.foreground(chosen) if callable(case.foreground) else case.foreground.get(chosen, ())
        if not len(voxels):
            return None
        drawn: NDArray[np.int32] = voxels[rng.integers(len(voxels))]
        return drawn

    def _start(
        self, rng: np.random.Generator, shape: Voxels, voxel: NDArray[np.int64] | None
    ) -> NDArray[np.int64]:
        """Place the patch's first voxel on the case's network grid."""
        spare = np.array(shape) - self.patch
        low = np.where(spare >= 0, 0, spare // 2)
        high = np.where(spare >= 0, spare, -(-spare // 2))
        anywhere = rng.integers(low, high + 1)
        return anywhere if voxel is None else np.maximum(low, voxel - np.array(self.patch) // 2)


def reach(
    native: Grid, patch: Grid, centre: Sequence[float], affine: NDArray[np.float64], margin: int
) -> Box:
    """Give the native voxels that a patch needs after its affine, clipped to the case.

    The margin goes on only where the spline works: along axes that are resampled but not turned. Where a step
    in the patch is two native voxels long or more, half of it goes on everywhere: a low-pass averages so far.

    Args:
        native: The case.
        patch: The network's input.
        centre: Of the patch, in native voxels as cells.
        affine: 3x3 matrix in mm.
        margin: Native voxels on either side.
    """
    whole = native.respaced(patch.spacing)
    turns = (np.abs(affine) * native.extent / whole.shape).tolist()  # mm of the case, for a step in the patch
    start, stop = [], []
    for axis, (mm, voxels, middle) in enumerate(zip(native.spacing, native.shape, centre, strict=True)):
        half = sum(turn / mm * (count - 1) / 2 for turn, count in zip(turns[axis], patch.shape, strict=True))
        first, last = middle - half - 0.5, middle + half - 0.5
        own = turns[axis][axis] / mm
        straight = sum(turns[axis]) / mm - own < WHOLE
        if straight and abs(own - 1) < WHOLE and abs(first - round(first)) < WHOLE:  # voxels as they are
            before, after = round(first), round(last) + 1
        else:
            more = int(math.hypot(*turns[axis]) / mm / 2) + (margin if straight else 0)
            before, after = math.floor(first) - more, math.floor(last) + 2 + more
        inside = min(max(math.floor(middle), 0), voxels - 1)
        start.append(min(max(before, 0), inside))
        stop.append(max(min(after, voxels), inside + 1))
    return Box.between(start, stop)


@lru_cache(maxsize=8)
def _order(seed: int, order: int, cases: int) -> tuple[int, ...]:
    """The order of all cases in one round."""
    return tuple(np.random.default_rng([seed, order, ORDERS]).permutation(cases).tolist())


def _annotated(rng: np.random.Generator, case: Candidate) -> NDArray[np.int32] | None:
    """Draw an annotated voxel of the case; None where all of them are, or none is."""
    voxels = None if case.annotated is None else case.annotated()
    if voxels is None or not len(voxels):
        return None
    drawn: NDArray[np.int32] = voxels[rng.integers(len(voxels))]
    return drawn


def _on_network(voxel: NDArray[np.int32], step: NDArray[np.float64]) -> NDArray[np.int64]:
    """Name the voxel of the network's grid that a native one lies in."""
    network: NDArray[np.float64] = (voxel + 0.5) / step
    return np.floor(network).astype(np.int64)


def _grown(box: Box, elastic: NDArray[np.float64], native: Grid) -> Box:
    """Give the box that holds what a elastic reaches, too; clipped to the case."""
    furthest = np.abs(elastic).max(axis=(1, 2, 3)) / native.spacing
    more = np.ceil(furthest).astype(int)
    start, stop = np.array(box.start) - more, np.array(box.start) + box.shape + more
    return Box.between(np.maximum(start, 0).tolist(), np.minimum(stop, native.shape).tolist())
