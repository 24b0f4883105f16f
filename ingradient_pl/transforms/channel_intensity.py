"""Changes of single channels, drawn on the host and applied to all of a batch that drew them at once.

The number of kernels does not depend on the number of patches, and no device is waited for.
"""

from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32
from torch import Tensor
from typing_extensions import override

from ingradient_pl.transforms.augmentation_table import Drawn, DrawnOnDevice, pack, send, unpack
from ingradient_pl.transforms.intensity_base import Image, Images, Intensity
from ingradient_pl.transforms.matrix_products import exact_products
from ingradient_pl.transforms.volumes import Volumes, one_by_one

Uniforms = Float[np.ndarray, "row number"]


class BatchedIntensity(Intensity):
    """A change that is drawn on the host for the whole batch, then applied to all of it at once."""

    def channel_changes(self) -> "tuple[ChannelIntensity, ...] | None":
        """Give the changes that this one consists of; None if some work on one patch after the other."""
        raise NotImplementedError

    def count_numbers(self, channels: int) -> int:
        """Tell how many random numbers a patch of so many channels needs.

        Args:
            channels: Of each patch.
        """
        raise NotImplementedError

    def draw(self, numbers: Uniforms, channels: int, shape: Sequence[int]) -> list[Drawn]:
        """Say which channels of which patches are changed, and how, for each of :meth:`channel_changes`.

        Args:
            numbers: Random numbers in [0, 1) of each patch, :meth:`count_numbers` of them.
            channels: Of each patch.
            shape: Voxels of each along (z, y, x).
        """
        raise NotImplementedError

    def __call__(
        self,
        image: Images,
        rngs: Sequence[np.random.Generator],
        body: Bool[Tensor, "batch #channel z y x"] | None = None,
    ) -> Images:
        changes = self.channel_changes()
        if changes is None:
            return super().__call__(image, rngs, body)
        patches, channels, *shape = image.shape
        numbers = np.stack([rng.random(self.count_numbers(channels)) for rng in rngs])
        stages = Stage.fuse(changes)
        draws = merge(stages, self.draw(numbers, channels, shape))
        table = send(pack(draws, patches, channels, shape), image)
        apply_stages(image, stages, unpack(table, image, len(stages)))
        return image

    @override
    def change(self, patch: Image, rng: np.random.Generator) -> None:
        certain = replace(self, p=1.0)  # type: ignore[type-var]
        certain(patch[None], [rng])


