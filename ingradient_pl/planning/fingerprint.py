"""Fingerprint: all that planners know of a data set. It is read off the store without touching a voxel."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ingradient_pl.geometry import AXES, Grid, Millimetres
from ingradient_pl.phrases import join_times, say_count
from ingradient_pl.planning.intensity import Intensities
from ingradient_pl.planning.spread import Spread
from ingradient_pl.store.store_union import AnyCases
from ingradient_pl.task import Task


@dataclass(frozen=True)
class Fingerprint:
    """A data set in numbers.

    Args:
        grids: Of each case after the crop to its content: voxels and mm along (z, y, x).
        task: Channels and labels.
        relative_size: Median over the cases of the share of voxels that the crop left.
        foreground: Intensities of each channel's foreground; None where no case has any.
        orientation: Where the axes x, y, z of the cases point to (``LPS``); ``stored``: as in their files.
        spreads: Between what each channel's intensities lie; empty where that is not known.

    Raises:
        ValueError: If there is no case, or intensities are not given for every channel.
    """

    grids: tuple[Grid, ...]
    task: Task
    relative_size: float = 1.0
    foreground: tuple[Intensities | None, ...] = ()
    orientation: str = "LPS"
    spreads: tuple[Spread, ...] = ()

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

    def __repr__(self) -> str:
        cases, channels = len(self.grids), len(self.task.channels)
        return (
            f"Fingerprint({say_count(cases, 'case')}, {say_count(channels, 'channel')}, "
            f"median {join_times(self.median_shape)} voxels of {join_times(self.median_spacing)} mm)"
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

        Args:
            shapes: Voxels of each case after the crop to its content.
            spacings: Millimetres of each case.
            task: Channels and labels.
            relative_size: Median over the cases of the share of voxels that the crop left, in (0, 1].
            foreground: Intensities of each channel; empty where they are not known.

        Raises:
            ValueError: If there are not as many shapes as spacings.
        """
        if len(shapes) != len(spacings):
            raise ValueError(f"Each case needs a shape and a spacing; got {len(shapes)} and {len(spacings)}.")
        grids = tuple(Grid.of(shape, mm) for shape, mm in zip(shapes, spacings, strict=True))
        return cls(grids, task, relative_size, tuple(foreground))

    @classmethod
    def of_store(cls, store: AnyCases) -> "Fingerprint":
        """Read the fingerprint off a store: of the cases with labels, or of all where none has any.

        Args:
            store: Opened with its axes as on disk.

        Raises:
            ValueError: If the store was opened with its axes in another order than on disk.
        """
        if store.transpose != tuple(range(AXES)):
            raise ValueError(
                f"A plan decides the order of axes, so the store must be opened without one; it was "
                f"opened with transpose={store.transpose}."
            )
        labelled = {name: case for name, case in store.cases.items() if case.labelled}
        cases = labelled or store.cases
        left = [math.prod(case.grid.shape) / math.prod(case.native.shape) for case in cases.values()]
        measured = [store.statistics(name) for name in cases]
        foreground = [
            Intensities.pool([one for case in measured if (one := case[channel].foreground) is not None])
            for channel in range(len(store.task.channels))
        ]
        return cls(
            grids=tuple(case.grid for case in cases.values()),
            task=store.task,
            relative_size=float(np.median(left)) if left else 1.0,
            foreground=tuple(foreground),
            orientation=store.orientation,
            spreads=tuple(
                Spread.of([case[channel].body for case in measured])
                for channel in range(len(store.task.channels) if measured else 0)
            ),
        )

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
