"""Weights of one convolution made to fit another: input channels, label rows and kernel sizes."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

FIRST_KERNEL_AXIS = 2
"""Of a convolution's weight ``(width, channel, z, y, x)``."""
KERNEL_AXES = 5
"""Of that weight."""


def pair_names(wanted: Sequence[str], known: Sequence[str]) -> list[int | None]:
    """Find each wanted name among those known, whatever its case; of names that repeat, each occurrence once.

    >>> pair_names(["t1", "FLAIR", "T1 "], ["T1", "T2", "T1"])
    [0, None, 2]

    Args:
        wanted: Names of what is made.
        known: Names of what there is.

    Returns:
        The place of each wanted name in ``known``; None where it is not there.
    """
    places: dict[str, list[int]] = {}
    for place, name in enumerate(known):
        places.setdefault(_plain(name), []).append(place)
    return [places[_plain(name)].pop(0) if places.get(_plain(name)) else None for name in wanted]


def adapt_channels(
    weight: Float[Tensor, "width channel z y x"], found: Sequence[int | None]
) -> Float[Tensor, "width _ z y x"]:
    """Choose the input channels of the first convolution; an absent one sees as the mean of all there are.

    Args:
        weight: Of the source.
        found: For each channel wanted, its place among the source's; None where it is absent.
    """
    mean = weight.mean(dim=1)
    return torch.stack([mean if place is None else weight[:, place] for place in found], dim=1)


def adapt_rows(
    weight: Float[Tensor, "known ..."], found: Sequence[int | None], fresh: Float[Tensor, "wanted ..."]
) -> Float[Tensor, "wanted ..."]:
    """Choose the rows of a head, one for each output; an absent one stays as it was initialised.

    Args:
        weight: Weight or bias of the source's head.
        found: For each output wanted, its place among the source's; None where it is absent.
        fresh: The new head's own.
    """
    rows = [fresh[row] if place is None else weight[place] for row, place in enumerate(found)]
    return torch.stack([row.to(fresh) for row in rows])


def adapt_outputs(weight: Float[Tensor, "known ..."], *, masks: bool) -> Float[Tensor, "wanted ..."]:
    """Make outputs of which one holds (softmax) such that hold each by itself (sigmoid), or the reverse.

    Of a label alone against the background the probability stays as it was.

    Args:
        weight: Weight or bias of a head, a row an output; of classes the first is the background's.
        masks: Whether the answer is of labels that may overlap.
    """
    return weight[1:] - weight[:1] if masks else torch.cat([torch.zeros_like(weight[:1]), weight])


def with_axes(weight: Tensor, fresh: Tensor) -> Tensor:
    """Give a kernel of two dimensions ``(width, channel, y, x)`` a third, one voxel thick; all else as it is.

    Args:
        weight: Of the source.
        fresh: The new tensor that it is for.
    """
    flat = fresh.ndim == KERNEL_AXES and weight.ndim == KERNEL_AXES - 1
    return weight.unsqueeze(FIRST_KERNEL_AXIS) if flat else weight


def adapt_kernel(
    weight: Float[Tensor, "width channel _ _ _"], size: Sequence[int]
) -> Float[Tensor, "width channel _ _ _"]:
    """Bring a kernel to other odd sizes, so that along a longer or shorter axis it answers as before.

    A kernel that grows stands in the centre of zeros: it computes the same. One that shrinks has its outer
    entries added to those at its new edge (of 1 voxel: all are summed), so that what does not vary along
    that axis gets the same answer.

    Args:
        weight: Of a convolution.
        size: Wanted edges of the kernel in voxels, (z, y, x).
    """
    for axis, edge in enumerate(size, start=FIRST_KERNEL_AXIS):
        there = weight.shape[axis]
        if edge > there:
            weight = _centre(weight, axis, edge)
        elif edge < there:
            weight = _fold(weight, axis, edge)
    return weight


def adapt_upsampling(
    weight: Float[Tensor, "below width _ _ _"], size: Sequence[int]
) -> Float[Tensor, "below width _ _ _"]:
    """Bring a transposed convolution, whose kernel is its stride, to another stride.

    Along an axis that was not enlarged all new voxels get what the one got; along one that is not enlarged
    any more, the mean; between others, what lies nearest.

    Args:
        weight: Of a transposed convolution.
        size: Wanted stride in voxels, (z, y, x).
    """
    for axis, edge in enumerate(size, start=FIRST_KERNEL_AXIS):
        there = weight.shape[axis]
        if edge == 1:
            weight = weight.mean(dim=axis, keepdim=True)
        elif edge != there:
            nearest = [place * there // edge for place in range(edge)]
            weight = weight.index_select(axis, torch.tensor(nearest, device=weight.device))
    return weight


def _centre(weight: Tensor, axis: int, edge: int) -> Tensor:
    shape = list(weight.shape)
    shape[axis] = edge
    larger = weight.new_zeros(shape)
    larger.narrow(axis, (edge - weight.shape[axis]) // 2, weight.shape[axis]).copy_(weight)
    return larger


def _fold(weight: Tensor, axis: int, edge: int) -> Tensor:
    outer = (weight.shape[axis] - edge) // 2
    smaller = weight.narrow(axis, outer, edge).clone()
    smaller.narrow(axis, 0, 1).add_(weight.narrow(axis, 0, outer).sum(dim=axis, keepdim=True))
    end = weight.narrow(axis, outer + edge, outer).sum(dim=axis, keepdim=True)
    smaller.narrow(axis, edge - 1, 1).add_(end)
    return smaller


def _plain(name: str) -> str:
    return name.strip().casefold()
