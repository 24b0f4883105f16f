"""From patches as they lie in the store to a batch on the network's grid, on the device."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ingradient_pl.geometry import Box, Grid, Voxels
from ingradient_pl.transforms.labels import resample_label, resample_nearest
from ingradient_pl.transforms.normalise_image import clip_, limits, normalise
from ingradient_pl.transforms.packed_batch import PackedBatch
from ingradient_pl.transforms.patch import Batch, Patch, stack_known
from ingradient_pl.transforms.prepare_packed import prepare_packed
from ingradient_pl.transforms.resample import resample, resample_linear


class Prepare(nn.Module):
    """Normalise each patch, bring it to the network's grid by one interpolation, and stack.

    The host is never asked to wait: all that decides what is done came with the patches.

    Args:
        shape: The network's input in voxels.
        masked: Which channels are zero outside the body, so that a batch says where it is; without any, no
            batch does, and None means all where some patch has a body.
        label_order: Of the labels' interpolation: 1 takes the label that linear interpolation gives the most
            weight to, as nnU-Net does; 0 the nearest voxel's.

    Raises:
        ValueError: If ``label_order`` is neither.
    """

    def __init__(
        self, shape: Sequence[int], masked: Sequence[bool] | None = None, label_order: int = 1
    ) -> None:
        super().__init__()
        if label_order not in (0, 1):
            raise ValueError(f"label_order is 1 (linear, the most weight) or 0 (nearest), got {label_order}.")
        self.label_order = label_order
        self.shape: Voxels = Grid.of(shape, (1.0, 1.0, 1.0)).shape
        self.masked = None if masked is None else tuple(masked)

    def forward(self, patches: Sequence[Patch] | PackedBatch) -> Batch:
        """Make a batch of patches, which may differ in size, spacing and motion.

        Args:
            patches: One by one, which is the fastest on the host; or packed, and all are prepared together.
        """
        if isinstance(patches, PackedBatch):
            return prepare_packed(patches)
        return self._one_by_one(patches)

    def _one_by_one(self, patches: Sequence[Patch]) -> Batch:
        masked = any(patch.body is not None for patch in patches) if self.masked is None else any(self.masked)
        image = torch.stack([self._image(patch) for patch in patches])
        label = torch.stack([self._label(patch) for patch in patches])
        body = torch.stack([self._body(patch) for patch in patches]) if masked else None
        more = [self._extra(patch) for patch in patches]
        extra = torch.stack([one for one in more if one is not None]) if None not in more else None
        told = any(patch.known is not None for patch in patches)
        known = stack_known(patches) if told else None
        cases, numbers = [p.case for p in patches], [p.number for p in patches]
        return Batch(image, label, body, cases, numbers, extra=extra, known=known)

    def _image(self, patch: Patch) -> Tensor:
        image = normalise(patch.image, patch.terms, patch.body, self.masked)
        low, high = (end[:, None, None, None] for end in limits(patch.terms))
        return clip_(resample(image, patch.sampling, self.shape), low, high)

    def _label(self, patch: Patch) -> Tensor:
        return self._integers(patch.label, patch)

    def _integers(self, volume: Tensor, patch: Patch) -> Tensor:
        label = volume.int() if volume.dtype == torch.uint16 else volume
        way = resample_label if self.label_order else resample_nearest
        return way(label, patch.sampling, self.shape)

    def _extra(self, patch: Patch) -> Tensor | None:
        if patch.extra is None:
            return None
        if patch.extra.dtype.is_floating_point:
            return resample_linear(patch.extra.float(), patch.sampling, self.shape)
        return self._integers(patch.extra, patch)

    def _body(self, patch: Patch) -> Tensor:
        if patch.body is None:
            body = torch.ones_like(patch.label, dtype=torch.bool)
        else:
            z, y, x = patch.label.shape
            body = patch.body[Box(patch.start, (z, y, x)).slices]
        inside = resample_nearest(body, patch.sampling, self.shape)
        if self.masked is None or all(self.masked):
            return inside[None]
        everywhere = torch.ones_like(inside)
        return torch.stack([inside if masked else everywhere for masked in self.masked])
