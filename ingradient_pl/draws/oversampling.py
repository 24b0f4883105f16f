"""Which patches of a batch are centred on foreground."""

from dataclasses import dataclass

import numpy as np
from typing_extensions import override


class Oversampling:
    """What every rule is: a frozen dataclass of settings with one answer."""

    def forced(self, position: int, batch_size: int, rng: np.random.Generator) -> bool:
        """Tell whether the patch at ``position`` of a batch (over all ranks) is centred on foreground.

        Args:
            position: Of the patch in the batch over all ranks, from 0.
            batch_size: Patches in that batch.
            rng: Of this patch alone.
        """
        raise NotImplementedError


@dataclass(frozen=True)
class FixedShare(Oversampling):
    """The last patches of every batch, a fixed number of them: nnU-Net's rule.

    A batch of one, which nnU-Net never has, would never be centred on foreground where the share is below a
    half: there each patch is by chance, as of :class:`Chance`.

    Args:
        share: Share of the batch in [0, 1]; of two patches a third is one, for nnU-Net rounds the rest.

    Raises:
        ValueError: If ``share`` is not a share.

    >>> [FixedShare(0.33).forced(position, 9, None) for position in range(9)].count(True)
    3
    """

    share: float = 0.33

    def __post_init__(self) -> None:
        _check(self.share)

    @override
    def forced(self, position: int, batch_size: int, rng: np.random.Generator | None) -> bool:
        if batch_size == 1 and rng is not None:
            return bool(rng.random() < self.share)
        return position >= round(batch_size * (1 - self.share))


@dataclass(frozen=True)
class Chance(Oversampling):
    """Each patch by its own chance, whatever the size of the batch.

    Args:
        share: The chance, in [0, 1].

    Raises:
        ValueError: If ``share`` is not a probability.
    """

    share: float = 0.33

    def __post_init__(self) -> None:
        _check(self.share)

    @override
    def forced(self, position: int, batch_size: int, rng: np.random.Generator) -> bool:
        return bool(rng.random() < self.share)


def _check(share: float) -> None:
    if not 0 <= share <= 1:
        raise ValueError(
            f"The share of patches centred on foreground must lie in [0, 1], got {share}. "
            "A percentage? Divide it by 100."
        )
