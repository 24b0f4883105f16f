"""Preparation of patches of a batch that are not turned: voxels as they are, or resampled along axes."""

import torch
from jaxtyping import Float
from torch import Tensor
from typing_extensions import override

from ingradient_pl.geometry import AXES
from ingradient_pl.transforms.group_arrays import NAMES, GroupArrays, Image, Prepared
from ingradient_pl.transforms.pack_labels import LINEAR
from ingradient_pl.transforms.resident_cases import ResidentCases
from ingradient_pl.transforms.vote_packed import elect, vote_about


class StraightGroup(GroupArrays):
    """Patches of kind ``gather`` or ``separable``."""

    @override
    def _resample(self) -> Prepared:
        return self._gather() if self.group.kind == "gather" else self._separable()

    def _gather(self) -> Prepared:
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

    def _separable(self) -> Prepared:
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
        """Bring labels, or a further volume, to the network's grid, by arrays whose names have a prefix.

        ``vote`` says how it is interpolated (:class:`PatchGroup`), ``offsets`` where its nearest voxels lie.
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


def _along(places: Tensor, axis: int) -> Tensor:
    """Shape the places of each patch along one axis to broadcast."""
    return places.view(len(places), *(-1 if other == axis else 1 for other in range(AXES)))
