"""The way home: finished rows of logits become labels on the case's own voxels, and are forgotten."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int, Num
from torch import Tensor

from ingradient_pl.cases.patch import Axis, Cut, Picks, Weights
from ingradient_pl.cases.task import Task
from ingradient_pl.transforms.resample import Axes

AT_ONCE = {"cpu": 1 << 18}
"""Native voxels decided together: on a processor as many as stay in its cache, class after class."""
AT_ONCE_ELSEWHERE = 1 << 23

Keep = Callable[[int, Float[Tensor, "output row b c"]], None]
"""What is done with probabilities: called with the first native row and the maps of some rows."""


@dataclass(frozen=True)
class Choice:
    """From the logits of a voxel to the integer of a label.

    Args:
        integers: What each output is written as.
        regions: Whether each output says yes or no for itself, later ones overwriting earlier ones; else
            the largest logit wins, the first of several.
    """

    integers: tuple[int, ...]
    regions: bool

    @classmethod
    def of(cls, task: Task) -> "Choice":
        """Read it off a task.

        Raises:
            ValueError: If the task has regions and does not say as which integers they are written.
        """
        if not task.has_regions:
            return cls(tuple(range(task.outputs)), regions=False)
        order = task.regions_class_order
        if order is None or len(order) != task.outputs:
            raise ValueError(
                "A task with regions needs 'regions_class_order': the integer that each of its "
                f"{task.outputs} regions ({', '.join(task.foreground)}) is written as; got {order}."
            )
        return cls(tuple(order), regions=True)

    @property
    def dtype(self) -> type[np.unsignedinteger]:
        """The smallest type that holds every integer."""
        return np.uint8 if max(self.integers) <= np.iinfo(np.uint8).max else np.uint16

    def decided(self, maps: Iterable[Float[Tensor, "row b c"]]) -> Int[Tensor, "row b c"]:
        """Choose, class after class: of the maps seen so far only the best logit is remembered."""
        label: Tensor | None = None
        best: Tensor | None = None
        for integer, logits in zip(self.integers, maps, strict=True):
            if label is None:
                label = torch.zeros_like(logits, dtype=torch.int32)
            threshold: Tensor | float = 0.0 if self.regions or best is None else best
            if self.regions or best is not None:
                label.masked_fill_(logits > threshold, integer)
            if not self.regions:
                best = logits if best is None else torch.maximum(best, logits, out=best)
        assert label is not None
        return label

    def probabilities(self, logits: Float[Tensor, "output row b c"]) -> Float[Tensor, "output row b c"]:
        """Turn logits into shares of one, or for regions into a probability each."""
        return logits.sigmoid() if self.regions else logits.softmax(0)


class Home:
    """Takes finished rows of logits in their order and fills in the label on the case's own voxels.

    Beyond the rows it is given it holds one row of logits and as many native voxels as fit a cache, however
    many classes there are.

    Args:
        axes: The way home along each axis, the one that rows follow first.
        choice: From logits to labels.
        label: Where labels go; axes as in ``axes``.
        keep: What to do with probabilities; None where nobody wants them.
    """

    def __init__(
        self, axes: Axes, choice: Choice, label: Num[np.ndarray, "row b c"], keep: Keep | None = None
    ) -> None:
        self.along, self.across = axes[0], axes[1:]
        self.choice, self.label, self.keep = choice, label, keep
        self.lower, self.upper, self.share = _places(axes[0])
        self.fed = self.done = 0
        self.last: Tensor | None = None

    def feed(self, rows: Float[Tensor, "output row b c"]) -> None:
        """Take the next rows; native rows that lie between rows known by now are written."""
        known = self.fed + rows.shape[1]
        ready = int(torch.searchsorted(self.upper, known))
        voxels = self.label.shape[1] * self.label.shape[2]
        most = max(1, AT_ONCE.get(rows.device.type, AT_ONCE_ELSEWHERE) // voxels)
        for first in range(self.done, ready, most):
            self._write(rows, first, min(first + most, ready))
        self.done, self.fed, self.last = ready, known, rows[:, -1:].clone()

    def _write(self, rows: Tensor, first: int, stop: int) -> None:
        if self.keep is None:
            label = self.choice.decided(self._maps(rows, first, stop))
        else:
            logits = torch.stack(list(self._maps(rows, first, stop)))
            self.keep(first, self.choice.probabilities(logits))
            label = self.choice.decided(iter(logits.clone()))
        self.label[first:stop] = label.cpu().numpy()

    def _maps(self, rows: Tensor, first: int, stop: int) -> Iterable[Tensor]:
        """Each output's logits on the native rows ``[first, stop)``."""
        begin, end = int(self.lower[first]), int(self.upper[stop - 1]) + 1
        lower, upper = ((places[first:stop] - begin).to(rows.device) for places in (self.lower, self.upper))
        share = None if self.share is None else self.share[first:stop, None, None].to(rows.device)
        for output in range(len(rows)):
            block = rows[output, max(0, begin - self.fed) : end - self.fed]
            if begin < self.fed:
                assert self.last is not None
                block = torch.cat([self.last[output], block])
            block = block.float()
            along = block[lower] if share is None else torch.lerp(block[lower], block[upper], share)
            yield across(along, self.across)


def across(rows: Float[Tensor, "row _ _"], ways: Sequence[Axis]) -> Float[Tensor, "row _ _"]:
    """Resample the two axes across the rows, linearly or to the nearest; a new tensor."""
    size = list(rows.shape[1:])
    for dim, way in enumerate(ways, 1):
        if isinstance(way, Picks):
            rows = rows.index_select(dim, way.nearest.to(rows.device))
        elif isinstance(way, Cut):
            rows = rows.narrow(dim, way.start, way.voxels)
        size[dim - 1] = len(way.positions) if isinstance(way, Weights) else rows.shape[dim]
    if tuple(size) == tuple(rows.shape[1:]):
        return rows
    return F.interpolate(rows[None], size, mode="bilinear", align_corners=False)[0]


def _places(axis: Axis) -> tuple[Tensor, Tensor, Tensor | None]:
    """Give the row before and the row after each native row, and the share of the latter if it has any."""
    if isinstance(axis, Cut):
        rows = torch.arange(axis.start, axis.start + axis.voxels)
        return rows, rows, None
    if isinstance(axis, Picks):
        return axis.nearest, axis.nearest, None
    last = axis.image.shape[1] - 1
    at = axis.positions.double().clamp(0, last)
    lower = at.floor().long().clamp(max=max(0, last - 1))
    return lower, (lower + 1).clamp(max=last), (at - lower).float()
