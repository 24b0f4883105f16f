"""The records that travel in training: ``Patch`` from disk to device, ``Batch`` from there to the network."""

from typing import NamedTuple

from jaxtyping import Bool, Float, Int, Num
from torch import Tensor


class AxisSampling(NamedTuple):
    """How patch voxels become network voxels where the axes of both run alike: one matrix an axis.

    Args:
        image: Weights of each voxel read in each voxel wanted, for (z, y, x). Rows that lie outside the case
            are zero, which pads with the mean.
        label: The same for labels, whose rows sum to one or to zero.
    """

    image: tuple[Float[Tensor, "out_z in_z"], Float[Tensor, "out_y in_y"], Float[Tensor, "out_x in_x"]]
    label: tuple[Float[Tensor, "out_z in_z"], Float[Tensor, "out_y in_y"], Float[Tensor, "out_x in_x"]]


class ObliqueSampling(NamedTuple):
    """How patch voxels become network voxels after a rotation: one matrix for all axes.

    Args:
        matrix: What :func:`torch.nn.functional.affine_grid` takes, ``align_corners=False``.
    """

    matrix: Float[Tensor, "3 4"]


class Patch(NamedTuple):
    """A box of a case as it lies in the store, with all that is needed to make network input from it.

    Args:
        case: Name of the case.
        number: Number of the draw; with the run's seed it makes the patch's random intensity changes.
        image: Native dtype on the native grid, clipped to the case.
        label: On the same voxels.
        body: Voxels inside the patient, where a normaliser asks for it; None else.
        terms: Per channel (low, high, mean, std): clip, subtract, divide.
        sampling: The way from these voxels to the network's.
    """

    case: str
    number: int
    image: Num[Tensor, "channel z y x"]
    label: Int[Tensor, "z y x"]
    body: Bool[Tensor, "z y x"] | None
    terms: Float[Tensor, "channel 4"]
    sampling: AxisSampling | ObliqueSampling


class Batch(NamedTuple):
    """What the network is trained on: normalised patches on the network's grid.

    Args:
        image: Network input.
        label: Integers of the task on the same voxels; 0 outside the case.
        body: Voxels inside the patient, where a normaliser asks for it; None else.
        cases: Name of each patch's case.
        numbers: Number of each patch's draw.
    """

    image: Float[Tensor, "batch channel z y x"]
    label: Int[Tensor, "batch z y x"]
    body: Bool[Tensor, "batch z y x"] | None
    cases: list[str]
    numbers: list[int]
