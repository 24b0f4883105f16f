"""Resampling of labels on the device: linear in each label's indicator, the largest wins, none is stored."""

from collections.abc import Callable, Sequence
from itertools import product
from typing import NamedTuple

import torch
from jaxtyping import Bool, Integer
from torch import Tensor

from ingradient_pl.cases.patch import (
    Axis,
    AxisSampling,
    Cut,
    ObliqueSampling,
    Picks,
    PlaneSampling,
    Sampling,
    Weights,
)
from ingradient_pl.geometry import AXES, Voxels
from ingradient_pl.transforms.interpolate import at_hand, padded, read_at

AT_ONCE = 1 << 21
"""Voxels voted on together."""
TIE = 1e-5
HALF = 0.5
MIXED = -1
Triple = tuple[Tensor, Tensor, Tensor]


class Places(NamedTuple):
    """Where voxels wanted lie among voxels that are there, along (z, y, x).

    Args:
        at: Shapes broadcast to (z y x); voxel centres are whole numbers, none lies beyond the outer ones.
        moves: Along which axes they lie in between.
    """

    at: Triple
    moves: tuple[bool, bool, bool]


def resampled_label(
    label: Integer[Tensor, "z y x"], way: Sampling, shape: Voxels
) -> Integer[Tensor, "_ _ _"]:
    """Bring a label to the network's grid; what lies outside the case is zero.

    Each voxel takes the label that the eight voxels about it give the most weight to, as if every label's
    indicator had been interpolated linearly and the largest taken; ties go to the nearest voxel's. Neither
    time nor memory grows with the number of labels.
    """
    if isinstance(way, AxisSampling):
        return padded(label_along_axes(label, way.axes), way.padding)
    places, inside = _turned(way, label, shape)
    voted = _voted(label, places).mul_(inside)
    return padded(voted, (way.padding, (0, 0), (0, 0))) if isinstance(way, PlaneSampling) else voted


def resampled_body(body: Bool[Tensor, "z y x"], way: Sampling, shape: Voxels) -> Bool[Tensor, "_ _ _"]:
    """Bring a mask to the network's grid by the nearest voxel; what lies outside the case is False."""
    if isinstance(way, AxisSampling):
        return padded(_nearest_along(body, way.axes), way.padding)
    places, inside = _turned(way, body, shape)
    z, y, x = (_nearest(place) for place in places.at)
    taken = _taken(body, (z, y, x)).logical_and_(inside)
    return padded(taken, (way.padding, (0, 0), (0, 0))) if isinstance(way, PlaneSampling) else taken


def label_along_axes(
    label: Integer[Tensor, "z y x"], axes: tuple[Axis, Axis, Axis]
) -> Integer[Tensor, "_ _ _"]:
    """Resample a label axis by axis, as :func:`resampled_label` does; also for whole cases."""
    if sum(isinstance(axis, Weights) for axis in axes) <= 1:  # of two voxels the nearer weighs more
        return _nearest_along(label, axes)
    z, y, x = (
        Cut(0, voxels, mirrored=False) if isinstance(axis, Weights) else axis
        for axis, voxels in zip(axes, label.shape, strict=True)
    )
    label = _nearest_along(label, (z, y, x))
    moves = [isinstance(axis, Weights) for axis in axes]
    ways = [
        axis if moving else Cut(0, n, mirrored=False)
        for axis, moving, n in zip(axes, moves, label.shape, strict=True)
    ]
    at = [_spread(way, dim, label.device) for dim, way in enumerate(ways)]
    return _voted(label, Places((at[0], at[1], at[2]), (moves[0], moves[1], moves[2])))


def _nearest_along(voxels: Tensor, axes: tuple[Axis, Axis, Axis]) -> Tensor:
    """Take the nearest voxel along each axis; where all are crops the answer is a view."""
    mirrored = []
    for dim, axis in enumerate(axes):
        if isinstance(axis, Cut):
            voxels = voxels.narrow(dim, axis.start, axis.voxels)
            mirrored += [dim] * axis.mirrored
        elif isinstance(axis, Picks):
            voxels = voxels.index_select(dim, axis.nearest)
        else:
            voxels = voxels.index_select(dim, _nearest(axis.positions))
    return voxels.flip(mirrored) if mirrored else voxels


def _spread(axis: Axis, dim: int, device: torch.device) -> Tensor:
    """Give the positions along one axis, shaped to broadcast."""
    if isinstance(axis, Weights):
        at = axis.positions
    elif isinstance(axis, Picks):
        at = axis.nearest.float()
    else:
        at = torch.arange(axis.start, axis.start + axis.voxels, device=device, dtype=torch.float32)
        at = at.flip(0) if axis.mirrored else at
    return at.view([-1 if other == dim else 1 for other in range(AXES)])


def _nearest(at: Tensor) -> Tensor:
    """Give the nearest voxel, the one after where both are as near (nnU-Net's too)."""
    return (at + HALF).floor().int()


