"""Augment: random changes of intensity of a training batch on the device, and nnU-Net's set of them.

All that is random is drawn on the host, by (seed, number of the patch) alone, and reaches the device in one
copy, an :class:`~ingradient_pl.transforms.augmentation_table.AugmentationTable`; there each change goes over
all channels that drew it at once. So the number of kernels does not grow with the number of patches, no
device is waited for, and a patch looks the same whatever else is in its batch.
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from textwrap import shorten
from typing import TypeGuard

import numpy as np
import torch
from jaxtyping import Int32
from typing_extensions import override

from ingradient_pl.short_repr import MOST
from ingradient_pl.transforms.augmentation_table import AugmentationTable, pack, send, unpack
from ingradient_pl.transforms.channel_intensity import BatchedIntensity, Stage, apply_stages, merge
from ingradient_pl.transforms.gaussian_noise import GaussianNoise
from ingradient_pl.transforms.intensity import (
    BodyMask,
    Brightness,
    Contrast,
    Gamma,
    GaussianBlur,
    LowResolution,
)
from ingradient_pl.transforms.intensity_base import Intensity
from ingradient_pl.transforms.patch import Batch

INTENSITIES = 1
"""The stream of random numbers that is the augmentation's; the draws' are others."""

NNUNET: tuple[Intensity, ...] = (
    GaussianNoise(),
    GaussianBlur(),
    Brightness(),
    Contrast(),
    LowResolution(),
    Gamma(inverted=True, p=0.1),
    Gamma(),
    BodyMask(),
)
"""nnU-Net's order and probabilities."""


class BatchTransform:
    """A change that sees the whole batch, image and label together: derive from it to move or mix patches.

    Write ``__call__`` and put the class into the config beside the others
    (``+data.augment.transforms.mine._target_=my_package.Mine``). It is called with the batch as the changes
    before it left it, and what it gives is what those after it and the network get:

    - ``batch.image`` (batch, channel, z, y, x), normalised; ``batch.label`` (batch, z, y, x), integers of the
      task; ``batch.body``, where it is not None, tells which voxels :class:`BodyMask`, always the last,
      leaves as they are. All must keep their shapes, and what moves the image must move the other two.
    - One generator for each patch, from the run's seed and the patch's number, so that a run can be repeated.
      A change that mixes patches makes them depend on what else is in the batch, and on how many ranks share
      it.
    - To work on a GPU without waiting, draw on the host from the generators, send parameters with
      ``non_blocking=True``, and compute without ``item`` or shapes that depend on values.

    >>> import torch
    >>> class Transpose(BatchTransform):
    ...     def __call__(self, batch, rngs):  # exchanges y and x of half of the patches
    ...         for patch, rng in enumerate(rngs):
    ...             if rng.random() < 0.5:
    ...                 batch.image[patch] = batch.image[patch].mT.clone()
    ...                 batch.label[patch] = batch.label[patch].mT.clone()
    ...         return batch
    >>> image, label = torch.rand(4, 1, 8, 8, 8), torch.zeros(4, 8, 8, 8, dtype=torch.uint8)
    >>> Augment([Transpose()])(Batch(image, label, None, ["case"] * 4, [0, 1, 2, 3])).image.shape
    torch.Size([4, 1, 8, 8, 8])
    """

    def __call__(self, batch: Batch, rngs: Sequence[np.random.Generator]) -> Batch:
        """Change a batch, in place or not.

        Args:
            batch: What the network is to be trained on.
            rngs: Random numbers of each patch.
        """
        raise NotImplementedError(f"{type(self).__name__} changes nothing: write its method '__call__'.")


Transform = Intensity | BatchTransform


