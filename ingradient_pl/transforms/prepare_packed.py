"""Preparation of all patches of a batch together: a number of kernels that does not grow with the patches."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from ingradient_pl.geometry import AXES
from ingradient_pl.transforms.augmentation_table import AugmentationTable
from ingradient_pl.transforms.pack_group import LINEAR
from ingradient_pl.transforms.packed_batch import PackedBatch, PatchGroup
from ingradient_pl.transforms.patch import Batch
from ingradient_pl.transforms.resample import exact_products
from ingradient_pl.transforms.resident_cases import ResidentCases, cut
from ingradient_pl.transforms.vote_packed import elect, vote_about

NAMES = ("z", "y", "x")
PAIR = 2
VOXELS = ("image", "label", "body", "body_label")
Image = Float[Tensor, "patch channel z y x"]


def prepare_packed(packed: PackedBatch) -> Batch:
    """Normalise, resample and stack the patches of a batch on the device they lie on.

    What :class:`ingradient_pl.transforms.prepare_batch.Prepare` does patch by patch; each answer is that of
    the patch alone, to rounding.
    """
    with exact_products():
        parts = [_Group(packed, group).prepare() for group in packed.groups]
    image, label, body, extra = (_assemble(packed, list(found)) for found in zip(*parts, strict=True))
    assert image is not None  # every group has both
    assert label is not None
    limits = packed.array("limits")
    if limits is not None and any(group.kind != "gather" for group in packed.groups):
        low, high = limits[..., None, None, None].unbind(2)
        image = torch.clamp(image, low, high)
    free = packed.array("free")
    if body is not None:
        body = body[:, None] if free is None else body[:, None] | free[:, None, None, None]
    sent = packed.array("augmentation")
    table = None if packed.drawn is None or sent is None else AugmentationTable(packed.drawn, sent)
    known = packed.array("known")
    return Batch(image, label, body, packed.cases, packed.numbers, table, extra, known)


def _assemble(packed: PackedBatch, parts: Sequence[Tensor | None]) -> Tensor | None:
    """Put what was made of groups in the order of the batch."""
    found = [part for part in parts if part is not None]
    if len(found) <= 1:
        return found[0] if found else None
    if len(found) > PAIR:
        order = packed.array("order")
        assert order is not None  # there are groups
        return torch.cat(found).index_select(0, order)
    out = found[0].new_empty(len(packed.numbers), *found[0].shape[1:])
    for group, part in zip(packed.groups, found, strict=True):
        places = packed.array("places", group)
        assert places is not None
        out.index_copy_(0, places, part)
    return out


class _Group:
    """One group of a batch on its device."""

    def __init__(self, packed: PackedBatch, group: PatchGroup) -> None:
        self.packed, self.group, self.shape = packed, group, packed.shape

    def get(self, name: str) -> Tensor | None:
        """Give an array of the group, or None."""
        resident = self.packed.resident
        if resident is not None and name in VOXELS:
            return self._cut(resident, name)
        return self.packed.array(name, self.group)

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
        """Give an array that the group must have."""
        found = self.get(name)
        if found is None:
            raise KeyError(f"A group of kind '{self.group.kind}' has no '{name}': it was packed otherwise.")
        return found

    def prepare(self) -> tuple[Tensor, Tensor, Tensor | None, Tensor | None]:
        """Give image, label, body and the further volume on the network's grid."""
        if self.group.kind == "gather":
            image, label, body, extra = self._gather()
        elif self.group.kind == "separable":
            image, label, body, extra = self._separable()
        else:
            image, label, body, extra = self._resample_turned()
        extra = None if extra is None else extra.to(self.packed.extra_dtype)
        return image, label.to(self.packed.label_dtype), body, extra

    # patches of voxels as they are, or the nearest

    def _gather(self) -> tuple[Tensor, Tensor, Tensor | None, Tensor | None]:
        offsets, inside = self._offsets(), self._inside()
        if self.packed.resident is None:
            taken, label, found = self._gather_voxels(offsets)
        else:
            taken, label, found = self._straight_from(self.packed.resident, offsets, inside)
        out = self._normalise(taken)
        if found is not None:
            out.mul_(self._image_mask(found))
        if inside is not None:
            out.mul_(inside)
        extra = self.get("extra")
        return out, label, found, None if extra is None else self._at(extra, offsets)

    def _gather_voxels(self, offsets: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        image, body = self.need("image"), self.get("body_label")
        taken = image.flatten(2).gather(2, offsets.flatten(1)[:, None].expand(-1, image.shape[1], -1))
        found = None if body is None else self._at(body, offsets)
        return taken.view(*image.shape[:2], *self.shape), self._at(self.need("label"), offsets), found

    def _straight_from(
        self, resident: ResidentCases, offsets: Tensor, inside: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Read voxels of cases on the device where they are wanted."""
        channels = self.get("channel_start")
        taken = resident.images[offsets[:, None] if channels is None else offsets[:, None] + channels]
        label = resident.labels[offsets]
        found = None if resident.bodies is None else resident.bodies[offsets]
        if inside is not None:
            label.mul_(inside[:, 0])
            found = None if found is None else found & inside[:, 0]
        return taken, label, found

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
        free = self.packed.array("free")
        return body[:, None] if free is None else body[:, None] | free[:, None, None, None]

    # patches that are resampled along axes

    def _separable(self) -> tuple[Tensor, Tensor, Tensor | None, Tensor | None]:
        image = self._normalise(self.need("image"))
        body = self.get("body")
        if body is not None:
            image.mul_(self._image_mask(body))
        image = self._along_axes(image, "rows_").movedim(-1, 1)
        body, extra, offsets = self.get("body_label"), self.get("extra"), self._offsets()
        found = None if body is None else self._at(body, offsets)
        label = self._elect_along_axes("", self.need("label"), offsets, self.group.classes)
        more = None if extra is None else self._elect_along_axes("extra_", extra, offsets, self.group.extra)
        return image, label, found, more

    def _elect_along_axes(self, prefix: str, volume: Tensor, offsets: Tensor, vote: int) -> Tensor:
        """Bring labels, or a further volume, to the network's grid along axes.

        Args:
            prefix: Of the names of what belongs to it.
            volume: Of each patch.
            offsets: Where its nearest voxels lie.
            vote: How it is interpolated, as in :class:`PatchGroup`.
        """
        if vote == LINEAR:
            return self._along_axes(volume[:, None], "label_rows_")[..., 0]
        nearest = self._at(volume, offsets)
        if vote > 0:
            weights = self._along_axes(self._classes(prefix, volume), "label_rows_")
            return self._as_labels(prefix, elect(weights, nearest.long()))
        if vote < 0:
            at = tuple(_along(self.need(f"at_{name}"), axis) for axis, name in enumerate(NAMES))
            return vote_about(volume, at, nearest)
        return nearest

    def _multiply(self, volume: Tensor, prefix: str, order: Sequence[int]) -> Tensor:
        """Multiply axes by the matrices of each patch."""
        for axis in order:
            rows = self.get(f"{prefix}{NAMES[axis]}")
            if rows is not None:
                volume = multiply_patches(volume, axis, rows)
        return volume

    def _along_axes(self, volume: Image, prefix: str) -> Float[Tensor, "patch _ _ _ channel"]:
        """Multiply x, then y, then z by the matrices of each patch; channels end up last.

        Each product puts the axis that was last first, as memory lies, so that none is copied to be turned.
        """
        sizes = list(volume.shape[1:])
        for name in reversed(NAMES):
            rows, last = self.get(f"{prefix}{name}"), sizes.pop()
            if rows is None:  # one voxel, or one that stays as it is
                volume = volume.reshape(len(volume), -1, last).transpose(1, 2)
            else:
                volume = torch.bmm(rows, volume.reshape(len(volume), -1, last).transpose(1, 2))
            sizes.insert(0, volume.shape[1])
        z, y, x, channels = sizes
        return volume.reshape(len(volume), z, y, x, channels)

    def _classes(self, prefix: str, label: Tensor) -> Image:
        """Give one channel for each class: 1 where it is."""
        classes = self.need(f"{prefix}classes")
        shape = (len(label), len(classes), *label.shape[1:])
        out = torch.empty(shape, device=label.device, dtype=torch.float32)
        return torch.eq(label[:, None], classes[:, None, None, None], out=out)

    def _as_labels(self, prefix: str, classes: Tensor) -> Tensor:
        values = self.get(f"{prefix}values")
        return classes if values is None else values[classes]

    # patches that are turned within slices or in space, or bent

    def _resample_turned(self) -> tuple[Tensor, Tensor, Tensor | None, Tensor | None]:
        grid = self._grid()
        image, label, body = self._normalise(self.need("image")), self.need("label"), self.get("body")
        inside = self._inside()
        if body is not None:
            image.mul_(self._image_mask(body))
        if inside is not None:
            image.mul_(inside)
        image = self._multiply(image, "average_", range(AXES))
        if self.group.kind == "plane":
            image = self._multiply(image, "rows_", (0,))
        out = self._read(image, grid)
        body, extra = self.get("body_label"), self.get("extra")
        found = None
        if body is not None:
            found = self._read(self._pick_slices(body)[:, None].float(), grid, nearest=True)[:, 0] > 0
        more = None if extra is None else self._elect_turned("extra_", extra, grid, self.group.extra)
        return out, self._elect_turned("", label, grid, self.group.classes), found, more

    def _pick_slices(self, voxels: Tensor) -> Tensor:
        """Take the nearest slices, where turned patches are resampled along z."""
        index = self.get("index_z")
        if index is None:
            return voxels
        return voxels.gather(1, index[:, :, None, None].expand(-1, -1, *voxels.shape[2:]))

    def _grid(self) -> Tensor:
        """Give where each voxel is read, one plane for each of (x, y, z) or (x, y)."""
        grid = self.need("grid_y") + self.need("grid_x")
        if self.group.kind == "plane":
            return grid
        grid = grid + self.need("grid_z")
        knots = self.get("knots")
        return grid if knots is None else grid.add_(self._multiply(knots, "knot_rows_", range(AXES)))

    def _read(self, volume: Tensor, grid: Tensor, *, nearest: bool = False) -> Tensor:
        """Read a volume at a grid; slices of a volume at the grid of one."""
        mode = "nearest" if nearest else "bilinear"
        flat = volume.flatten(1, 2) if self.group.kind == "plane" else volume
        out = F.grid_sample(flat, grid.movedim(1, -1), mode=mode, align_corners=False)
        return out.view(*volume.shape[:2], *self.shape)

    def _elect_turned(self, prefix: str, label: Tensor, grid: Tensor, vote: int) -> Tensor:
        """Bring labels, or a further volume, to the network's grid; labels are told by codes, one more.

        Args:
            prefix: Of the names of what belongs to it.
            label: Of each patch.
            grid: Where each voxel is read.
            vote: How it is interpolated, as in :class:`PatchGroup`.
        """
        rows = self.get("label_rows_z")
        if vote == LINEAR:
            straight = label[:, None] if rows is not None else self._pick_slices(label)[:, None]
            return self._read(straight if rows is None else multiply_patches(straight, 0, rows), grid)[:, 0]
        code = self._read(self._pick_slices(label)[:, None].float(), grid, nearest=True)[:, 0]
        if vote == 0:
            return code.sub_(1).clamp_(min=0)
        clamped = grid.clamp(self.need("first"), self.need("last"))
        if vote < 0:
            inside, nearest = code > 0, code.clamp(min=1).int()
            return (vote_about(label, self._places(clamped, label), nearest) - 1).mul_(inside)
        weights = self._classes(prefix, label if rows is not None else self._pick_slices(label))
        if rows is not None:
            weights = multiply_patches(weights, 0, rows)
        bonus = self.need(f"{prefix}bonus")
        return self._as_labels(prefix, elect(self._read(weights, clamped), code.long(), 1, bonus))

    def _places(self, grid: Tensor, label: Tensor) -> tuple[Tensor, ...]:
        """Give the places of a grid among the label's voxels, along (z, y, x)."""
        sizes = torch.tensor(label.shape[:0:-1][: grid.shape[1]])
        at = [
            plane.mul(int(size) / 2).add_(int(size) / 2 - 0.5)
            for plane, size in zip(grid.unbind(1), sizes.tolist(), strict=True)
        ]
        if self.group.kind != "plane":
            return tuple(reversed(at))
        z = self.get("at_z")
        if z is None:
            z = torch.arange(self.shape[0], device=grid.device, dtype=torch.float32).expand(len(grid), -1)
        return (z[:, :, None, None], *(plane[:, None] for plane in reversed(at)))


def _along(places: Tensor, axis: int) -> Tensor:
    """Shape the places of each patch along one axis to broadcast."""
    return places.view(len(places), *(-1 if other == axis else 1 for other in range(AXES)))


def multiply_patches(
    volume: Image, axis: int, rows: Float[Tensor, "patch out in"]
) -> Float[Tensor, "patch channel _ _ _"]:
    """Multiply one of (z, y, x) of every patch by a matrix of its own.

    Args:
        volume: Of all patches.
        axis: 0, 1 or 2.
        rows: Of each patch.
    """
    n, channels, z, y, x = volume.shape
    if axis == AXES - 1:
        factors = _spread(rows, n, channels).transpose(1, 2)
        return torch.bmm(volume.reshape(n * channels, z * y, x), factors).view(n, channels, z, y, -1)
    if axis == 0:
        slices = volume.reshape(n * channels, z, y * x)
        return torch.bmm(_spread(rows, n, channels), slices).view(n, channels, -1, y, x)
    slices = volume.reshape(n * channels * z, y, x)
    return torch.bmm(_spread(rows, n, channels * z), slices).view(n, channels, z, -1, x)


def _spread(rows: Tensor, n: int, count: int) -> Tensor:
    """Give a matrix to each of ``count`` products of a patch."""
    return rows[:, None].expand(-1, count, -1, -1).reshape(n * count, *rows.shape[1:])
