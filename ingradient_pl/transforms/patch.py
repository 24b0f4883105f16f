"""The records that travel in training: ``Patch`` from disk to device, ``Batch`` from there to the network."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Integer, Num
from torch import Tensor

from ingradient_pl.geometry import Box, Voxels
from ingradient_pl.short_repr import short_repr
from ingradient_pl.transforms.augmentation_table import AugmentationTable


class Crop(NamedTuple):
    """Voxels as they are, where both grids agree along an axis: an exact crop that costs nothing.

    Args:
        start: First voxel of the box that is wanted.
        voxels: How many.
        mirrored: Whether they are wanted in reverse.
    """

    start: int
    voxels: int
    mirrored: bool


class NearestVoxels(NamedTuple):
    """The nearest voxel along an axis too coarse to interpolate.

    Args:
        nearest: Voxel of the box for each voxel wanted.
    """

    nearest: Integer[Tensor, " out"]


class Interpolation(NamedTuple):
    """Interpolation along an axis.

    Args:
        image: Weight of each voxel of the image in each voxel wanted; rows sum to one.
        positions: Where among the label's voxels each voxel wanted lies; voxel centres are whole numbers.
        start: First voxel of the label among the image's.
    """

    image: Float[Tensor, "out in"]
    positions: Float[Tensor, " out"]
    start: int = 0


Axis = Crop | NearestVoxels | Interpolation
Padding = tuple[int, int]


class AxisSampling(NamedTuple):
    """How patch voxels become network voxels where the axes of both run alike: axis by axis.

    Args:
        axes: The way along (z, y, x), for the voxels wanted that lie inside the case.
        padding: Voxels wanted before and after them, which lie outside and become zero (the mean).
    """

    axes: tuple[Axis, Axis, Axis]
    padding: tuple[Padding, Padding, Padding]


Average = Float[Tensor, "_ _"] | None
"""What each voxel of an axis becomes before it is read in between, where the axis shrinks by much."""


class PlaneSampling(NamedTuple):
    """How patch voxels become network voxels after a rotation in the plane of the slices.

    Args:
        z: The way along z, for the slices wanted that lie inside the case.
        padding: Slices wanted before and after them, which become zero.
        matrix: What :func:`torch.nn.functional.affine_grid` takes in 2D, ``align_corners=False``.
        averages: Of the image along (y, x).
    """

    z: Axis
    padding: Padding
    matrix: Float[Tensor, "2 3"]
    averages: tuple[Average, Average] = (None, None)


class Displacements(NamedTuple):
    """Smooth displacements of the network's voxels, by cubic B-splines between a few knots.

    Args:
        knots: Displacements along (x, y, z), in the units of ``affine_grid``; axes (z, y, x).
        rows: Along each of (z, y, x): the weight of each knot in each voxel wanted; rows sum to one.
    """

    knots: Float[Tensor, "3 _ _ _"]
    rows: tuple[Float[Tensor, "_ _"], Float[Tensor, "_ _"], Float[Tensor, "_ _"]]


class ObliqueSampling(NamedTuple):
    """How patch voxels become network voxels after a rotation in space: one matrix for all axes.

    Args:
        matrix: What :func:`torch.nn.functional.affine_grid` takes, ``align_corners=False``.
        elastic: What is added to where the matrix reads; None where nothing is bent.
        averages: Of the image along (z, y, x).
    """

    matrix: Float[Tensor, "3 4"]
    elastic: Displacements | None = None
    averages: tuple[Average, Average, Average] = (None, None, None)


Sampling = AxisSampling | PlaneSampling | ObliqueSampling


class Patch(NamedTuple):
    """A box of a case as it lies in the store, with all that is needed to make network input from it.

    Args:
        case: Name of the case.
        number: Number of the draw; with the run's seed it makes the patch's random intensity changes.
        image: Native dtype on the native grid, clipped to the case.
        label: On the same voxels, without those that only the spline of the image reads.
        start: First voxel of the label among the image's.
        body: Voxels inside the patient on the image's, where a normaliser asks for it; None else.
        terms: Per channel (low, high, mean, std): clip, subtract, divide.
        sampling: The way from these voxels to the network's.
        box: Voxels of the case that the image is; None where nobody needs to know.
        extra: A further volume of the case on the label's voxels; None where there is none. Integers are
            resampled as labels are, floating numbers linearly.
        known: For each of the network's outputs whether the case says where it is true; None where all cases
            of the run say all.
    """

    case: str
    number: int
    image: Num[Tensor, "channel z y x"]
    label: Integer[Tensor, "_ _ _"]
    start: Voxels
    body: Bool[Tensor, "z y x"] | None
    terms: Float[Tensor, "channel 4"]
    sampling: Sampling
    box: Box | None = None
    extra: Num[Tensor, "_ _ _"] | None = None
    known: Bool[Tensor, " output"] | None = None

    def __repr__(self) -> str:
        return short_repr(self)


class Batch(NamedTuple):
    """What the network is trained on: normalised patches on the network's grid.

    Args:
        image: Network input.
        label: Integers of the task on the same voxels; 0 outside the case.
        body: Voxels inside the patient, where a normaliser asks for it; None else. One channel for all, or
            one for each where only some are zero outside: the others' holds every voxel.
        cases: Name of each patch's case.
        numbers: Number of each patch's draw.
        augmentation: What :meth:`~ingradient_pl.transforms.augment.Augment.draw` gave for these numbers; None
            where it has yet to be drawn.
        extra: A further volume of each case on the same voxels, 0 outside the case: integers, or 32 bit
            floats; None where cases have none.
        known: Which of the network's outputs each patch's case annotates; None where all do all. Voxels of a
            class that is not known are 0 in ``label``: background, or a class that nobody annotated.
    """

    image: Float[Tensor, "batch channel z y x"]
    label: Integer[Tensor, "batch z y x"]
    body: Bool[Tensor, "batch #channel z y x"] | None
    cases: list[str]
    numbers: list[int]
    augmentation: AugmentationTable | None = None
    extra: Num[Tensor, "batch z y x"] | None = None
    known: Bool[Tensor, "batch output"] | None = None

    def __repr__(self) -> str:
        return short_repr(self)


def stack_known(patches: Sequence[Patch]) -> Bool[Tensor, "batch output"]:
    """Give which outputs each patch's case annotates.

    Args:
        patches: Of one batch; all say it, or none does.

    Raises:
        ValueError: If some say it and some do not.
    """
    told = [patch.known for patch in patches if patch.known is not None]
    if len(told) != len(patches):
        raise ValueError(
            f"{len(told)} of the batch's {len(patches)} patches say which labels were annotated; all must, "
            "or none. Make every patch of a run by one CasePatches."
        )
    return torch.stack(told)
