"""Which box of which case comes next in training, decided without a voxel being read."""

from collections.abc import Mapping, Sequence
from dataclasses import InitVar, dataclass, field, fields
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from typing_extensions import override

from ingradient_pl.draws.affine import RandomAffine
from ingradient_pl.draws.elastic import RandomElasticDeformation
from ingradient_pl.draws.oversampling import FixedShare, Oversampling
from ingradient_pl.draws.records import Candidate, Draw, PlannedPatches
from ingradient_pl.draws.shares import share_slot
from ingradient_pl.geometry import AXES, Grid, Voxels
from ingradient_pl.short_repr import short_repr

STILL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)
PATCHES, ORDERS, BENDS = 2, 3, 4
"""Streams of random numbers, beside 1, which is the augmentation's."""


@dataclass(frozen=True, kw_only=True, repr=False)
class TrainingDraws:
    """How training patches are chosen; validation takes the same without affine and elastic.

    Patch, spacing and batch size are the plan's: :meth:`of` takes them from there, and nothing else can.

    Args:
        cases_per_batch: Patients a batch is drawn from.
        oversampling: Which patches are centred on foreground.
        affine: How patches are turned, scaled and mirrored; None leaves them as they are.
        seed: Makes the run's patches; another seed, other patches.
        margin: Native voxels read beyond the patch for the spline's sake: what lies beyond them fades by
            0.27 a voxel, so that 8 leave 3e-5 of it, less than CT rounds by; 12 leave 1e-7.
        class_weights: How often each class is the centre, relative to the others; a class not named never
            is. None treats all alike; of a task with regions, all regions, as nnU-Net does.
        elastic: How patches are bent; None leaves them straight.
        patch: Refused: ``plan.patch`` decides.
        spacing: Refused: ``plan.spacing`` decides.
        batch_size: Refused: ``plan.batch_size`` decides.

    Raises:
        ValueError: If the counts are not positive, ``class_weights`` is not a table of integers and weights,
            or something is given that the plan decides.
    """

    cases_per_batch: int = 1
    oversampling: Oversampling = field(default_factory=FixedShare)
    affine: RandomAffine | None = field(default_factory=RandomAffine)
    seed: int = 0
    margin: int = 8
    class_weights: Mapping[int, float] | None = None
    elastic: RandomElasticDeformation | None = None
    patch: InitVar[Any] = None
    spacing: InitVar[Any] = None
    batch_size: InitVar[Any] = None

    def __repr__(self) -> str:
        return short_repr(self)

    def __post_init__(self, patch: Any, spacing: Any, batch_size: Any) -> None:
        given = {"patch": patch, "spacing": spacing, "batch_size": batch_size}
        for name, value in given.items():
            if value is not None:
                raise ValueError(
                    f"The draws take no '{name}' (got {value}): the plan decides it, for training and "
                    f"prediction alike. Use plan.{name}={_format_value(value)}"
                )
        self._check()

    def _check(self) -> None:
        if self.cases_per_batch < 1:
            raise ValueError(f"'cases_per_batch' is at least 1, got {self.cases_per_batch}.")
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

    def of(self, plan: PlannedPatches) -> "PlannedDraws":
        """Give these draws for a plan's patch, spacing and batch size.

        Args:
            plan: Anything with ``patch`` (voxels), ``spacing`` (mm) and ``batch_size``.
        """
        own = {entry.name: getattr(self, entry.name) for entry in fields(TrainingDraws)}
        return PlannedDraws(plan.patch, plan.spacing, plan.batch_size, **own)


