"""Resampling of labels on the device: linear in each label's indicator, the largest wins, none is stored."""

from collections.abc import Callable, Sequence
from itertools import product

import torch
from jaxtyping import Bool, Integer, Shaped
from torch import Tensor

from ingradient_pl.geometry import AXES, Box, Voxels
from ingradient_pl.store.measure_case import bounding_box
from ingradient_pl.transforms.patch import (
    Axis,
    AxisSampling,
    Crop,
    Interpolation,
    NearestVoxels,
    ObliqueSampling,
    PlaneSampling,
    Sampling,
)
from ingradient_pl.transforms.resample import on_host, pad, read_at
from ingradient_pl.transforms.sample_positions import SamplePositions, Triple

BLOCK_VOXELS = 1 << 21
"""Voxels voted on together."""
TIE = 1e-5
HALF = 0.5
MIXED = -1


def resample_label(label: Integer[Tensor, "z y x"], way: Sampling, shape: Voxels) -> Integer[Tensor, "_ _ _"]:
    """Bring a label to the network's grid; what lies outside the case is zero.

    Each voxel takes the label that the eight voxels about it give the most weight to, as if every label's
    indicator had been interpolated linearly and the largest taken; ties go to the nearest voxel's, and among
    others to the lowest label. Neither time nor memory grows with the number of labels.

    Args:
        label: Integers of a patch on the native grid.
        way: How the patch is read.
        shape: Voxels (z, y, x) wanted.
    """
    if isinstance(way, AxisSampling):
        return pad(label_along_axes(label, way.axes), way.padding)
    voted = _vote_everywhere(label, _affine_positions(way, label.shape, shape))
    return pad(voted, (way.padding, (0, 0), (0, 0))) if isinstance(way, PlaneSampling) else voted


def resample_nearest(
    voxels: Shaped[Tensor, "z y x"], way: Sampling, shape: Voxels
) -> Shaped[Tensor, "_ _ _"]:
    """Bring a mask or label to the network's grid by the nearest voxel; outside the case it is zero.

    Args:
        voxels: Of a patch on the native grid, of any type.
        way: How the patch is read.
        shape: Voxels (z, y, x) wanted.
    """
    if isinstance(way, AxisSampling):
        return pad(_nearest_along(voxels, way.axes), way.padding)
    places = _affine_positions(way, voxels.shape, shape)
    z, y, x = (_nearest(place) for place in places.clamp_to(voxels.shape).at)
    taken = _take(voxels, (z, y, x)).mul_(_inside(places, voxels.shape))
    return pad(taken, (way.padding, (0, 0), (0, 0))) if isinstance(way, PlaneSampling) else taken


def label_along_axes(
    label: Integer[Tensor, "z y x"], axes: tuple[Axis, Axis, Axis]
) -> Integer[Tensor, "_ _ _"]:
    """Resample a label axis by axis, as :func:`resample_label` does; also for whole cases.

    Args:
        label: Integers on the native grid.
        axes: How each of (z, y, x) is read.
    """
    if sum(isinstance(axis, Interpolation) for axis in axes) <= 1:  # of two voxels the nearer weighs more
        return _nearest_along(label, axes)
    z, y, x = (
        Crop(0, voxels, mirrored=False) if isinstance(axis, Interpolation) else axis
        for axis, voxels in zip(axes, label.shape, strict=True)
    )
    label = _nearest_along(label, (z, y, x))
    moves = [isinstance(axis, Interpolation) for axis in axes]
    ways = [
        axis if moving else Crop(0, n, mirrored=False)
        for axis, moving, n in zip(axes, moves, label.shape, strict=True)
    ]
    at = [_spread(way, dim, label.device) for dim, way in enumerate(ways)]
    return _vote_everywhere(label, SamplePositions((at[0], at[1], at[2]), (moves[0], moves[1], moves[2])))


