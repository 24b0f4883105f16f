"""What every level of a pyramid of logits says about a slice of a patch: cut on the device, drawn later."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Integer, UInt8
from numpy.typing import NDArray
from torch import Tensor

from ingradient_pl.pictures.layout import Panel, colour_of, lay_out
from ingradient_pl.pictures.planes import Scale, find_planes
from ingradient_pl.pictures.slices import draw_labels, find_window, list_shown, to_grey, to_map
from ingradient_pl.short_repr import short_repr

LONGEST = 190
"""Pixels of the longer side of a panel."""

MAPS = 4
"""Maps that a row shows at most: those of the outputs with the most voxels in the slice."""

WHITE = (255, 255, 255)
BITS = 62
"""Labels that may overlap and are drawn, at most."""


class Level(NamedTuple):
    """A slice of one level, at the level's resolution.

    Args:
        truth: Integers of the task; where labels may overlap a bit for each, the lowest for the first.
        prediction: The same.
        maps: Of each output, in [0, 1].
        voxels: Of the whole level.
    """

    truth: Integer[Tensor, "y x"]
    prediction: Integer[Tensor, "y x"]
    maps: Float[Tensor, "output y x"]
    voxels: tuple[int, ...]


class PatchView(NamedTuple):
    """What is shown of a patch.

    Args:
        case: Name of its case.
        image: A slice of the network's first channel.
        levels: The same slice at each level, finest first.
        at: Number of the slice, from 0.
        dice: Of each foreground output, over the whole patch; NaN where neither truth nor prediction has it.
        foreground: How many voxels of the truth are not background, in the whole patch.
        overlap: Whether labels may overlap.
    """

    case: str
    image: Float[Tensor, "y x"]
    levels: list[Level]
    at: Integer[Tensor, ""]
    dice: Float[Tensor, " label"]
    foreground: Integer[Tensor, ""]
    overlap: bool = False

    def __repr__(self) -> str:
        return short_repr(self)

    @property
    def mean_dice(self) -> float:
        """Mean over the labels that there are; NaN where there is none."""
        return float(self.dice.nanmean())


class Shown(NamedTuple):
    """What is known of patches and outputs, for titles and legend.

    Args:
        names: Of the outputs.
        values: Integer that each output is in a label.
        spacing: Size of a voxel along (z, y, x) in mm; None where it differs from case to case.
        towards: Directions of the patient that (z, y, x) run to; empty where a patch may be turned.
    """

    names: Sequence[str]
    values: Sequence[int]
    spacing: Sequence[float | None] = (None, None, None)
    towards: str = ""


def look_at_patch(
    case: str,
    image: Float[Tensor, "z y x"],
    label: Integer[Tensor, "z y x"],
    pyramid: Sequence[Float[Tensor, "output _ _ _"]],
    written: Sequence[int] | None = None,
    overlap: Sequence[Sequence[int]] | None = None,
) -> PatchView:
    """Take out of a patch the slice with the most foreground; nothing here waits for the device.

    Args:
        case: Name of its case.
        image: One channel of the network's input.
        label: The truth on the same voxels; outside is 0.
        pyramid: Logits of the patch, finest first; a single level is a pyramid too.
        written: For regions: the integer each output is written as, later ones over earlier ones; None where
            a voxel has one label.
        overlap: Where labels may overlap: the integers of each.
    """
    if written is None and len(pyramid[0]) == 1:
        written = [1]
    counts = (label > 0).flatten(1).sum(1)
    middle = torch.full_like(counts[0], len(counts) // 2)
    at = torch.where(counts.max() > 0, counts.argmax(), middle)
    levels = [_look_at_level(label, logits, at, written, overlap) for logits in pyramid]
    dice = score_patches(pyramid[0][None], label[None], written, overlap)[0]
    seen = image.index_select(0, at[None])[0].detach().float()
    return PatchView(case, seen, levels, at, dice, counts.sum(), overlap is not None)


def score_patches(
    logits: Float[Tensor, "batch output *voxels"],
    label: Integer[Tensor, "batch *voxels"],
    written: Sequence[int] | None = None,
    overlap: Sequence[Sequence[int]] | None = None,
) -> Float[Tensor, "batch label"]:
    """Give the Dice of each foreground output in each patch; NaN where neither side has it.

    Args:
        logits: Of the finest level.
        label: The truth.
        written: As for :func:`look_at_patch`.
        overlap: As for :func:`look_at_patch`.
    """
    if overlap is not None:
        pairs = ((logits[:, at].detach() > 0, _among(label, held)) for at, held in enumerate(overlap))
        return torch.stack([_dice(found, truth) for found, truth in pairs], dim=1)
    if written is None and logits.shape[1] == 1:
        written = [1]
    predicted = _decide(logits.movedim(1, 0), written)
    values = range(1, logits.shape[1]) if written is None else written
    return torch.stack([_dice(predicted == value, label == value) for value in values], dim=1)


def draw_levels(view: PatchView, shown: Shown, caption: str = "") -> UInt8[Tensor, "3 height width"]:
    """Draw a patch: a row a level, with image, truth, prediction and the map of each output.

    Args:
        view: What is shown.
        shown: Names of outputs, size and directions of voxels.
        caption: What stands before the case's name, such as the epoch.
    """
    plane = find_planes(shown.towards, (2, *view.image.shape))[0]
    mm = [1.0 if one is None else one for one in shown.spacing]
    scale = Scale.of((1, *view.image.shape), mm, LONGEST)
    size = scale.size(plane, (1, *view.image.shape))
    known = None not in shown.spacing[1:]
    image = plane.turn(view.image.cpu().numpy())
    truth = plane.turn(view.levels[0].truth.cpu().numpy())
    grey = to_grey(image, find_window(image, truth), size)
    outputs, groups = _outputs_shown(view, shown), _group(view, shown)
    rows = []
    for number, level in enumerate(view.levels, 1):
        name = f"level {number} of {len(view.levels)}"
        panels = [Panel(grey, f"{name}: image", plane.sides, scale.pixel_mm if known else None)]
        for title, label in (("truth", level.truth), ("prediction", level.prediction)):
            panels.append(Panel(draw_labels(grey, plane.turn(label.cpu().numpy()), groups), title))
        for output in outputs:
            map_ = plane.turn(level.maps[output].cpu().numpy())
            colour = colour_of(shown.values[output]) if shown.values[output] else WHITE
            panels.append(Panel(to_map(map_, size, colour), f"p({shown.names[output]})"))
        rows.append(panels)
    legend = [(value, name) for value, name in zip(shown.values, shown.names, strict=True) if value > 0]
    text = f"{caption}{describe_patch(view, shown)}"
    if len(outputs) < len(shown.names):
        text += f"\n{len(outputs)} of {len(shown.names)} maps"
        present = list_shown(_integers(view), groups)
        legend = [entry for entry in legend if entry[0] in present] or legend[:MAPS]
    return lay_out(rows, text, legend)


def describe_patch(view: PatchView, shown: Shown) -> str:
    """Say case, slice and Dice of a patch in a line.

    Args:
        view: The patch, at each level.
        shown: Which outputs are shown, and what they are called.
    """
    voxels = view.levels[0].voxels
    dice = view.dice.tolist()
    named = [name for name, value in zip(shown.names, shown.values, strict=True) if value > 0]
    each = ", ".join(
        f"{name} {one:.2f}" for name, one in list(zip(named, dice, strict=True))[:MAPS] if one == one
    )
    mean = "no label" if np.isnan(view.mean_dice) else f"Dice of the patch {view.mean_dice:.2f}"
    where = f"slice {int(view.at) + 1} of {voxels[0]}"
    return f"{view.case}: {mean}{f' ({each})' if each and len(named) > 1 else ''}, {where}"


def _look_at_level(
    label: Integer[Tensor, "z y x"],
    logits: Tensor,
    at: Tensor,
    written: Sequence[int] | None,
    overlap: Sequence[Sequence[int]] | None,
) -> Level:
    depth = logits.shape[1]
    place = (at * depth // len(label)).clamp(max=depth - 1)[None]
    coarse = logits.detach().index_select(1, place)[:, 0].float()
    truth = F.interpolate(label[None, None].float(), logits.shape[1:], mode="nearest-exact")[0, 0]
    maps = coarse.softmax(0) if written is None and overlap is None else coarse.sigmoid()
    flat = truth.index_select(0, place)[0].long()
    if overlap is None:
        return Level(flat, _decide(coarse, written), maps, tuple(logits.shape[1:]))
    inside = [_among(flat, held) for held in overlap[:BITS]]
    return Level(_to_bits(inside), _to_bits(list(coarse[:BITS] > 0)), maps, tuple(logits.shape[1:]))


def _among(label: Tensor, integers: Sequence[int]) -> Tensor:
    return torch.isin(label, torch.tensor(list(integers), device=label.device, dtype=label.dtype))


def _to_bits(masks: Sequence[Tensor]) -> Tensor:
    bits = torch.zeros(masks[0].shape, dtype=torch.long, device=masks[0].device)
    for bit, mask in enumerate(masks):
        bits |= mask.long() << bit
    return bits


def _decide(
    logits: Float[Tensor, "output *voxels"], written: Sequence[int] | None
) -> Integer[Tensor, "*voxels"]:
    """Give the integer that each voxel is written as."""
    if written is None:
        return logits.detach().argmax(0)
    decided = torch.zeros(logits.shape[1:], dtype=torch.long, device=logits.device)
    for region, integer in zip(logits.detach(), written, strict=True):
        decided = torch.where(region > 0, integer, decided)
    return decided


def _dice(found: Tensor, truth: Tensor) -> Tensor:
    both, all_ = (found & truth).flatten(1).sum(1), found.flatten(1).sum(1) + truth.flatten(1).sum(1)
    return 2 * both / all_  # 0/0 is NaN: neither has it


def _integers(view: PatchView) -> list[NDArray[np.int64]]:
    return [part.cpu().numpy() for one in view.levels for part in (one.truth, one.prediction)]


def _group(view: PatchView, shown: Shown) -> list[tuple[int, ...]] | None:
    """Give the integers of each label where labels may overlap: those that have its bit."""
    if not view.overlap:
        return None
    found = list_shown(_integers(view))
    return [tuple(one for one in found if one >> bit & 1) for bit in range(min(len(shown.names), BITS))]


def _outputs_shown(view: PatchView, shown: Shown) -> list[int]:
    """Give the outputs whose maps are shown: all, or those with the most voxels in the slice."""
    if len(shown.names) <= MAPS:
        return list(range(len(shown.names)))
    finest = view.levels[0]
    both = torch.stack([finest.truth, finest.prediction])
    if view.overlap:
        counts = [int((both >> bit & 1).sum()) for bit in range(min(len(shown.names), BITS))]
    else:
        counts = [int((both == value).sum()) if value else -1 for value in shown.values]
    return sorted(sorted(range(len(counts)), key=lambda output: -counts[output])[:MAPS])
