"""What all ways to prepare a group of patches share: its arrays by name, normalising, masks, classes."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from ingradient_pl.transforms.matrix_products import multiply_patches
from ingradient_pl.transforms.pack_turned import NAMES as NAMES
from ingradient_pl.transforms.packed_batch import BatchArrays, PatchGroup
from ingradient_pl.transforms.resident_cases import ResidentCases
from ingradient_pl.transforms.resident_cuts import cut

VOXELS = ("image", "label", "body", "body_label")
Image = Float[Tensor, "patch channel z y x"]
Prepared = tuple[Tensor, Tensor, Tensor | None, Tensor | None]
"""Image (patch, channel, z, y, x), label, body and further volume (patch, z, y, x) on the network's grid; the
body is None where the batch does not say where it is, the further volume where there is none."""


class GroupArrays:
    """One group of a batch on its device.

    Args:
        arrays: Of the batch.
        group: Patches of it that go the same way.
    """

    def __init__(self, arrays: BatchArrays, group: PatchGroup) -> None:
        self.arrays, self.packed, self.group = arrays, arrays.packed, group
        self.shape = self.packed.shape

    def prepare(self) -> Prepared:
        """Bring the patches to the network's grid, in the types of the batch."""
        image, label, body, extra = self._resample()
        extra = None if extra is None else extra.to(self.packed.extra_dtype)
        return image, label.to(self.packed.label_dtype), body, extra

    def _resample(self) -> Prepared:
        raise NotImplementedError

    def get(self, name: str) -> Tensor | None:
        """Give an array of the group; None where it has none of that name.

        Args:
            name: As the packer called it; the answer has the shape that was packed.
        """
        if name in VOXELS and self.packed.resident is not None:
            return self._cut(self.packed.resident, name)
        return self.arrays.get(name, self.group)

    def _cut(self, resident: ResidentCases, name: str) -> Tensor | None:
        """Cut voxels of all patches out of the cases on the device."""
        voxels = {"image": resident.images, "label": resident.labels}.get(name, resident.bodies)
        if voxels is None:
            return None
        prefix = "cut_label" if name in ("label", "body_label") else "cut"
        channels = self.get("channel_start") if name == "image" else None
        found = cut(voxels, self.need(f"{prefix}_zy"), self.need(f"{prefix}_x"), channels)
        if name == "image" and channels is None:
            found = found[:, None]
        if name == "label" and self.group.kind in ("plane", "oblique"):
            found = (found.int() if self.group.classes <= 0 else found) + 1
        rows = self.get(f"{prefix}_in_zy")
        if name == "image" or rows is None:
            return found  # matrices and masks leave out what lies beyond
        return found.mul_(rows & self.need(f"{prefix}_in_x"))

    def need(self, name: str) -> Tensor:
        """Give an array that the group must have.

        Args:
            name: As the packer called it; the answer has the shape that was packed.

        Raises:
            KeyError: If it has none of that name.
        """
        found = self.get(name)
        if found is None:
            raise KeyError(f"A group of kind '{self.group.kind}' has no '{name}': it was packed otherwise.")
        return found

    def _offsets(self) -> Tensor:
        """Give where in memory the nearest voxel of a label lies, for each voxel wanted."""
        return self.need("offset_zy") + self.need("offset_x")

    def _at(self, voxels: Tensor, offsets: Tensor) -> Tensor:
        return voxels.flatten(1).gather(1, offsets.flatten(1)).view(offsets.shape)

    def _inside(self) -> Tensor | None:
        whole, rows = self.get("inside"), self.get("inside_zy")
        return whole if rows is None else rows & self.need("inside_x")

    def _normalise(self, image: Tensor) -> Image:
        low, high, mean, std = self.need("terms")[..., None, None, None].unbind(2)
        if not (
            image.dtype.is_floating_point
            or image.dtype in (torch.uint8, torch.int8, torch.int16, torch.int32)
        ):
            image = image.float()
        out, shift = torch.clamp(image, low, high), self.get("shift")
        return out.sub_(mean).div_(std) if shift is None else torch.addcdiv(shift, out, std, out=out)

    def _image_mask(self, body: Tensor) -> Tensor:
        """Give the mask by which images are multiplied: the body's, but for channels that ask for none."""
        free = self.arrays.get("free")
        return body[:, None] if free is None else body[:, None] | free[:, None, None, None]

    def _multiply(self, volume: Tensor, prefix: str, order: Sequence[int]) -> Tensor:
        """Multiply axes by the matrices of each patch."""
        for axis in order:
            rows = self.get(f"{prefix}{NAMES[axis]}")
            if rows is not None:
                volume = multiply_patches(volume, axis, rows)
        return volume

    def _classes(self, prefix: str, label: Tensor) -> Image:
        """Give one channel for each class: 1 where it is."""
        classes = self.need(f"{prefix}classes")
        shape = (len(label), len(classes), *label.shape[1:])
        out = torch.empty(shape, device=label.device, dtype=torch.float32)
        return torch.eq(label[:, None], classes[:, None, None, None], out=out)

    def _as_labels(self, prefix: str, classes: Tensor) -> Tensor:
        values = self.get(f"{prefix}values")
        return classes if values is None else values[classes]
