"""Preparation of patches of a batch that are turned within slices or in space, or bent."""

import torch
import torch.nn.functional as F
from torch import Tensor
from typing_extensions import override

from ingradient_pl.geometry import AXES
from ingradient_pl.transforms.group_arrays import GroupArrays, Prepared
from ingradient_pl.transforms.matrix_products import multiply_patches
from ingradient_pl.transforms.pack_labels import LINEAR
from ingradient_pl.transforms.vote_packed import elect, vote_about


class TurnedGroup(GroupArrays):
    """Patches of kind ``plane`` or ``oblique``."""

    @override
    def _resample(self) -> Prepared:
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
