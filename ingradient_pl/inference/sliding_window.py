"""Windows in, finished rows of logits out: what later windows still change is all that is kept."""

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from ingradient_pl.geometry import AXES, Voxels
from ingradient_pl.inference.gaussian_weights import padding, window_weights
from ingradient_pl.inference.windows import starts
from ingradient_pl.transforms.resample import pad

FULL_BYTES = 4
TOGETHER = 4
"""Slabs are joined up to this part of the memory for logits: a small case is one, a large one many."""
AT_ONCE = 1 << 22
"""Logits that are weighed together."""

Forward = Callable[[Float[Tensor, "view channel z y x"]], Sequence[Float[Tensor, "view output z y x"]]]
"""Networks as a whole: from a batch to one answer for each network."""

Place = tuple[int, int, int]
View = tuple[Place, tuple[int, ...]]


@dataclass(frozen=True)
class Tiling:
    """How a case is cut into windows, and how much is held at a time.

    Args:
        patch: Voxels of a window.
        step: Largest step between windows as a fraction of the patch size.
        flips: Mirrorings of each window whose answers are averaged, each as the axes (0, 1, 2) turned round.
        batch: Views (mirrored windows) that go through the network together.
        slab_bytes: Memory for logits. Windows are taken along one axis, and rows that none of them will
            change any more are given away. Where a slab of windows needs more than this, logits are held in
            half precision; where it needs less than a quarter, several slabs are worked off together.
    """

    patch: Voxels
    step: float = 0.5
    flips: tuple[tuple[int, ...], ...] = ((),)
    batch: int = 1
    slab_bytes: int = 2**29


class Slab(NamedTuple):
    """Windows that are worked off together.

    Args:
        first: First row that they touch.
        stop: The row after the last.
        final: The row after the last that no later window touches.
        places: Where each window starts, along the axes in the order of rows.
    """

    first: int
    stop: int
    final: int
    places: list[Place]


