"""Which label each voxel of a batch takes: of a few classes the heaviest, of many the neighbours' vote."""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int64, Integer
from torch import Tensor

from ingradient_pl.transforms.labels import TIE

ENDS = 2
BLOCK_VOXELS = 1 << 23
"""Voxels voted on together: 150 bytes each."""


def elect(
    weights: Float[Tensor, "patch _ _ _ _"],
    nearest: Int64[Tensor, "patch z y x"],
    dim: int = -1,
    bonus: Float[Tensor, " class"] | None = None,
) -> Integer[Tensor, "patch z y x"]:
    """Give the class with the most weight; ties go to the nearest voxel's, among others to the lowest.

    Args:
        weights: Of each class, changed in place.
        nearest: Class of the nearest voxel.
        dim: Of the classes.
        bonus: What is added to the nearest voxel's class, by class; None adds what decides ties.
    """
    if bonus is None:
        weights.scatter_(dim, nearest.unsqueeze(dim), TIE, reduce="add")
    else:
        weights.scatter_add_(dim, nearest.unsqueeze(dim), bonus[nearest].unsqueeze(dim))
    return weights.argmax(dim)


def vote_about(
    label: Integer[Tensor, "patch _ _ _"], at: Sequence[Tensor], nearest: Integer[Tensor, "patch z y x"]
) -> Integer[Tensor, "patch z y x"]:
    """Give each place the label with the most weight among the eight voxels about it.

    Args:
        label: Of each patch.
        at: Places along (z, y, x), which broadcast to ``nearest``'s shape; inside the label.
        nearest: Label of the nearest voxel, which takes ties.
    """
    rows = max(1, BLOCK_VOXELS // max(1, nearest[:, 0].numel()))
    parts = []
    for start in range(0, nearest.shape[1], rows):
        stop = start + rows
        near = [place[:, start:stop] if place.shape[1] > 1 else place for place in at]
        parts.append(_vote(label, near, nearest[:, start:stop]))
    return torch.cat(parts, 1) if len(parts) > 1 else parts[0]


def _vote(label: Tensor, at: Sequence[Tensor], nearest: Tensor) -> Tensor:
    index, weight = _neighbours(at, label.shape)
    votes = label.flatten(1).expand(len(index), -1, -1).gather(2, index.flatten(2)).view(index.shape)
    best, most = nearest, _support(nearest, votes, weight).add_(TIE)
    for vote in votes:
        support = _support(vote, votes, weight)
        better = (support > most) | ((support == most) & (vote < best))
        best, most = torch.where(better, vote, best), torch.where(better, support, most)
    return best


def _neighbours(at: Sequence[Tensor], shape: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Give the places in memory and the weights of eight neighbours, first axis 8."""
    _, _, y, x = shape
    index: Tensor | None = None
    weight: Tensor | None = None
    for axis, (place, step) in enumerate(zip(at, (y * x, x, 1), strict=True)):
        low = place.floor()
        part = place - low
        ends = torch.stack([low, place.ceil()]).long() * step
        shares = torch.stack([1 - part, part])
        view = [ENDS if other == axis else 1 for other in range(3)]
        ends, shares = (entry.view(*view, *place.shape) for entry in (ends, shares))
        index = ends if index is None else index + ends
        weight = shares if weight is None else weight * shares
    assert index is not None  # there are three axes
    assert weight is not None
    return index.flatten(0, 2), weight.flatten(0, 2)


def _support(candidate: Tensor, votes: Tensor, weights: Tensor) -> Tensor:
    """Sum the weights of the voxels that hold the candidate."""
    return torch.where(votes == candidate, weights, 0).sum(0)
