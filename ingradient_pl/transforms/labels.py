"""Resampling of labels on the device: linear in each label's indicator, the largest wins, none is stored."""

from collections.abc import Callable
from itertools import product
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Integer
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
from ingradient_pl.transforms.interpolate import padded

AT_ONCE = 1 << 21
"""Voxels voted on together."""
TIE = 1e-5
HALF = 0.5
Triple = tuple[Tensor, Tensor, Tensor]


class Places(NamedTuple):
    """Where voxels wanted lie between voxels that are there, along (z, y, x); shapes broadcast to (z y x).

    Args:
        lower: The voxel before.
        upper: The voxel after; the same where the axis is not interpolated.
        share: What belongs to the voxel after, in [0, 1].
    """

    lower: Triple
    upper: Triple
    share: Triple

    @property
    def nearest(self) -> Triple:
        """The voxel nearest to each, the one before where both are as near."""
        z, y, x = (
            torch.where(share > HALF, upper, lower)
            for lower, upper, share in zip(self.lower, self.upper, self.share, strict=True)
        )
        return z, y, x


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
    taken = _taken(body, places.nearest).logical_and_(inside)
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
    parts = []
    for dim, axis in enumerate(axes):
        rest = Cut(0, label.shape[dim], mirrored=False)
        parts.append(_spread(axis if isinstance(axis, Weights) else rest, dim, label.device))
    lower, upper, share = zip(*parts, strict=True)
    return _voted(label, Places(lower, upper, share))


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
            near = torch.where(axis.share > HALF, axis.upper, axis.lower)
            voxels = voxels.index_select(dim, near)
    return voxels.flip(mirrored) if mirrored else voxels


def _spread(axis: Axis, dim: int, device: torch.device) -> Triple:
    """Give lower, upper and share along one axis, shaped to broadcast."""
    shape = [-1 if other == dim else 1 for other in range(AXES)]
    if isinstance(axis, Weights):
        return axis.lower.view(shape), axis.upper.view(shape), axis.share.view(shape)
    if isinstance(axis, Cut):
        every = torch.arange(axis.start, axis.start + axis.voxels, device=device)
        nearest = (every.flip(0) if axis.mirrored else every).view(shape)
    else:
        nearest = axis.nearest.view(shape)
    return nearest, nearest, torch.zeros(1, 1, 1, device=device)


def _turned(
    way: PlaneSampling | ObliqueSampling, voxels: Tensor, shape: Voxels
) -> tuple[Places, Bool[Tensor, "#z y x"]]:
    """Give the places of a turned patch, and which of them lie inside the box in the turned axes."""
    turned = way.matrix.shape[0]
    dims = range(AXES - turned, AXES)
    steps = [_centres(shape[dim], way.matrix) for dim in dims]
    if isinstance(way, PlaneSampling):
        parts = [_spread(way.z, 0, voxels.device)]
        bases = [steps[0].view(1, -1, 1), steps[1].view(1, 1, -1)]
    else:
        parts = []
        bases = [steps[0].view(-1, 1, 1), steps[1].view(1, -1, 1), steps[2].view(1, 1, -1)]
    inside = torch.ones((), dtype=torch.bool, device=voxels.device)
    for place, dim in enumerate(dims):
        row = way.matrix[turned - 1 - place]  # the matrix runs (x, y, z)
        at = sum((row[turned - 1 - other] * base for other, base in enumerate(bases)), row[turned])
        inside = inside & (at.abs() <= 1)
        count = voxels.shape[dim]
        near = at.add(1).mul_(count / 2).sub_(HALF).clamp_(0, count - 1)
        lower = near.floor().clamp_(max=max(count - 2, 0))
        share = near.sub_(lower)
        below = lower.long()
        parts.append((below, (below + 1).clamp_(max=count - 1), share))
    lowers, uppers, shares = zip(*parts, strict=True)
    return Places(lowers, uppers, shares), inside


def _centres(count: int, like: Tensor) -> Float[Tensor, " count"]:
    """Voxel centres of an axis that runs from -1 to 1."""
    return (torch.arange(count, device=like.device, dtype=like.dtype) * 2 + 1) / count - 1


