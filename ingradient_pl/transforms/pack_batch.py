"""``Packing``: lays the patches of a batch into one piece of memory, in groups; on the host."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Int32
from numpy.typing import NDArray
from torch import Tensor

from ingradient_pl.geometry import Voxels
from ingradient_pl.transforms.normalise_image import limits
from ingradient_pl.transforms.pack_group import GroupPacker
from ingradient_pl.transforms.packed_batch import Layout, PackedBatch, PatchGroup
from ingradient_pl.transforms.patch import AxisSampling, Interpolation, Patch, PlaneSampling, stack_known
from ingradient_pl.transforms.resident_cases import ResidentLayout


@dataclass(frozen=True)
class Packing:
    """Makes one piece of memory of patches, which a device uses as it lies.

    Args:
        shape: The network's input in voxels.
        masked: Which channels are zero outside the body, as ``Prepare`` takes it.
        label_order: Of the labels' interpolation: 1 linear, then the most weight; 0 nearest.
        augment: Draws the augmentation of patches by number, channels and shape; None leaves it out.
        resident: Where cases lie on the device, if patches are cut there: then only numbers are packed.
    """

    shape: Voxels
    masked: tuple[bool, ...] | None = None
    label_order: int = 1
    augment: Callable[[Sequence[int], int, Sequence[int]], Int32[np.ndarray, " word"]] | None = None
    resident: ResidentLayout | None = None

    def __call__(self, patches: Sequence[Patch], *, pinned: bool = False) -> PackedBatch:
        """Pack patches on the host, where asked into memory that a CUDA device reads by itself."""
        layout, batch = self.layout(patches)
        buffer = torch.empty(layout.size, dtype=torch.uint8, pin_memory=pinned)
        layout.write(buffer)
        return batch._replace(buffer=buffer)

    def layout(self, patches: Sequence[Patch]) -> tuple[Layout, PackedBatch]:
        """Give every array of the batch its place; the batch's memory is still to be written.

        Args:
            patches: Of one batch, native voxels as read.
        """
        layout = Layout()
        fields = {"limits": layout.add_array(np.stack([_limits(patch) for patch in patches]))}
        numbers = [patch.number for patch in patches]
        drawn = None
        if self.augment is not None:
            drawn = self.augment(numbers, len(patches[0].image), self.shape)
            fields["augmentation"] = layout.add_array(drawn)
        masked = self._is_masked(patches)
        if masked and self.masked is not None and not all(self.masked):
            fields["free"] = layout.add_array(~np.array(self.masked))
        if any(patch.known is not None for patch in patches):
            fields["known"] = layout.add_array(stack_known(patches).numpy())
        label_dtype = _common_dtype([patch.label for patch in patches])
        extras = [patch.extra for patch in patches if patch.extra is not None]
        extra_dtype = None if len(extras) < len(patches) else _common_dtype(extras)
        groups: list[PatchGroup] = []
        for kind, places in divide_by_kind(patches).items():
            chosen = [patches[place] for place in places]
            packer = GroupPacker(chosen, layout, self.shape, kind, self.resident)
            dtypes = (label_dtype, extra_dtype)
            groups.append(packer.pack(places, dtypes, self.label_order, masked=masked))
        if len(groups) > 1:
            places = [place for group in groups for place in group.places]
            fields["order"] = layout.add_array(np.argsort(places))
        cases = [patch.case for patch in patches]
        empty = torch.empty(0, dtype=torch.uint8)
        dtype, extra = _torch_dtype(label_dtype), None if extra_dtype is None else _torch_dtype(extra_dtype)
        packed = PackedBatch(empty, tuple(groups), fields, self.shape, dtype, cases, numbers, drawn)
        return layout, packed._replace(extra_dtype=extra)

    def _is_masked(self, patches: Sequence[Patch]) -> bool:
        """Tell whether the batch says where the body is."""
        if self.masked is None:
            return any(patch.body is not None for patch in patches)
        return any(self.masked)


def _limits(patch: Patch) -> NDArray[np.float32]:
    """Give the least and greatest normalised intensity of each channel, shape ``(channel, 2)``."""
    return torch.stack(limits(patch.terms), dim=1).numpy()


def _common_dtype(volumes: Sequence[Tensor]) -> Any:
    """Give a batch's type of labels, or of further volumes: the store's, 32 bits for floats and uint16."""
    if any(volume.dtype.is_floating_point for volume in volumes):
        return np.dtype(np.float32)
    found = np.result_type(*{volume.numpy().dtype for volume in volumes})
    return np.dtype(np.int32) if found == np.uint16 else found


def _torch_dtype(dtype: Any) -> torch.dtype:
    return torch.from_numpy(np.empty(0, dtype)).dtype


def divide_by_kind(patches: Sequence[Patch]) -> dict[str, list[int]]:
    """Divide patches by how they are resampled; plain crops go with others where that costs little.

    Args:
        patches: Of one batch.

    Returns:
        Places in the batch, by kind.
    """
    found: dict[str, list[int]] = {}
    for place, patch in enumerate(patches):
        found.setdefault(_kind(patch), []).append(place)
    crops = found.get("gather", [])
    if "separable" in found and all(_is_cheap(patches[place]) for place in crops):
        found["separable"] = sorted(found["separable"] + found.pop("gather", []))
    return found


def _kind(patch: Patch) -> str:
    if isinstance(patch.sampling, AxisSampling):
        return "separable" if any(isinstance(a, Interpolation) for a in patch.sampling.axes) else "gather"
    return "plane" if isinstance(patch.sampling, PlaneSampling) else "oblique"


def _is_cheap(patch: Patch) -> bool:
    """Tell whether matrices along axes are much smaller than the patch, so that it may go by them."""
    return sum(count * count for count in patch.label.shape) * 8 < patch.label.numel()