def _turned(
    way: PlaneSampling | ObliqueSampling, voxels: Tensor, shape: Voxels
) -> tuple[Places, Bool[Tensor, "#z y x"]]:
    """Give the places of a turned patch, and which of them lie inside the box in the turned axes."""
    planes = read_at(way, shape)
    flat = isinstance(way, PlaneSampling)
    at = [_spread(way.z, 0, voxels.device)] if isinstance(way, PlaneSampling) else []
    inside = torch.ones_like(planes[0], dtype=torch.bool)
    for plane, count in zip(reversed(planes.unbind()), voxels.shape[len(at) :], strict=True):  # (x, y, z)
        inside &= plane.abs() <= 1
        place = plane.mul_(count / 2).add_(count / 2 - HALF).clamp_(0, count - 1)
        at.append(place[None] if flat else place)
    inside = inside[None] if flat else inside
    deep = isinstance(way, ObliqueSampling) or isinstance(way.z, Weights)
    return Places((at[0], at[1], at[2]), (deep, True, True)), inside


def _voted(label: Integer[Tensor, "z y x"], places: Places) -> Integer[Tensor, "_ _ _"]:
    """Let the voxels about each place vote.

    On the CPU only where they disagree, a few voxels in a hundred; elsewhere everywhere, because to know
    where would make the host wait for the device.
    """
    if at_hand(label):
        cells = _cells(label, places.moves)
        z, y, x = (
            place.clamp(max=count - 1).int() for place, count in zip(places.at, cells.shape, strict=True)
        )
        voted = _taken(cells, (z, y, x))
        doubtful = (voted == MIXED).nonzero(as_tuple=True)
        z, y, x = (place.expand(voted.shape)[doubtful] for place in places.at)
        voted[doubtful] = _vote(label, Places((z, y, x), places.moves)).to(voted.dtype)
        return voted.to(label.dtype)
    shape = [max(place.shape[dim] for place in places.at) for dim in range(AXES)]
    rows = max(1, AT_ONCE // max(1, shape[1] * shape[2]))
    slabs = [_rows(places, start, start + rows) for start in range(0, shape[0], rows)]
    return torch.cat([_vote(label, slab) for slab in slabs])


def _rows(places: Places, start: int, stop: int) -> Places:
    """Keep the places of some rows of z alone."""
    z, y, x = (place[start:stop] if place.shape[0] > 1 else place for place in places.at)
    return places._replace(at=(z, y, x))


def _vote(label: Integer[Tensor, "z y x"], places: Places) -> Tensor:
    """Give each place the label with the most weight among the voxels about it."""
    flat = label.reshape(-1)
    parts = [place - place.floor() for place in places.at]
    votes, weights = [], []
    for ends in product(*([False, True] if moving else [False] for moving in places.moves)):
        votes.append(flat[_index(label, places.at, [torch.ceil if end else torch.floor for end in ends])])
        shares = [part if end else 1 - part for end, part in zip(ends, parts, strict=True)]
        weights.append(shares[0] * shares[1] * shares[2])
    best = flat[_index(label, places.at, [_nearest] * AXES)]
    most = _support(best, votes, weights) + TIE
    for vote in votes:
        support = _support(vote, votes, weights)
        better = support > most
        best, most = torch.where(better, vote, best), torch.where(better, support, most)
    return best


def _support(candidate: Tensor, votes: list[Tensor], weights: list[Tensor]) -> Tensor:
    """Sum the weights of the voxels that hold the candidate."""
    support = weights[0] * (votes[0] == candidate)
    for vote, weight in zip(votes[1:], weights[1:], strict=True):
        support = support.addcmul(weight, (vote == candidate).to(weight.dtype))
    return support


def _cells(label: Integer[Tensor, "z y x"], moves: tuple[bool, bool, bool]) -> Integer[Tensor, "_ _ _"]:
    """Give the label of each cell between eight voxels, MIXED where they hold different ones."""
    low = high = label
    for dim, (count, moving) in enumerate(zip(label.shape, moves, strict=True)):
        if moving and count > 1:
            low = torch.minimum(low.narrow(dim, 0, count - 1), low.narrow(dim, 1, count - 1))
            high = torch.maximum(high.narrow(dim, 0, count - 1), high.narrow(dim, 1, count - 1))
    signed = low.to(torch.int16) if label.dtype == torch.uint8 else low
    return signed.where(low == high, MIXED)


def _taken(voxels: Tensor, at: Triple) -> Tensor:
    """Read voxels at indices that broadcast; axis by axis where each has its own."""
    if all(index.shape[dim] == index.numel() for dim, index in enumerate(at)):
        for dim, index in enumerate(at):
            voxels = voxels.index_select(dim, index.flatten())
        return voxels
    return voxels.reshape(-1)[_index(voxels, at, [lambda whole: whole] * AXES)]


def _index(voxels: Tensor, at: Triple, rounding: Sequence[Callable[[Tensor], Tensor]]) -> Tensor:
    """Give the place of voxels in memory, their positions rounded axis by axis."""
    _, y, x = voxels.shape
    whole = [rounded(place).int() for rounded, place in zip(rounding, at, strict=True)]
    return whole[0] * (y * x) + whole[1] * x + whole[2]
