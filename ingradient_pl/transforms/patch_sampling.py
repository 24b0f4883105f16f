"""``PatchSampling``: which voxels of a case a patch is made of, and with which weights; worked out once."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray

from ingradient_pl.geometry import AXES, Box, Grid, Voxels
from ingradient_pl.transforms.patch import (
    Average,
    Axis,
    AxisSampling,
    Crop,
    Displacements,
    Interpolation,
    NearestVoxels,
    ObliqueSampling,
    Padding,
    PlaneSampling,
    Sampling,
)
from ingradient_pl.transforms.resampling_rule import NNUNET, Rule
from ingradient_pl.transforms.sampling_matrices import average_width, find_crop, nearest_voxels, separate_axis
from ingradient_pl.transforms.spline import Positions, cubic_rows, smooth_rows

ALIKE = 1e-6
"""Native voxels by which a step along another axis may miss none, and places a case's edge."""
MARGIN = 8


@runtime_checkable
class DrawnPatch(Protocol):
    """Where a patch lies in a case: its centre, and how it is turned and bent."""

    @property
    def centre(self) -> Sequence[float]:
        """In native voxels as cells (z, y, x)."""

    @property
    def affine(self) -> Sequence[float]:
        """Nine numbers, row by row: from offsets in the patch to offsets in the case (mm; z, y, x)."""

    @property
    def elastic(self) -> NDArray[np.float64] | None:
        """Displacements of the knots in mm, shape (3, n, n, n); None where the patch is not bent."""


@runtime_checkable
class PlannedGrid(Protocol):
    """What a plan says of the network's input: voxels, their size in mm, and how axes are interpolated."""

    @property
    def patch(self) -> Voxels:
        """Voxels (z, y, x) of the network's input."""

    @property
    def spacing(self) -> tuple[float | None, float | None, float | None]:
        """Size of its voxels in mm (z, y, x); None keeps an axis as it comes."""

    @property
    def rule(self) -> Rule:
        """How axes are interpolated."""


class PatchSampling(NamedTuple):
    """What of a case is read for a patch, and the way from there to the network's grid.

    Args:
        image_box: Voxels of the image, and of the body; inside the case, never empty.
        label_box: Voxels of the label, all in ``image_box``: the spline's margin is the image's alone.
        sampling: The way from the voxels of ``image_box`` (labels: of ``label_box``) to the patch.
    """

    image_box: Box
    label_box: Box
    sampling: Sampling

    @property
    def start(self) -> Voxels:
        """First voxel of the label among the image's."""
        return self.label_box.moved([-first for first in self.image_box.start]).start

    @classmethod
    def of(cls, native: Grid, draw: DrawnPatch, plan: PlannedGrid, margin: int = MARGIN) -> "PatchSampling":
        """Work out a patch that was drawn.

        Args:
            native: The case's grid.
            draw: Where the patch lies.
            plan: The network's input.
            margin: Native voxels read beyond the patch, along axes where the spline works.
        """
        pairs = zip(plan.spacing, native.spacing, strict=True)
        patch = Grid.of(plan.patch, [kept if mm is None else mm for mm, kept in pairs])
        return lay_patch(native, patch, draw.centre, draw.affine, plan.rule, draw.elastic, margin)


def lay_patch(
    native: Grid,
    patch: Grid,
    centre: Sequence[float],
    affine: Sequence[float],
    rule: Rule = NNUNET,
    elastic: NDArray[np.float64] | None = None,
    margin: int = MARGIN,
) -> PatchSampling:
    """Lay a patch into a case.

    Where the axes of both run alike (scaling and mirroring included) it is a cubic B-spline axis by axis, or
    a plain crop where the grids agree; after a rotation, or bent, it is one linear interpolation straight
    from the native voxels.

    Args:
        native: The case.
        patch: The network's input, its voxels as planned. The patch is a part of the whole case resampled,
            which has a whole number of voxels: their true size is what is used.
        centre: Of the patch, in native voxels as cells.
        affine: Nine numbers, row by row, from offsets in the patch to offsets in the case (mm; z, y, x).
        rule: How axes are interpolated.
        elastic: Displacements of knots spread evenly over the patch, (3, z, y, x), in mm of the case.
        margin: Native voxels read beyond the patch, along axes where the spline works.
    """
    spacing = np.array(native.extent) / native.respaced(patch.spacing).shape
    per_step = np.reshape(affine, (AXES, AXES)) * spacing / np.array(native.spacing)[:, None]
    laid = _Laid(native, patch, tuple(centre), per_step, rule, elastic, margin)
    off = np.abs(per_step - np.diag(np.diag(per_step))) > ALIKE
    if elastic is not None or off[0].any() or off[:, 0].any():
        return laid.oblique()
    return laid.plane() if off.any() else laid.straight()


class _Along(NamedTuple):
    """The way along one axis that is not turned, and what is read for it."""

    axis: Axis
    padding: Padding
    image: slice
    label: slice


