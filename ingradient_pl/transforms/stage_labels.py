"""The segmentation that a cascade hands on: an integer for each label, or a bit where labels may overlap."""

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import UInt

from ingradient_pl.images.packed_masks import BITS
from ingradient_pl.task import Task

MOST = 24
"""Labels that may overlap and be handed on: a whole case holds their bits as 32 bit floats, exact so far."""


class StageLabels(NamedTuple):
    """What the integers of a segmentation that a cascade hands on mean.

    Args:
        values: Integer of each label, as files have them; the bit of each where labels may overlap.
        overlap: Whether a voxel may hold several labels.
    """

    values: tuple[int, ...]
    overlap: bool = False

    @classmethod
    def of(cls, task: Task) -> "StageLabels":
        """Give those of a task.

        Args:
            task: Of both stages.

        Raises:
            ValueError: If more labels may overlap than can be handed on.
        """
        if task.overlap is None:
            return cls(tuple(task.in_files.foreground_values))
        if task.outputs > MOST:
            raise ValueError(
                f"A cascade hands on a bit a voxel for each label that may overlap, {MOST} at most; the task "
                f"has {task.outputs} of them. Train one stage (ingradient-train), or fewer labels at a time."
            )
        return cls(tuple(1 << bit for bit in range(task.outputs)), overlap=True)

    @property
    def possible(self) -> range | frozenset[int]:
        """Every integer that a voxel may hold."""
        return range(1 << len(self.values)) if self.overlap else frozenset({0, *self.values})

    def encode(self, answer: UInt[np.ndarray, "*plane z y x"]) -> UInt[np.ndarray, "z y x"]:
        """Give what is handed on of a finished segmentation.

        Args:
            answer: Integers (z, y, x); packed masks (plane, z, y, x) where labels may overlap.
        """
        if not self.overlap:
            return answer
        found: UInt[np.ndarray, "z y x"] = answer[0].astype(np.uint32)
        for number, plane in enumerate(answer[1:], 1):
            found |= plane.astype(np.uint32) << np.uint32(BITS * number)
        return found

    def holds(self, voxels: Any, value: Any) -> Any:
        """Tell which voxels hold a label.

        Args:
            voxels: Array or tensor of any shape; where labels may overlap 32 bit integers.
            value: The label's integer or bit; several broadcast.
        """
        return (voxels & value) != 0 if self.overlap else voxels == value

    def put(self, voxels: Any, value: Any) -> Any:
        """Give voxels with a label put in: beside others where labels may overlap, else in their place.

        Args:
            voxels: As for :meth:`holds`.
            value: The label's integer or bit.
        """
        return voxels | value if self.overlap else value


NO_LABELS = StageLabels(())