def _nearest_along(voxels: Tensor, axes: tuple[Axis, Axis, Axis]) -> Tensor:
    """Take the nearest voxel along each axis; where all are crops the answer is a view."""
    mirrored = []
    for dim, axis in enumerate(axes):
        if isinstance(axis, Crop):
            voxels = voxels.narrow(dim, axis.start, axis.voxels)
            mirrored += [dim] * axis.mirrored
        elif isinstance(axis, NearestVoxels):
            voxels = voxels.index_select(dim, axis.nearest)
        else:
            voxels = voxels.index_select(dim, _nearest(axis.positions))
    return voxels.flip(mirrored) if mirrored else voxels


def _spread(axis: Axis, dim: int, device: torch.device) -> Tensor:
    """Give the positions along one axis, shaped to broadcast."""
    if isinstance(axis, Interpolation):
        at = axis.positions
    elif isinstance(axis, NearestVoxels):
        at = axis.nearest.float()
    else:
        at = torch.arange(axis.start, axis.start + axis.voxels, device=device, dtype=torch.float32)
        at = at.flip(0) if axis.mirrored else at
    return at.view([-1 if other == dim else 1 for other in range(AXES)])


def _nearest(at: Tensor) -> Tensor:
    """Give the nearest voxel, the one after where both are as near (nnU-Net's too)."""
    return (at + HALF).floor().int()


def _affine_positions(
    way: PlaneSampling | ObliqueSampling, counts: Sequence[int], shape: Voxels
) -> SamplePositions:
    """Give the places of a turned patch among ``counts`` voxels; they may lie outside."""
    planes = read_at(way, shape)
    flat = isinstance(way, PlaneSampling)
    at = [_spread(way.z, 0, planes.device)] if isinstance(way, PlaneSampling) else []
    for plane, count in zip(reversed(planes.unbind()), counts[len(at) :], strict=True):  # (x, y, z)
        place = plane.mul_(count / 2).add_(count / 2 - HALF)
        at.append(place[None] if flat else place)
    deep = isinstance(way, ObliqueSampling) or isinstance(way.z, Interpolation)
    return SamplePositions((at[0], at[1], at[2]), (deep, True, True))


def _inside(places: SamplePositions, counts: Sequence[int]) -> Bool[Tensor, "z y x"]:
    """Tell which places lie in one of ``counts`` voxels."""
    z, y, x = places.within([-HALF] * AXES, [count - HALF for count in counts])
    return z & y & x


