"""Fingerprint: all that planners know of a data set. It is read off the store without touching a voxel."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np

from ingradient_pl.cases.statistics import ChannelStatistics
from ingradient_pl.cases.task import Task
from ingradient_pl.geometry import Grid, Millimetres, Voxels
from ingradient_pl.planning.intensity import Intensities


@runtime_checkable
class Cropped(Protocol):
    """What a fingerprint asks of a case in the store."""

    @property
    def grid(self) -> Grid:
        """The case's own grid after the crop to its content."""
        ...

    @property
    def uncropped(self) -> Voxels:
        """Voxels along each axis before the crop."""
        ...


@runtime_checkable
class Store(Protocol):
    """What a fingerprint asks of a store."""

    @property
    def task(self) -> Task:
        """Channels and labels."""
        ...

    @property
    def cases(self) -> Mapping[str, Cropped]:
        """Every case by name."""
        ...

    def statistics(self, name: str) -> Sequence[ChannelStatistics]:
        """Intensities of each channel of a case."""
        ...


@dataclass(frozen=True)
class Fingerprint:
    """A data set in numbers.

    Args:
        grids: Of each case after the crop to its content: voxels and mm along (z, y, x).
        task: Channels and labels.
        relative_size: Median over the cases of the share of voxels that the crop left.
        foreground: Intensities of each channel's foreground; None where no case has any.

    Raises:
        ValueError: If there is no case, or intensities are not given for every channel.
    """

    grids: tuple[Grid, ...]
    task: Task
    relative_size: float = 1.0
    foreground: tuple[Intensities | None, ...] = ()

    def __post_init__(self) -> None:
        foreground = tuple(self.foreground) or (None,) * len(self.task.channels)
        object.__setattr__(self, "grids", tuple(self.grids))
        object.__setattr__(self, "foreground", foreground)
        if not self.grids:
            raise ValueError("A data set without cases cannot be planned for: fill the store first.")
        if len(foreground) != len(self.task.channels):
            raise ValueError(
                f"The task has {len(self.task.channels)} channels ({', '.join(self.task.channels)}), "
                f"but intensities are given for {len(foreground)}. Give them for each, or for none."
            )

    @classmethod
    def of(
        cls,
        shapes: Sequence[Sequence[int]],
        spacings: Sequence[Sequence[float]],
        task: Task,
        relative_size: float = 1.0,
        foreground: Sequence[Intensities | None] = (),
    ) -> "Fingerprint":
        """Build a fingerprint from plain lists: voxels and mm along (z, y, x), a row for each case.

        Raises:
            ValueError: If there are not as many shapes as spacings.
        """
        if len(shapes) != len(spacings):
            raise ValueError(f"Each case needs a shape and a spacing; got {len(shapes)} and {len(spacings)}.")
        grids = tuple(Grid.of(shape, mm) for shape, mm in zip(shapes, spacings, strict=True))
        return cls(grids, task, relative_size, tuple(foreground))

    @classmethod
    def of_store(cls, store: Store) -> "Fingerprint":
        """Read the fingerprint off a store."""
        cases = store.cases
        left = [np.prod(case.grid.shape) / np.prod(case.uncropped) for case in cases.values()]
        measured = [store.statistics(name) for name in cases]
        foreground = [
            Intensities.pooled([one for case in measured if (one := case[channel].foreground) is not None])
            for channel in range(len(store.task.channels))
        ]
        grids = tuple(case.grid for case in cases.values())
        return cls(grids, store.task, float(np.median(left)) if left else 1.0, tuple(foreground))

    @property
    def median_shape(self) -> tuple[float, float, float]:
        """Median voxels along each axis; half a voxel is possible."""
        z, y, x = (float(size) for size in np.median([grid.shape for grid in self.grids], axis=0))
        return z, y, x

    @property
    def median_spacing(self) -> Millimetres:
        """Median mm along each axis."""
        z, y, x = (float(mm) for mm in np.median([grid.spacing for grid in self.grids], axis=0))
        return z, y, x