class SlidingWindow:
    """The windows over a case, sorted so that little has to be held at a time.

    Rows follow the axis along which a slab of windows is smallest.

    Args:
        shape: Voxels of the case on the network's grid.
        tiling: How it is cut.
        outputs: Logits per voxel.
    """

    def __init__(self, shape: Sequence[int], tiling: Tiling, outputs: int) -> None:
        self.tiling, self.outputs = tiling, outputs
        self.padding = padding(shape, tiling.patch)
        self.shape = [
            size + before + after for size, (before, after) in zip(shape, self.padding, strict=True)
        ]
        row = [self._row_bytes(axis) * tiling.patch[axis] for axis in range(AXES)]
        axis = row.index(min(row))
        self.order = (axis, *(other for other in range(AXES) if other != axis))
        self.starts = [starts(self.shape[a], tiling.patch[a], tiling.step) for a in self.order]
        weights = [window_weights(self.starts[i], tiling.patch[a]) for i, a in enumerate(self.order)]
        self.weights = [dict(zip(at, w, strict=True)) for at, w in zip(self.starts, weights, strict=True)]
        self.dtype = torch.half if row[axis] > tiling.slab_bytes else torch.float

    def _row_bytes(self, axis: int) -> int:
        others = [self.shape[other] for other in range(AXES) if other != axis]
        return self.outputs * others[0] * others[1] * FULL_BYTES

    def __iter__(self) -> Iterator[Slab]:
        """Give the slabs in the order of rows."""
        length, rows = self.tiling.patch[self.order[0]], self.starts[0]
        most = max(length, self.tiling.slab_bytes // TOGETHER // self._row_bytes(self.order[0]))
        first = 0
        while first < len(rows):
            stop = first + 1
            while stop < len(rows) and rows[stop] + length - rows[first] <= most:
                stop += 1
            final = rows[stop] if stop < len(rows) else self.shape[self.order[0]]
            places = list(itertools.product(rows[first:stop], self.starts[1], self.starts[2]))
            yield Slab(rows[first], rows[stop - 1] + length, final, places)
            first = stop

    def logits(
        self, image: Float[Tensor, "channel z y x"], forward: Forward
    ) -> Iterator[Float[Tensor, "output row b c"]]:
        """Send all windows through the network; give rows as they become final, in the order of rows.

        What is given is valid until the next is asked for.

        Args:
            image: The case as the network sees it.
            forward: The network, or several whose answers are averaged.
        """
        image = pad(image, tuple(self.padding))
        self.weights = [
            {start: weight.to(image.device, torch.float) for start, weight in along.items()}
            for along in self.weights
        ]
        deepest = max(slab.stop - slab.first for slab in self)
        across = [self.shape[axis] for axis in self.order[1:]]
        held = torch.zeros(self.outputs, deepest, *across, dtype=self.dtype, device=image.device)
        (before, after), *sides = (self.padding[axis] for axis in self.order)
        inside = [slice(b, size - a) for (b, a), size in zip(sides, across, strict=True)]
        total = self.shape[self.order[0]]
        for slab in self:
            self._work_off(slab, image, forward, held)
            first, last = max(slab.first, before), min(slab.final, total - after)
            if first < last:
                rows = held[:, first - slab.first : last - slab.first, inside[0], inside[1]]
                # Not by a sum, which would make a copy of what is held in half precision
                ends = torch.stack([end for row in rows for end in torch.aminmax(row)])
                if not torch.isfinite(ends).all():
                    raise ArithmeticError(
                        f"The network's logits are not finite: they reach from {ends.min():g} to "
                        f"{ends.max():g}. Did its training diverge, or is the image of another kind than "
                        "those it was trained on?"
                    )
                yield rows
            _shift(held, slab.final - slab.first, slab.stop - slab.final)

    def _work_off(self, slab: Slab, image: Tensor, forward: Forward, held: Tensor) -> None:
        views = list(itertools.product(slab.places, self.tiling.flips))
        for start in range(0, len(views), self.tiling.batch):
            self._send(views[start : start + self.tiling.batch], slab.first, image, forward, held)

    def _send(self, views: list[View], first: int, image: Tensor, forward: Forward, held: Tensor) -> None:
        """Send a batch through the network; its answers are gone when this returns."""
        answers = forward(torch.stack([self._view(image, place, flip) for place, flip in views]))
        share = 1 / (len(self.tiling.flips) * len(answers))
        turns: dict[Place, list[tuple[Tensor, tuple[int, ...]]]] = {}
        for number, (place, flip) in enumerate(views):
            turns.setdefault(place, []).extend((answer[number], flip) for answer in answers)
        for place, some in turns.items():
            self._add(self._target(held, first, place), some, self._weight(place, share))

    def _cut(self, place: Sequence[int]) -> list[slice]:
        """Give what cuts a window out of an array with axes (z, y, x)."""
        at = dict(zip(self.order, place, strict=True))
        return [slice(at[axis], at[axis] + self.tiling.patch[axis]) for axis in range(AXES)]

    def _view(self, image: Tensor, place: Sequence[int], flip: Sequence[int]) -> Tensor:
        return image[(slice(None), *self._cut(place))].flip([1 + axis for axis in flip])

    def _weight(self, place: Place, share: float) -> Tensor:
        a, b, c = (weights[start] for weights, start in zip(self.weights, place, strict=True))
        weight: Tensor = (a * share)[:, None, None] * b[:, None] * c
        return weight

    def _target(self, held: Tensor, first: int, place: Place) -> Tensor:
        """The part of what is held that a window touches."""
        start = (place[0] - first, *place[1:])
        ends = zip(start, self.order, strict=True)
        return held[(slice(None), *(slice(at, at + self.tiling.patch[axis]) for at, axis in ends))]

    def _add(self, target: Tensor, turns: list[tuple[Tensor, tuple[int, ...]]], weight: Tensor) -> None:
        """Add a window's answers, turned back; some classes at a time, so that copies stay small."""
        some = max(1, AT_ONCE // weight.numel())
        back = (0, *(1 + axis for axis in self.order))
        for first in range(0, self.outputs, some):
            (logits, flip), *others = turns
            total = _undo_mirroring(logits[first : first + some], flip)
            for logits, flip in others:
                total = total + _undo_mirroring(logits[first : first + some], flip)
            part = target[first : first + some]
            if part.dtype == total.dtype:
                part.addcmul_(total.permute(back), weight)  # one pass
            else:
                part += total.permute(back) * weight


def _undo_mirroring(logits: Tensor, flip: Sequence[int]) -> Tensor:
    """Undo a mirroring; without one nothing is copied."""
    return logits.float().flip([1 + axis for axis in flip]) if flip else logits.float()


def _shift(held: Tensor, gone: int, kept: int) -> None:
    """Move the rows that later windows still change to the front, class by class, and clear the rest."""
    for rows in held:
        if kept:
            rows[:kept] = rows[gone : gone + kept].clone()
        rows[kept:] = 0
