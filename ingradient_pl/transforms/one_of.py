"""One of several intensity changes, each as often as the others."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from typing_extensions import override

from ingradient_pl.transforms.augmentation_table import Drawn
from ingradient_pl.transforms.channel_intensity import BatchedIntensity, ChannelIntensity, Uniforms
from ingradient_pl.transforms.intensity_base import Image, Intensity


@dataclass(frozen=True)
class OneOf(BatchedIntensity):
    """One of several changes, each as likely; then its own probability counts.

    Args:
        changes: To choose from.
        p: Probability of each patch, in [0, 1].
    """

    changes: Sequence[Intensity]
    p: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "changes", tuple(self.changes))

    @override
    def channel_changes(self) -> tuple[ChannelIntensity, ...] | None:
        found: list[ChannelIntensity] = []
        for change in self.changes:
            parts = change.channel_changes() if isinstance(change, BatchedIntensity) else None
            if parts is None:
                return None
            found += parts
        return tuple(found)

    @override
    def count_numbers(self, channels: int) -> int:
        return 2 + sum(change.count_numbers(channels) for change in self._batched_changes())

    @override
    def draw(self, numbers: Uniforms, channels: int, shape: Sequence[int]) -> list[Drawn]:
        chosen = np.where(numbers[:, 0] < self.p, (numbers[:, 1] * len(self.changes)).astype(int), -1)
        found, start = [], 2
        for at, change in enumerate(self._batched_changes()):
            stop = start + change.count_numbers(channels)
            for rows, values in change.draw(numbers[:, start:stop], channels, shape):
                kept = chosen[rows // channels] == at
                found.append(Drawn(rows[kept], values[kept]))
            start = stop
        return found

    @override
    def change(self, patch: Image, rng: np.random.Generator) -> None:
        self.changes[int(rng.integers(len(self.changes)))](patch[None], [rng])

    def _batched_changes(self) -> list[BatchedIntensity]:
        return [change for change in self.changes if isinstance(change, BatchedIntensity)]