@dataclass(frozen=True)
class _Laid:
    """A patch in a case; ``per_step`` are native voxels (rows) passed by a step along the patch (columns)."""

    native: Grid
    patch: Grid
    centre: Sequence[float]
    per_step: NDArray[np.float64]
    rule: Rule
    elastic: NDArray[np.float64] | None
    margin: int

    def straight(self) -> PatchSampling:
        z, y, x = (self._along(axis) for axis in range(AXES))
        boxes = (_box([way.image for way in (z, y, x)]), _box([way.label for way in (z, y, x)]))
        way = AxisSampling((z.axis, y.axis, x.axis), (z.padding, y.padding, x.padding))
        return PatchSampling(*boxes, way)

    def plane(self) -> PatchSampling:
        z, y, x = self._along(0), self._reach(1), self._reach(2)
        image = _box([z.image, y, x])
        matrix = torch.from_numpy(self._matrix(image)[:2, [0, 1, 3]]).float()
        high, wide = (self._average(axis, image) for axis in (1, 2))
        way = PlaneSampling(z.axis, z.padding, matrix, (high, wide))
        return PatchSampling(image, _box([z.label, y, x]), way)

    def oblique(self) -> PatchSampling:
        box = _box([self._reach(axis) for axis in range(AXES)])
        matrix = torch.from_numpy(self._matrix(box)).float()
        deep, high, wide = (self._average(axis, box) for axis in range(AXES))
        return PatchSampling(box, box, ObliqueSampling(matrix, self._displacements(box), (deep, high, wide)))

    def _along(self, axis: int) -> _Along:
        """Choose the cheapest exact way along an axis, and no more voxels than it needs."""
        positions, padding = self._positions(axis)
        if not len(positions):
            there = self._clip(axis, 0, 0)
            return _Along(Crop(0, 0, mirrored=False), padding, there, there)
        crop = find_crop(positions)
        if crop is not None:
            used = slice(crop.start, crop.start + crop.voxels)
            return _Along(crop._replace(start=0), padding, used, used)
        if axis == separate_axis(self.native.spacing, self.patch.spacing, self.rule.separate_above):
            nearest = nearest_voxels(positions, self.native.shape[axis])
            used = slice(int(nearest.min()), int(nearest.max()) + 1)
            return _Along(NearestVoxels(torch.from_numpy(nearest - used.start)), padding, used, used)
        step = abs(float(self.per_step[axis, axis]))
        least, most = float(positions.min()), float(positions.max())
        more = int(step / 2) + self.margin  # half a step: a low-pass averages so far
        image = self._clip(axis, math.floor(least) - more, math.floor(most) + 2 + more)
        near = positions.clip(0, self.native.shape[axis] - 1)
        label = slice(math.floor(near.min()), math.ceil(near.max()) + 1)
        width = average_width(step, self.rule)
        rows = cubic_rows(image.stop - image.start, positions - image.start, width)
        weights, at = (torch.from_numpy(exact.astype(np.float32)) for exact in (rows, near - label.start))
        return _Along(Interpolation(weights, at, label.start - image.start), padding, image, label)

    def _positions(self, axis: int) -> tuple[Positions, Padding]:
        """Where the patch's voxels inside the case lie along an axis, and how many lie outside."""
        count = self.patch.shape[axis]
        cells = self.centre[axis] + self.per_step[axis, axis] * (np.arange(count) + 0.5 - count / 2)
        inside = (cells >= -ALIKE) & (cells <= self.native.shape[axis] + ALIKE)
        if not inside.any():
            return np.zeros(0), (count, 0)
        before, after = int(inside.argmax()), int(inside[::-1].argmax())
        return cells[before : count - after] - 0.5, (before, after)

    def _reach(self, axis: int) -> slice:
        """Give the voxels along a native axis that a turned patch reaches, a bend and a low-pass included."""
        steps = np.abs(self.per_step[axis])
        half = float(steps @ (np.array(self.patch.shape) - 1)) / 2
        more = int(float(np.linalg.norm(steps)) / 2)
        if self.elastic is not None:
            more += math.ceil(float(np.abs(self.elastic[axis]).max()) / self.native.spacing[axis])
        first, last = self.centre[axis] - half - 0.5, self.centre[axis] + half - 0.5
        return self._clip(axis, math.floor(first) - more, math.floor(last) + 2 + more)

    def _clip(self, axis: int, start: int, stop: int) -> slice:
        """Clip to the case, but leave the voxel in the patch's middle at least."""
        voxels = self.native.shape[axis]
        middle = min(max(math.floor(self.centre[axis]), 0), voxels - 1)
        return slice(min(max(start, 0), middle), max(min(stop, voxels), middle + 1))

    def _average(self, axis: int, box: Box) -> Average:
        """Give what the voxels of a native axis are averaged by, of a patch that is turned towards it."""
        width = average_width(float(np.linalg.norm(self.per_step[axis])), self.rule)
        if not width:
            return None
        voxels = box.shape[axis]
        return torch.from_numpy(cubic_rows(voxels, np.arange(voxels, dtype=np.float64), width)).float()

    def _matrix(self, box: Box) -> NDArray[np.float64]:
        """Put the map between voxels into the terms of ``affine_grid``: axes (x, y, z), each from -1 to 1."""
        edges = np.array(box.shape)
        linear = self.per_step * np.array(self.patch.shape) / edges[:, None]
        shift = 2 * (np.array(self.centre) - box.start) / edges - 1
        return np.concatenate([linear[::-1, ::-1], shift[::-1, None]], axis=1)

    def _displacements(self, box: Box) -> Displacements | None:
        """Put displacements in mm into the terms of ``affine_grid``, and spread the knots over the patch."""
        if self.elastic is None:
            return None
        units = 2 / (np.array(box.shape) * self.native.spacing)
        knots = (self.elastic * units[:, None, None, None])[::-1].copy()
        z, y, x = (
            torch.from_numpy(smooth_rows(count, voxels)).float()
            for count, voxels in zip(self.elastic.shape[1:], self.patch.shape, strict=True)
        )
        return Displacements(torch.from_numpy(knots).float(), (z, y, x))


def _box(cuts: Sequence[slice]) -> Box:
    return Box.between([cut.start for cut in cuts], [cut.stop for cut in cuts])