@dataclass(frozen=True, repr=False)
class PlannedDraws(TrainingDraws):
    """The draws of a plan.

    Batch ``b`` holds the numbers ``b * batch_size`` and on, whatever ranks they go to. Cases come in rounds,
    each a new order of all of them, so every case comes equally often.

    Args:
        patch: The network's input in voxels.
        spacing: Size of the network's voxels in mm; None keeps an axis as it comes.
        batch_size: Patches of a step, over all ranks.
        shares: Of the patches by the name of their store, summing to one; None: each case as often as any
            other.

    Raises:
        ValueError: If a batch cannot hold as many cases as asked, or a size is not positive.
    """

    patch: Voxels = field()
    spacing: tuple[float | None, float | None, float | None] = field()
    batch_size: int = 2
    shares: Mapping[str, float] | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "patch", tuple(self.patch))  # YAML knows lists only
        object.__setattr__(self, "spacing", tuple(self.spacing))
        Grid.of(self.patch, [1.0 if mm is None else mm for mm in self.spacing])
        if not 1 <= self.cases_per_batch <= self.batch_size:
            raise ValueError(
                f"A batch of {self.batch_size} patches (over all ranks) cannot hold {self.cases_per_batch} "
                "cases; 'cases_per_batch' lies between 1 and the plan's batch size."
            )
        self._check()

    @override
    def of(self, plan: PlannedPatches) -> "PlannedDraws":
        for name in ("patch", "spacing", "batch_size"):
            own, planned = getattr(self, name), getattr(plan, name)
            if own != planned:
                raise ValueError(
                    f"These draws are for {name}={_format_value(own)}, the plan says "
                    f"{_format_value(planned)}. Give TrainingDraws(...), which takes the "
                    "plan's, or draws made of this plan."
                )
        return self

    def draw(self, number: int, cases: Sequence[Candidate]) -> Draw:
        """Decide patch ``number`` of the run.

        It depends on ``seed``, ``number`` and the cases alone: not on worker, rank or what came before. A
        patch centred on foreground lies about a voxel drawn from the stored ones of a class drawn from the
        case's, or, by how many voxels each has, of a class of a region drawn from those; where a case has
        none, and for all other patches, it lies anywhere inside the case, or about an annotated voxel where
        parts of the case are not annotated. Along an axis shorter than the patch it sticks out on both sides.

        Args:
            number: Of the patch in the whole run, over all ranks, from 0.
            cases: What is drawn from, in a fixed order.

        Raises:
            ValueError: If there are no cases.
        """
        if not cases:
            raise ValueError("There are no cases to draw from: is every case in the validation split?")
        batch, position = divmod(number, self.batch_size)
        case = self._case(batch, position, cases)
        rng = np.random.default_rng([self.seed, number, PATCHES])
        whole = case.grid.respaced(self.spacing)
        step = np.array(case.grid.shape) / np.array(whole.shape)
        pairs = zip(self.spacing, case.grid.spacing, strict=True)
        patch = Grid.of(self.patch, [kept if mm is None else mm for mm, kept in pairs])
        forced = self.oversampling.forced(position, self.batch_size, rng)
        voxel = self._foreground(rng, case) if forced else None
        voxel = _draw_annotated(rng, case) if voxel is None else voxel
        start = self._start(rng, whole.shape, None if voxel is None else _on_network(voxel, step))
        affine = np.eye(AXES) if self.affine is None else self.affine.draw(rng, patch)
        z, y, x = ((start + np.array(self.patch) / 2) * step).tolist()
        elastic = self._elastic(number, patch)
        return Draw(number, case.name, (z, y, x), tuple(affine.ravel().tolist()), elastic)

    def _elastic(self, number: int, patch: Grid) -> NDArray[np.float64] | None:
        if self.elastic is None:
            return None
        flat = (self.affine or RandomAffine()).is_flat(patch)
        return self.elastic.draw(np.random.default_rng([self.seed, number, BENDS]), flat)

    def _case(self, batch: int, position: int, cases: Sequence[Candidate]) -> Candidate:
        slot = batch * self.cases_per_batch + position * self.cases_per_batch // self.batch_size
        if self.shares is not None:
            store, slot = share_slot(slot, self.shares, self.seed)
            cases = [case for case in cases if case.store == store]
        order, place = divmod(slot, len(cases))
        return cases[_order(self.seed, order, len(cases))[place]]

    def _foreground(self, rng: np.random.Generator, case: Candidate) -> NDArray[np.int32] | None:
        """Draw a foreground voxel of the case; None where it has none."""
        weights = self._weights(rng, case)
        if not sum(weights.values()):
            return None
        shares = np.array([*weights.values()]) / sum(weights.values())
        chosen = tuple(weights)[rng.choice(len(weights), p=shares)]
        voxels = case.foreground(chosen) if callable(case.foreground) else case.foreground.get(chosen, ())
        if not len(voxels):
            return None
        drawn: NDArray[np.int32] = voxels[rng.integers(len(voxels))]
        return drawn

    def _weights(self, rng: np.random.Generator, case: Candidate) -> Mapping[int, float]:
        """Give each integer's weight: as set, else its voxels in a region that is drawn, else all alike."""
        if self.class_weights is not None:
            return {value: self.class_weights.get(value, 0.0) for value in case.classes}
        if case.regions is None:
            return dict.fromkeys(case.classes, 1.0)
        return case.regions[rng.integers(len(case.regions))] if case.regions else {}

    def _start(
        self, rng: np.random.Generator, shape: Voxels, voxel: NDArray[np.int64] | None
    ) -> NDArray[np.int64]:
        """Place the patch's first voxel on the case's network grid."""
        spare = np.array(shape) - self.patch
        low = np.where(spare >= 0, 0, spare // 2)
        high = np.where(spare >= 0, spare, -(-spare // 2))
        anywhere = rng.integers(low, high + 1)
        return anywhere if voxel is None else np.maximum(low, voxel - np.array(self.patch) // 2)


@lru_cache(maxsize=8)
def _order(seed: int, order: int, cases: int) -> tuple[int, ...]:
    """The order of all cases in one round."""
    return tuple(np.random.default_rng([seed, order, ORDERS]).permutation(cases).tolist())


def _draw_annotated(rng: np.random.Generator, case: Candidate) -> NDArray[np.int32] | None:
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


def _format_value(value: Any) -> str:
    """Write a value as a command line has it: without the blanks of a list."""
    return str(list(value) if isinstance(value, tuple) else value).replace(" ", "").replace("None", "null")
