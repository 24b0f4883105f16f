"""The arrays of patches that go the same way to the network's grid, laid side by side on the host."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ingradient_pl.geometry import AXES, Box, Voxels
from ingradient_pl.transforms.axis_tables import (
    count_interpolated,
    image_rows,
    is_identity,
    label_positions,
    label_rows,
    lay_into,
    nearest_index,
    stack_padded,
    straight_axes,
)
from ingradient_pl.transforms.pack_labels import LINEAR, MANY, MOST_CLASSES, NEAREST, add_classes, number_few
from ingradient_pl.transforms.pack_turned import NAMES, add_averages, add_displacements, add_grid, add_mask
from ingradient_pl.transforms.packed_batch import Field, Layout, PatchGroup
from ingradient_pl.transforms.patch import Axis, Interpolation, Padding, Patch
from ingradient_pl.transforms.resident_cases import ResidentLayout
from ingradient_pl.transforms.resident_cuts import add_channels, add_cuts, first_voxels

FEW_STEPS = 64.0
"""Standard deviations from zero to which rounding twice costs less than 1e-5."""
PREFIXES = {"label": "", "extra": "extra_"}
"""Before the names of what belongs to a volume of integers."""
DIRECT = tuple(map(np.dtype, (np.uint8, np.int8, np.int16, np.int32, np.float32)))
"""Image types that travel as they are; others become 32 bit floats on the host."""


class GroupPacker:
    """Gives the arrays of a group of patches their places in a batch's memory.

    Args:
        patches: Of one kind.
        layout: Of the batch.
        shape: The network's input in voxels.
        kind: As in :class:`PatchGroup`.
        resident: Where cases lie on the device, if voxels are cut there.
    """

    def __init__(
        self,
        patches: Sequence[Patch],
        layout: Layout,
        shape: Voxels,
        kind: str,
        resident: ResidentLayout | None = None,
    ) -> None:
        self.patches, self.layout, self.shape, self.kind = patches, layout, shape, kind
        self.resident = resident
        self.turned = kind in ("plane", "oblique")
        self.fields: dict[str, Field] = {}
        self.axes, self.paddings = zip(*(straight_axes(patch.sampling) for patch in patches), strict=True)
        padded = any(any(padding) for one in self.paddings for padding in one)
        self.images = [_three(patch.image.shape[1:]) for patch in patches]
        self.labels = [_three(patch.label.shape) for patch in patches]
        if kind == "gather":  # one index serves both
            self.images = self.labels = [
                _three([max(ends) for ends in zip(*pair, strict=True)])
                for pair in zip(self.images, self.labels, strict=True)
            ]
        slot = int(padded)  # a voxel beyond each label, for what lies outside the case
        self.image_box = tuple(
            max(counts) + (slot if kind == "gather" else 0) for counts in zip(*self.images, strict=True)
        )
        self.label_box = tuple(max(counts) + slot for counts in zip(*self.labels, strict=True))
        if self.turned:  # both are read by one grid
            straight = len(self.axes[0])
            self.label_box = (*self.label_box[:straight], *self.image_box[straight:])

    def pack(
        self, places: Sequence[int], dtypes: tuple[Any, Any | None], label_order: int, *, masked: bool
    ) -> PatchGroup:
        """Give all arrays their places, and say where they are.

        Args:
            places: Of the patches in the batch.
            dtypes: Of the batch's labels, and of its further volumes; None where there are none.
            label_order: Of the interpolation of integers: 1 linear, then the most weight; 0 nearest.
            masked: Whether the batch says where the body is.
        """
        label_dtype, extra_dtype = dtypes
        self._add_terms()
        if self.resident is None:
            self._add_images(masked=masked)
            labels = [patch.label.numpy() for patch in self.patches]
            vote = self._add_integers("label", labels, label_dtype, label_order)
        else:
            self._add_cuts(self.resident)
            vote = self._resident_vote(self.resident, label_dtype, label_order)
        extra = NEAREST if extra_dtype is None else self._add_extra(extra_dtype, label_order)
        self._add("places", np.array(places, np.int64))
        if self.kind == "gather":
            self._add_offsets()
            self._add_inside()
            return PatchGroup(self.kind, tuple(places), self.fields)
        self._add_rows((vote, extra))
        if not self.turned:
            self._add_offsets()
        else:
            self._add_turned()
        return PatchGroup(self.kind, tuple(places), self.fields, vote, extra)

    def _add_terms(self) -> None:
        """Add the terms of normalising; where no digits are lost by it, those of one operation, too."""
        terms = np.stack([patch.terms.numpy() for patch in self.patches])
        self._add("terms", terms)
        low, high, mean, std = np.moveaxis(terms.astype(np.float64), -1, 0)
        if np.max(np.maximum(abs(mean), np.maximum(abs(low), abs(high))) / std) < FEW_STEPS:
            self._add("shift", (-mean / std).astype(np.float32)[..., None, None, None])

    def _add(self, name: str, array: NDArray[Any]) -> None:
        self.fields[name] = self.layout.add_array(array)

    def _add_images(self, *, masked: bool) -> None:
        n, channels = len(self.patches), self.patches[0].image.shape[0]
        images = [patch.image.numpy() for patch in self.patches]
        dtypes = {image.dtype for image in images}
        dtype = next(iter(dtypes)) if len(dtypes) == 1 and dtypes <= set(DIRECT) else np.dtype(np.float32)
        self.fields["image"] = self.layout.add((n, channels, *self.image_box), dtype, lay_into(images))
        if not masked:
            return
        if any(patch.body is not None for patch in self.patches):
            bodies = [_body(patch) for patch in self.patches]
            self.fields["body"] = self.layout.add((n, *self.image_box), np.bool_, lay_into(bodies))
        inside = [_body(patch)[Box(patch.start, _three(patch.label.shape)).slices] for patch in self.patches]
        self.fields["body_label"] = self.layout.add((n, *self.label_box), np.bool_, lay_into(inside))

    def _add_integers(
        self, name: str, volumes: list[NDArray[Any]], label_dtype: Any, label_order: int
    ) -> int:
        """Add labels, and tell how they are interpolated: classes, ``NEAREST`` or ``MANY``."""
        vote, dtype, add = NEAREST, label_dtype, int(self.turned)  # turned: zero is outside
        values = list[int]()
        if self._votes(label_order):
            volumes, vote, values = number_few(volumes, label_dtype)
            dtype = np.dtype(np.uint8) if vote > 0 else label_dtype
        if add and vote <= 0:
            dtype = np.dtype(np.int32)
        named = np.array(values or range(max(vote, 0)), label_dtype)
        add_classes(self._add, PREFIXES[name], vote, dtype, named, outside=self.turned)
        writer = lay_into(volumes, add)
        self.fields[name] = self.layout.add((len(volumes), *self.label_box), dtype, writer)
        return vote

    def _add_extra(self, dtype: Any, label_order: int) -> int:
        """Add the further volumes, and tell how they are interpolated."""
        volumes = [patch.extra.numpy() for patch in self.patches if patch.extra is not None]
        if dtype != np.float32:
            return self._add_integers("extra", volumes, dtype, label_order)
        self.fields["extra"] = self.layout.add((len(volumes), *self.label_box), dtype, lay_into(volumes))
        return LINEAR

    def _votes(self, label_order: int) -> bool:
        """Tell whether labels are interpolated: along one axis the nearer of two voxels weighs more."""
        return bool(label_order) and (self.turned or any(count_interpolated(axes) > 1 for axes in self.axes))

    def _add_cuts(self, resident: ResidentLayout) -> None:
        """Add where on the device the voxels of images and labels lie."""
        images, labels = list[tuple[str, Box]](), list[tuple[str, Box]]()
        for patch, shape, label in zip(self.patches, self.images, self.labels, strict=True):
            if patch.box is None:
                raise ValueError(f"Patch {patch.number} of '{patch.case}' does not say which box it is.")
            images.append((patch.case, Box(patch.box.start, shape)))
            labels.append((patch.case, Box(patch.start, label).moved(patch.box.start)))
        add_channels(self._add, resident, [patch.case for patch in self.patches])
        if self.kind == "gather":  # read at once where it is wanted
            return
        add_cuts(self._add, "cut", resident, images, self.image_box)
        add_cuts(self._add, "cut_label", resident, labels, self.label_box)

    def _resident_vote(self, resident: ResidentLayout, label_dtype: Any, label_order: int) -> int:
        if not self._votes(label_order):
            return NEAREST
        vote = resident.classes if resident.classes <= MOST_CLASSES else MANY
        dtype = torch.empty(0, dtype=resident.label_dtype).numpy().dtype
        named = np.arange(max(vote, 0)).astype(label_dtype)
        add_classes(self._add, "", vote, dtype, named, outside=self.turned)
        return vote

    def _add_rows(self, votes: tuple[int, int]) -> None:
        """Add the matrices of straight axes, but for those along which nothing changes.

        Args:
            votes: How the label is interpolated, and the further volume.
        """
        by_rows = any(vote > 0 or vote == LINEAR for vote in votes)
        for axis in range(len(self.axes[0])):
            name, count = NAMES[axis], self.shape[axis]
            ways, paddings, first = self._along(axis)
            if not self._is_kept(ways, paddings, self.image_box[axis], count):
                pairs = zip(ways, self.images, strict=True)
                rows = [image_rows(way, shape[axis]) for way, shape in pairs]
                self._add(f"rows_{name}", stack_padded(rows, paddings, (count, self.image_box[axis])))
            if self._is_kept(ways, paddings, self.label_box[axis], count):
                continue
            if by_rows and (not self.turned or any(isinstance(way, Interpolation) for way in ways)):
                linear = [
                    self.turned or LINEAR in votes or count_interpolated(axes) > 1 for axes in self.axes
                ]
                three = zip(ways, self.labels, linear, strict=True)
                rows = [label_rows(way, shape[axis], linear=between) for way, shape, between in three]
                self._add(f"label_rows_{name}", stack_padded(rows, paddings, (count, self.label_box[axis])))
            if self.turned:
                self._add(
                    f"index_{name}",
                    stack_padded([nearest_index(way) for way in ways], paddings, (count,), first),
                )
        if MANY in votes:
            self._add_positions()

    def _is_kept(self, ways: Sequence[Axis], paddings: Sequence[Padding], voxels: int, count: int) -> bool:
        """Tell whether an axis needs no matrix; of several voxels only if no other product turns memory."""
        same = all(is_identity(*way, voxels) for way in zip(ways, paddings, strict=True))
        return same and (self.turned or voxels == count == 1)

    def _add_positions(self) -> None:
        for axis in range(len(self.axes[0])):
            ways, paddings, slot = self._along(axis)
            moving = [count_interpolated(axes) > 1 or self.turned for axes in self.axes]
            at = [
                label_positions(way) if between else nearest_index(way).astype(np.float32)
                for way, between in zip(ways, moving, strict=True)
            ]
            self._add(f"at_{NAMES[axis]}", stack_padded(at, paddings, (self.shape[axis],), slot))

    def _add_offsets(self) -> None:
        """Add where in a label's memory the nearest voxel of each wanted lies, axis by axis."""
        _, y, x = self.label_box
        steps = np.array([(y * x, x, 1)] * len(self.patches))
        if self.kind == "gather" and self.resident is not None:
            shapes = [self.resident.shapes[patch.case] for patch in self.patches]
            steps = np.array([(y * x, x, 1) for _, y, x in shapes])
        offsets = []
        for axis in range(AXES):
            ways, paddings, slot = self._along(axis)
            if self.kind == "gather" and self.resident is not None:
                slot = [0] * len(slot)  # any voxel: a mask leaves it out
            index = stack_padded([nearest_index(way) for way in ways], paddings, (self.shape[axis],), slot)
            offsets.append(index * steps[:, axis, None])
        z, y_, x_ = offsets
        if self.kind == "gather" and self.resident is not None:
            z += first_voxels(self.resident, [(patch.case, patch.box) for patch in self.patches])
        self._add("offset_zy", (z[:, :, None] + y_[:, None, :])[..., None])
        self._add("offset_x", x_[:, None, None, :])

    def _add_inside(self) -> None:
        """Add which voxels of the patches lie inside their cases, where not all do."""
        z, y, x = (
            stack_padded([np.ones(len(nearest_index(w)), bool) for w in ways], paddings, (count,))
            for (ways, paddings, _), count in zip(map(self._along, range(AXES)), self.shape, strict=True)
        )
        add_mask(self._add, z, y, x)

    def _add_turned(self) -> None:
        first = AXES - len(self.patches[0].sampling.matrix)  # type: ignore[union-attr] # of a turned patch
        add_grid(self._add, self.patches, self.image_box, self.shape)
        add_averages(self._add, self.patches, self.image_box)
        if self.kind == "oblique":
            add_displacements(self._add, self.patches, self.image_box, self.shape)
        z, y, x = (
            np.array([np.arange(size) < shape[axis] for shape in self.images])
            if axis >= first  # else slices, which matrices leave out where they lie outside
            else np.ones((len(self.images), 1), bool)
            for axis, size in enumerate(self.image_box)
        )
        add_mask(self._add, z, y, x)

    def _along(self, axis: int) -> tuple[list[Axis], list[Padding], list[int]]:
        """Give the patches' ways along an axis, their padding, and the voxel that stands for outside."""
        ways = [axes[axis] for axes in self.axes]
        return ways, [one[axis] for one in self.paddings], [shape[axis] for shape in self.labels]


def _body(patch: Patch) -> NDArray[np.bool_]:
    """Give the voxels inside the patient on the image's; all of them where no body was stored."""
    return np.ones(patch.image.shape[1:], bool) if patch.body is None else patch.body.numpy()


def _three(shape: Sequence[int]) -> Voxels:
    z, y, x = shape
    return z, y, x