def _voted(label: Integer[Tensor, "z y x"], places: Places) -> Integer[Tensor, "_ _ _"]:
    """Let the voxels about each place vote.

    On the CPU only where they disagree, a few voxels in a hundred; elsewhere everywhere, because to know
    where would make the host wait for the device.
    """
    if 0 in label.shape:
        return _taken(label, places.nearest)
    if label.device.type == "cpu":
        voted = _taken(label, places.nearest)
        cells = [lower.clamp(max=max(n - 2, 0)) for lower, n in zip(places.lower, label.shape, strict=True)]
        at = _taken(_mixed(label), (cells[0], cells[1], cells[2])).nonzero(as_tuple=True)
        voted[at] = _vote(label, _chosen(places, voted.shape, at))
        return voted
    z, y, x = (max(entry.shape[dim] for entry in places.lower) for dim in range(AXES))
    rows = max(1, AT_ONCE // max(1, y * x))
    return torch.cat([_vote(label, _rows(places, start, start + rows)) for start in range(0, z, rows)])


def _vote(label: Integer[Tensor, "z y x"], places: Places) -> Tensor:
    """Give each place the label with the most weight among the voxels about it."""
    flat, strides = label.reshape(-1), label.contiguous().stride()
    votes, weights = [], []
    moves = [lower is not upper for lower, upper in zip(places.lower, places.upper, strict=True)]
    for ends in product(*([False, True] if moving else [False] for moving in moves)):
        index, weight = torch.zeros((), dtype=torch.long, device=label.device), None
        for dim, end in enumerate(ends):
            index = index + (places.upper if end else places.lower)[dim] * strides[dim]
            if moves[dim]:
                part = places.share[dim] if end else 1 - places.share[dim]
                weight = part if weight is None else weight * part
        votes.append(flat[index])
        weights.append(torch.ones_like(places.share[0]) if weight is None else weight)
    z, y, x = (near * stride for near, stride in zip(places.nearest, strides, strict=True))
    best = flat[z + y + x]
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


def _mixed(label: Integer[Tensor, "z y x"]) -> Bool[Tensor, "_ _ _"]:
    """Tell of each cell between eight voxels whether they hold different labels."""
    low = high = label
    for dim, count in enumerate(label.shape):
        if count > 1:
            low = torch.minimum(low.narrow(dim, 0, count - 1), low.narrow(dim, 1, count - 1))
            high = torch.maximum(high.narrow(dim, 0, count - 1), high.narrow(dim, 1, count - 1))
    return low != high


def _taken(voxels: Tensor, at: Triple) -> Tensor:
    """Read voxels at indices that broadcast; axis by axis where each has its own."""
    if all(index.shape[dim] == index.numel() for dim, index in enumerate(at)):
        for dim, index in enumerate(at):
            voxels = voxels.index_select(dim, index.flatten())
        return voxels
    strides = voxels.contiguous().stride()
    z, y, x = (index * stride for index, stride in zip(at, strides, strict=True))
    return voxels.reshape(-1)[z + y + x]


def _chosen(places: Places, shape: torch.Size, at: tuple[Tensor, ...]) -> Places:
    """Keep the places at ``at`` alone, as lists."""
    return _each(places, lambda entry: entry.expand(shape)[at])


def _rows(places: Places, start: int, stop: int) -> Places:
    """Keep the places of some rows of z alone."""
    return _each(places, lambda entry: entry[start:stop] if entry.shape[0] > 1 else entry)


def _each(places: Places, change: Callable[[Tensor], Tensor]) -> Places:
    """Change every entry; where the voxel before is the one after, it stays so."""
    pairs = zip(places.lower, places.upper, strict=True)
    (z, z_), (y, y_), (x, x_) = (
        (changed := change(lower), changed if upper is lower else change(upper)) for lower, upper in pairs
    )
    shares = [change(share) for share in places.share]
    return Places((z, y, x), (z_, y_, x_), (shares[0], shares[1], shares[2]))