def _vote_everywhere(label: Integer[Tensor, "z y x"], places: SamplePositions) -> Integer[Tensor, "_ _ _"]:
    """Let the voxels about each place vote; outside of all of them it is zero.

    On the CPU only where there may be a label, which is a part of most patches; elsewhere everywhere, because
    to know where would make the host wait for the device.
    """
    if on_host(label):
        return _vote_about(label, places)
    near = places.clamp_to(label.shape)
    rows = max(1, BLOCK_VOXELS // max(1, places.shape[1] * places.shape[2]))
    slabs = [_rows(near, start, start + rows) for start in range(0, places.shape[0], rows)]
    return torch.cat([_vote(label, slab) for slab in slabs]).mul_(_inside(places, label.shape))


def _vote_about(label: Integer[Tensor, "z y x"], places: SamplePositions) -> Integer[Tensor, "_ _ _"]:
    """Vote about the box that holds all that is not zero."""
    found = label.new_zeros(places.shape)
    filled = bounding_box(label.numpy() != 0)
    if filled is None:
        return found
    box = Box.between([first - 1 for first in filled.start], [stop + 1 for stop in filled.stop])
    box = box.clipped(label.shape)
    within = places.within(
        [first - HALF * (first == 0) for first in box.start],
        [stop - 1 + HALF * (stop == count) for stop, count in zip(box.stop, label.shape, strict=True)],
    )
    part = label[box.slices]
    if _apart(places.at):
        kept = [axis.flatten().nonzero().flatten() for axis in within]
        if all(map(len, kept)):
            cut = [slice(int(rows[0]), int(rows[-1]) + 1) for rows in kept]  # they rise or fall
            near = places.apply(lambda place, axis: place.narrow(axis, cut[axis].start, len(kept[axis])))
            found[tuple(cut)] = _settle(part, near.clamp_to(label.shape).since(box.start))
        return found
    z, y, x = within
    chosen = (z & y & x).flatten().nonzero().flatten()
    near = places.apply(lambda place, _: place.expand(places.shape).flatten()[chosen])
    found.view(-1)[chosen] = _settle(part, near.clamp_to(label.shape).since(box.start))
    return found


def _settle(label: Integer[Tensor, "z y x"], places: SamplePositions) -> Integer[Tensor, "*_"]:
    """Vote only where the voxels about a place disagree, a few places in a hundred."""
    cells = _cells(label, places.moves)
    z, y, x = (place.clamp(max=count - 1).int() for place, count in zip(places.at, cells.shape, strict=True))
    voted = _take(cells, (z, y, x))
    doubtful = (voted == MIXED).flatten().nonzero().flatten()
    near = places.apply(lambda place, _: place.expand(voted.shape).flatten()[doubtful])
    voted.view(-1)[doubtful] = _vote(label, near).to(voted.dtype)
    return voted.to(label.dtype)


def _rows(places: SamplePositions, start: int, stop: int) -> SamplePositions:
    """Keep the places of some rows of z alone."""
    return places.apply(lambda place, _: place[start:stop] if place.shape[0] > 1 else place)


def _vote(label: Integer[Tensor, "z y x"], places: SamplePositions) -> Tensor:
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
        better = (support > most) | ((support == most) & (vote < best))
        best, most = torch.where(better, vote, best), torch.where(better, support, most)
    return best


def _support(candidate: Tensor, votes: list[Tensor], weights: list[Tensor]) -> Tensor:
    """Sum the weights of the voxels that hold the candidate."""
    support, same = torch.zeros_like(weights[0]), torch.empty_like(weights[0])
    for vote, weight in zip(votes, weights, strict=True):
        support.addcmul_(weight, torch.eq(vote, candidate, out=same))  # a sixth of making floats of truths
    return support


def _cells(label: Integer[Tensor, "z y x"], moves: tuple[bool, bool, bool]) -> Integer[Tensor, "_ _ _"]:
    """Give the label of each cell between eight voxels, MIXED where they hold different ones."""
    low = high = label
    for dim, (count, moving) in enumerate(zip(label.shape, moves, strict=True)):
        if moving and count > 1:
            low = torch.minimum(low.narrow(dim, 0, count - 1), low.narrow(dim, 1, count - 1))
            high = torch.maximum(high.narrow(dim, 0, count - 1), high.narrow(dim, 1, count - 1))
    signed = low.to(torch.int16) if label.dtype == torch.uint8 else low
    mixed = torch.ne(low, high, out=torch.empty_like(signed))  # no truths: they take several times as long
    return signed.addcmul(mixed, signed - MIXED, value=-1)


def _take(voxels: Tensor, at: Triple) -> Tensor:
    """Read voxels at indices that broadcast; axis by axis where each has its own."""
    if _apart(at):
        for dim, index in enumerate(at):
            voxels = voxels.index_select(dim, index.flatten())
        return voxels
    return voxels.reshape(-1)[_index(voxels, at, [lambda whole: whole] * AXES)]


def _apart(at: Triple) -> bool:
    """Tell whether each axis has its own places, and all of them together make a grid."""
    return at[0].dim() == AXES and all(place.shape[dim] == place.numel() for dim, place in enumerate(at))


def _index(voxels: Tensor, at: Triple, rounding: Sequence[Callable[[Tensor], Tensor]]) -> Tensor:
    """Give the place of voxels in memory, their positions rounded axis by axis."""
    _, y, x = voxels.shape
    whole = [rounded(place).int() for rounded, place in zip(rounding, at, strict=True)]
    return whole[0] * (y * x) + whole[1] * x + whole[2]
