"""Preprocess a whole case: crop, normalise and resample it to the network grid, some slices at a time.

Where networks are on a device, slices go there as they were read, and the case is made there: the host only
finds the box that is not zero and, where a normaliser asks, the body.
"""

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Num, UInt
from torch import Tensor

from ingradient_pl.geometry import AXES, Box, Grid
from ingradient_pl.inference.measure_channel import measure_channel
from ingradient_pl.planning.plan import Plan
from ingradient_pl.store.measure_case import bounding_box, find_content, find_filled
from ingradient_pl.task import BACKGROUND
from ingradient_pl.transforms.labels import label_along_axes
from ingradient_pl.transforms.matrix_products import exact_products
from ingradient_pl.transforms.normalise_image import clip_, limits, normalise
from ingradient_pl.transforms.patch import Axis, Crop, NearestVoxels
from ingradient_pl.transforms.resample import along_axes, along_axis
from ingradient_pl.transforms.resampling_rule import Rule
from ingradient_pl.transforms.sampling_matrices import (
    Axes,
    crop_axis,
    separate_axis,
    to_network_axes,
    to_network_label_axes,
)
from ingradient_pl.transforms.spline import PAD

IMAGE_BLOCK_VOXELS = 1 << 25
"""Native voxels resampled together: 128 slices of 512 x 512, so that the spline's margins cost little."""
FEWEST_LINES = 64
LABEL_BLOCK_VOXELS = 1 << 22
"""Of a label, which needs no margins."""

SENT = tuple(map(np.dtype, (np.uint8, np.int8, np.int16, np.int32, np.float32)))
"""Types of which every number is the same as a 32 bit float on the host and on a device."""
CPU = torch.device("cpu")

OUTSIDE = 1 << 24
"""Stands for what lies outside the body while a label is resampled; neither a label nor
the bits of several are as large."""


class Preprocessed(NamedTuple):
    """A case on the network's grid.

    Args:
        image: Normalised and resampled; in a cascade a last channel holds the label of the stage before, as
            integers: to spread them over a channel for each is left to who cuts out windows.
        native: The grid of the part that is not zero, axes in the network's order.
        network: The grid of ``image``.
        box: That part, on the case as it was given but for the order of axes.
    """

    image: Float[Tensor, "channel z y x"]
    native: Grid
    network: Grid
    box: Box


def preprocess(
    image: Num[np.ndarray, "channel z y x"],
    spacing: Sequence[float],
    plan: Plan,
    before: UInt[np.ndarray, "z y x"] | None = None,
    device: torch.device = CPU,
) -> Preprocessed:
    """Bring a whole case to the network: order axes, cut off what is zero, normalise, resample.

    Args:
        image: As read; any number type.
        spacing: Size of a voxel in mm along its axes.
        plan: What the network expects.
        before: In a cascade, what the stage before made of the case, on the voxels of ``image``.
        device: Where the answer is wanted, and made.
    """
    turned = image.transpose(0, *(1 + axis for axis in plan.transpose))
    whole = Grid.of(image.shape[1:], spacing).transposed(plan.transpose)
    box = nonzero_box(turned)
    native = Grid(box.shape, whole.spacing)
    network = plan.grid(native)
    voxels = turned[(slice(None), *box.slices)]
    masked = [normaliser.masked for normaliser in plan.normalisation]
    found = find_content(voxels) if any(masked) or before is not None else None
    inside = None if found is None else found.body
    label = None if before is None else before.transpose(plan.transpose)[box.slices]
    if label is not None and inside is not None:
        inside |= label != BACKGROUND  # nnU-Net's: what the stage before found is part of the body
    mask = None if inside is None else torch.from_numpy(inside)
    pairs = zip(voxels, plan.normalisation, strict=True)
    terms = torch.tensor(
        [normaliser.terms(measure_channel(channel, inside, device)) for channel, normaliser in pairs],
        device=device,
    )
    made = torch.empty(len(voxels) + (label is not None), *network.shape, device=device)
    rule = plan.rule
    way = _Way.between(native, network, rule)
    with exact_products():
        for number, channel in enumerate(voxels):
            way.fill(made[number], channel, terms[number : number + 1], mask if masked[number] else None)
    if label is not None:
        way._replace(axes=to_network_label_axes(native, network, rule)).fill_label(made[-1], label, mask)
    return Preprocessed(made, native, network, box)


def _send(voxels: Num[np.ndarray, "_ _ _"], device: torch.device) -> Num[Tensor, "_ _ _"]:
    """Bring native voxels to a device as they are, where it knows their type; else as 32 bit floats."""
    known = device.type != "cpu" and voxels.dtype in SENT
    return torch.from_numpy(np.ascontiguousarray(voxels, None if known else np.float32)).to(device)