class ChannelIntensity(BatchedIntensity):
    """A change of single channels, which all channels of a batch that drew it undergo at once.

    To write one: a frozen dataclass whose ``numbers`` says how many random numbers a channel needs, whose
    :meth:`parameters` makes them parameters, on the host, and whose :meth:`apply` changes volumes by
    operations over the whole stack, each row with its parameters: no loop over rows, and nothing that makes
    the host wait for the device (no ``item``, no shape that depends on values).

    Which channels are changed is drawn by ``p`` (of the patch) and ``channel_p`` (of each of its channels,
    where the class has that setting). A change of a single parameter may state the value that leaves
    voxels exactly as they are (``identity``): it shares one pass with its neighbours of the same ``fuses``.
    """

    numbers: ClassVar[int] = 1
    """Random numbers of each channel."""
    shared: ClassVar[int] = 0
    """How many of these, the first, all channels of a patch have in common."""
    identity: ClassVar[float] = 0.0

    @property
    def fuses(self) -> str | None:
        """What this change shares a pass with: neighbours that say the same; None shares none."""
        return None

    def parameters(self, numbers: Uniforms, shape: Sequence[int]) -> Float32[np.ndarray, "row value"]:
        """Make random numbers in [0, 1) of each changed channel its parameters.

        Args:
            numbers: ``self.numbers`` of each channel.
            shape: Voxels along (z, y, x).
        """
        raise NotImplementedError

    def apply(self, volumes: Volumes, values: Float[Tensor, "row value"]) -> Volumes:
        """Change channels, in place or not.

        Args:
            volumes: The channels that drew this change, or one of them on a CPU.
            values: Parameters of each, in the dtype of ``volumes``.

        Returns:
            The changed channels; ``volumes`` itself if they were changed in place.
        """
        raise NotImplementedError

    @classmethod
    def apply_all(
        cls,
        changes: "Sequence[ChannelIntensity]",
        volumes: Volumes,
        values: Sequence[Float[Tensor, "row _"]],
    ) -> Volumes:
        """Apply changes that share a pass, one after the other.

        Args:
            changes: All of one class, in order.
            volumes: Changed in place where that is possible.
            values: Of each change, a row for each volume.
        """
        for change, own in zip(changes, values, strict=True):
            volumes = change.apply(volumes, own)
        return volumes

    @override
    def channel_changes(self) -> "tuple[ChannelIntensity, ...] | None":
        own = type(self)  # whoever writes ``change`` or ``__call__`` anew wants them called
        kept = own.change is BatchedIntensity.change and own.__call__ is BatchedIntensity.__call__
        return (self,) if kept else None

    @override
    def count_numbers(self, channels: int) -> int:
        return 1 + channels * (1 + self.numbers)

    @override
    def draw(self, numbers: Uniforms, channels: int, shape: Sequence[int]) -> list[Drawn]:
        own = numbers[:, 1:].reshape(len(numbers), channels, 1 + self.numbers)
        fires = (numbers[:, :1] < self.p) & (own[:, :, 0] < getattr(self, "channel_p", 1.0))
        rows = np.flatnonzero(fires)
        chosen = own[:, :, 1:].reshape(len(fires) * channels, self.numbers)[rows]
        chosen[:, : self.shared] = own[rows // channels, 0, 1 : 1 + self.shared]
        return [Drawn(rows, self.parameters(chosen, shape))]


class Additive(ChannelIntensity):
    """A change that adds something made without the voxels."""

    def addend(self, shape: Sequence[int], values: Float[Tensor, "row value"]) -> Volumes:
        """Make what is added to each row.

        Args:
            shape: Voxels (z, y, x) of each volume.
            values: What was drawn, a row for each volume.
        """
        raise NotImplementedError

    def add_to(self, flat: Volumes, sent: DrawnOnDevice) -> None:
        """Add to the channels of a batch that drew this change, in place.

        Args:
            flat: All channels of the batch.
            sent: Which of them are changed, and their parameters.
        """
        flat.index_add_(0, sent.rows, self.addend(flat.shape[1:], sent.values).to(flat.dtype))

    @override
    def apply(self, volumes: Volumes, values: Float[Tensor, "row value"]) -> Volumes:
        return volumes.add_(self.addend(volumes.shape[1:], values))


class Stage:
    """Changes that go over the voxels together: each channel is taken and put back once.

    Args:
        changes: One, or several of one parameter each.
    """

    def __init__(self, changes: Sequence[ChannelIntensity]) -> None:
        self.changes = tuple(changes)

    @classmethod
    def fuse(cls, changes: Sequence[ChannelIntensity]) -> "list[Stage]":
        """Divide changes into stages, in their order.

        Args:
            changes: In the order in which they are to be applied.
        """
        found = []
        for name, group in groupby(changes, lambda change: change.fuses):
            together = list(group)
            found += [cls([change]) for change in together] if name is None else [cls(together)]
        return found

    def merge(self, draws: Sequence[Drawn]) -> Drawn:
        """Join the draws of these changes: who drew any, and the identity of those that it did not draw.

        Args:
            draws: One for each of this stage's changes.
        """
        if len(self.changes) == 1:
            return draws[0]
        rows = np.unique(np.concatenate([drawn.rows for drawn in draws]))
        values = np.tile(np.array([change.identity for change in self.changes], np.float32), (len(rows), 1))
        for column, drawn in enumerate(draws):
            values[np.searchsorted(rows, drawn.rows), column] = drawn.values[:, 0]
        return Drawn(rows, values)

    def apply(self, flat: Volumes, drawn: Drawn, sent: DrawnOnDevice) -> None:
        """Change channels in place: all that drew it at once, but large ones on a CPU each where it lies.

        Args:
            flat: All channels of the batch.
            drawn: Which of them are changed, at least one, and how.
            sent: The same where ``flat`` is.
        """
        if one_by_one(flat):
            for at, row in enumerate(drawn.rows.tolist()):
                self._apply_to_one(flat[row : row + 1], drawn.values[at], sent.values[at : at + 1])
            return
        first = self.changes[0]
        if isinstance(first, Additive):
            first.add_to(flat, sent)
            return
        chosen = self._apply(self.changes, flat.index_select(0, sent.rows), self._columns(sent.values))
        flat.index_copy_(0, sent.rows, chosen)

    def _apply_to_one(
        self, volume: Volumes, drawn: Float32[np.ndarray, " value"], values: Float[Tensor, "1 value"]
    ) -> None:
        pairs = list(zip(self.changes, self._columns(values), strict=True))
        if len(pairs) > 1:
            pairs = [pair for pair, own in zip(pairs, drawn, strict=True) if own != pair[0].identity]
        if pairs:
            changed = self._apply([change for change, _ in pairs], volume, [own for _, own in pairs])
            if changed is not volume:
                volume.copy_(changed)

    def _apply(
        self, changes: Sequence[ChannelIntensity], volumes: Volumes, values: Sequence[Tensor]
    ) -> Volumes:
        return type(changes[0]).apply_all(changes, volumes, values)

    def _columns(self, values: Float[Tensor, "row value"]) -> list[Tensor]:
        return [values] if len(self.changes) == 1 else [*torch.split(values, 1, dim=1)]


def merge(stages: Sequence[Stage], draws: Sequence[Drawn]) -> list[Drawn]:
    """Join the draws of single changes into those of stages.

    Args:
        stages: As :meth:`Stage.fuse` gave them.
        draws: One for each change, in the order of the stages.
    """
    found, start = [], 0
    for stage in stages:
        stop = start + len(stage.changes)
        found.append(stage.merge(draws[start:stop]))
        start = stop
    return found


def apply_stages(
    image: Images, stages: Sequence[Stage], draws: Sequence[tuple[Drawn, DrawnOnDevice] | None]
) -> None:
    """Change ``image`` in place, however it lies in memory.

    Args:
        image: Normalised patches.
        stages: In the order in which they are to be applied.
        draws: One for each stage, on the host and on the device; None where no channel drew it.
    """
    whole = image.contiguous()
    flat = whole.view(-1, *whole.shape[2:])
    with exact_products():
        for stage, found in zip(stages, draws, strict=True):
            if found is not None:
                stage.apply(flat, *found)
    if whole is not image:
        image.copy_(whole)