class Augment(torch.nn.Module):
    """Change the intensities of a batch, one change after another.

    What happens to a patch depends on the seed and the patch's number alone, so that it is the same however
    the patches are spread over ranks and batches.

    Args:
        transforms: The changes, in this order but for :class:`BodyMask`, which comes last: what is outside
            the body stays zero, whatever is added to a config's list. By name, where a config gives names;
            None switches one off.
        seed: The run's.
    """

    def __init__(
        self, transforms: Sequence[Transform] | Mapping[str, Transform | None] = NNUNET, seed: int = 0
    ) -> None:
        super().__init__()
        listed = transforms.values() if isinstance(transforms, Mapping) else transforms
        kept = [change for change in listed if change is not None]
        self.transforms = tuple(sorted(kept, key=lambda change: isinstance(change, BodyMask)))
        self.seed = seed
        self.steps = _divide(self.transforms)

    def __repr__(self) -> str:
        names = ", ".join(type(change).__name__ for change in self.transforms)
        return f"Augment({shorten(names, MOST, placeholder=' ...')}, seed={self.seed})"

    @property
    def stages(self) -> list[Stage]:
        """All changes that are drawn for the whole batch, those together that share a pass."""
        return [stage for step in self.steps if isinstance(step, list) for stage in step]

    def draw(self, numbers: Sequence[int], channels: int, shape: Sequence[int]) -> Int32[np.ndarray, " word"]:
        """Draw what happens to patches: the words of an :class:`AugmentationTable`.

        It needs no voxels, so that whoever reads a batch can draw it as well.

        Args:
            numbers: Of each patch's draw.
            channels: Of each patch.
            shape: Voxels of each along (z, y, x).
        """
        batched = [change for change in self.transforms if _is_batched(change)]
        counts = [change.count_numbers(channels) for change in batched]
        drawn = np.empty((len(numbers), sum(counts)))
        (run,) = np.random.SeedSequence([self.seed, INTENSITIES]).generate_state(1, np.uint64)
        for number, line in zip(numbers, drawn, strict=True):
            np.random.Generator(np.random.Philox(key=np.array([run, number], np.uint64))).random(out=line)
        parts = np.split(drawn, np.cumsum(counts)[:-1], axis=1) if counts else []
        found = [
            one
            for change, part in zip(batched, parts, strict=True)
            for one in change.draw(part, channels, shape)
        ]
        return pack(merge(self.stages, found), len(numbers), channels, shape)

    @override
    def forward(self, batch: Batch) -> Batch:
        """Change a batch, ``batch.image`` in place.

        Args:
            batch: Prepared patches. Where it brings a table of what :meth:`draw` gave, that is done; else it
                is drawn here, and sent.

        Raises:
            ValueError: If its table was drawn for other patches or other changes.
        """
        draws = iter(unpack(self._table(batch), batch.image, len(self.stages)))
        for position, step in enumerate(self.steps):
            if isinstance(step, list):
                apply_stages(batch.image, step, [next(draws) for _ in step])
                continue
            rngs = [] if isinstance(step, BodyMask) else self._rngs(batch.numbers, position)
            if isinstance(step, BatchTransform):
                batch = step(batch, rngs)
            else:
                batch = batch._replace(image=step(batch.image, rngs, batch.body))
        return batch

    def _table(self, batch: Batch) -> AugmentationTable:
        if batch.augmentation is not None:
            return batch.augmentation
        _, channels, *shape = batch.image.shape
        return send(self.draw(batch.numbers, channels, shape), batch.image)

    def _rngs(self, numbers: Iterable[int], position: int) -> list[np.random.Generator]:
        return [np.random.default_rng([self.seed, number, INTENSITIES, 1 + position]) for number in numbers]


def _is_batched(change: Transform) -> TypeGuard[BatchedIntensity]:
    return isinstance(change, BatchedIntensity) and change.channel_changes() is not None


def _divide(transforms: Sequence[Transform]) -> list[list[Stage] | Transform]:
    """Put neighbours that work on the whole batch together, fused into stages."""
    found: list[list[Stage] | Transform] = []
    for batched, group in groupby(transforms, _is_batched):
        if not batched:
            found += group
            continue
        parts = [change.channel_changes() or () for change in group if isinstance(change, BatchedIntensity)]
        found.append(Stage.fuse([part for changes in parts for part in changes]))
    return found