def _way_on(device: torch.device, axis: Axis) -> Axis:
    """Give the way along an axis where the voxels are."""
    if isinstance(axis, Crop) or device.type == "cpu":
        return axis
    if isinstance(axis, NearestVoxels):
        return NearestVoxels(axis.nearest.to(device))
    return axis._replace(image=axis.image.to(device), positions=axis.positions.to(device))


class _Way(NamedTuple):
    """Preprocess one channel, some slices at a time.

    Args:
        axes: Along each axis.
        along: The axis across which slices are taken.
        apart: Whether slices are resampled each for itself. A spline's overshoot is then cut off at what
            the slice holds, not the case, as nnU-Net does.
    """

    axes: Axes
    along: int
    apart: bool

    @classmethod
    def between(cls, native: Grid, network: Grid, rule: Rule) -> "_Way":
        apart = separate_axis(native.spacing, network.spacing, rule.separate_above)
        return cls(to_network_axes(native, network, rule), apart or 0, apart is not None)

    def fill(
        self,
        out: Float[Tensor, "z y x"],
        channel: Num[np.ndarray, "_ _ _"],
        terms: Float[Tensor, "1 4"],
        mask: Bool[Tensor, "_ _ _"] | None,
    ) -> None:
        """Normalise and resample a channel into ``out``."""
        lines = max(FEWEST_LINES, IMAGE_BLOCK_VOXELS * channel.shape[self.along] // channel.size)
        margin = PAD + 1 + math.ceil(channel.shape[self.along] / out.shape[self.along])
        for target, cut, axes in self._blocks(out, channel.shape, lines, margin):
            read = _send(channel[cut], out.device)
            inside = None if mask is None else mask[cut].to(out.device)
            clean = normalise(read[None], terms, inside)
            low, high = self._limits(clean, terms, axes[self.along])
            clip_(target.copy_(along_axes(clean, axes)[0]), low, high)

    def fill_label(
        self,
        out: Float[Tensor, "z y x"],
        label: UInt[np.ndarray, "_ _ _"],
        mask: Bool[Tensor, "_ _ _"] | None,
    ) -> None:
        """Resample a label into ``out``. As nnU-Net's, what lies outside the mask has a vote of its own."""
        lines = max(1, LABEL_BLOCK_VOXELS * label.shape[self.along] // label.size)
        for target, cut, axes in self._blocks(out, label.shape, lines, margin=1):
            read = torch.from_numpy(label[cut].astype(np.int32)).to(out.device)
            if mask is not None:
                read.masked_fill_(~mask[cut].to(out.device), OUTSIDE)
            taken = label_along_axes(read, axes)
            target.copy_(taken.masked_fill(taken == OUTSIDE, BACKGROUND))

    def _blocks(
        self, out: Tensor, shape: Sequence[int], lines: int, margin: int
    ) -> Iterator[tuple[Tensor, tuple[slice, ...], Axes]]:
        """Give some slices of ``out`` at a time, with the native ones that they are read from and the way.

        Args:
            out: What is to be filled.
            shape: Of the native voxels.
            lines: Native slices that one block shall be about.
            margin: Native slices read beyond the neighbours.
        """
        wanted = out.shape[self.along]
        some = max(1, lines * wanted // shape[self.along])
        for start in range(0, wanted, some):
            stop = min(start + some, wanted)
            block, first, last = crop_axis(self.axes[self.along], start, stop, margin)
            ways = (block if axis == self.along else way for axis, way in enumerate(self.axes))
            z, y, x = (_way_on(out.device, way) for way in ways)
            cut = (slice(None),) * self.along + (slice(first, last),)
            yield out.narrow(self.along, start, stop - start), cut, (z, y, x)

    def _limits(self, clean: Tensor, terms: Tensor, block: Axis) -> tuple[Tensor, Tensor]:
        if not self.apart:
            low, high = limits(terms)
            return low, high
        across = [1 + axis for axis in range(AXES) if axis != self.along]
        ends = clean.amin(across, keepdim=True), clean.amax(across, keepdim=True)
        low, high = (along_axis(end, 1 + self.along, block)[0] for end in ends)
        return low, high


def nonzero_box(image: Num[np.ndarray, "channel z y x"]) -> Box:
    """Give the smallest box that holds every voxel of any channel that is not zero; all where none is.

    Where each of the six faces holds something, as of most CTs, no more is looked at.

    Source: nnU-Net v2, https://github.com/MIC-DKFZ/nnUNet

    Args:
        image: On its native grid.
    """
    faces = (np.moveaxis(image, 1 + axis, 0)[end] for axis in range(AXES) for end in (0, -1))
    whole = Box.between((0, 0, 0), image.shape[1:])
    if all(face.any() for face in faces):
        return whole
    return bounding_box(find_filled(image)) or whole
