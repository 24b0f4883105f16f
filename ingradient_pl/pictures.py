"""Slices of cases and levels as pictures: tensors in, RGB images out."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from jaxtyping import Float, Integer, UInt8
from PIL import Image, ImageDraw
from torch import Tensor

from ingradient_pl.picture_notes import RED_GREEN_BLUE, draw_notes

COLOURS = torch.tensor(RED_GREEN_BLUE)
"""One colour per label, the background first; labels past the last begin again after the background."""
OPACITY = 0.55
SMALLEST = 96
"""Pictures are enlarged by whole factors until their shorter edge has so many pixels."""

MOST_STRETCHED = 16.0
"""Thicker slices than this are shown as so thick."""

Slice = Float[Tensor, "y x"]
Labels = Integer[Tensor, "y x"]
Panel = Float[Tensor, "3 y x"]


def grey(image: Slice) -> Panel:
    """Show intensities between their 1st and 99th percentile as grey in [0, 1]."""
    low, high = torch.quantile(image.float(), torch.tensor([0.01, 0.99], device=image.device))
    share: Tensor = ((image.float() - low) / (high - low).clamp(min=1e-6)).clamp(0, 1)
    return share.expand(3, -1, -1)


def overlay(image: Slice, label: Labels) -> Panel:
    """Lay the labels' colours over a grey image."""
    indices = torch.where(label > 0, (label.long() - 1) % (len(COLOURS) - 1) + 1, 0)
    colour = COLOURS.to(image.device)[indices].permute(2, 0, 1) / 255
    return torch.where(label > 0, (1 - OPACITY) * grey(image) + OPACITY * colour, grey(image))


def richest_slice(label: Integer[Tensor, "z y x"]) -> int:
    """Give the number of the slice with the most foreground; the middle one where there is none."""
    foreground = (label > 0).flatten(1).sum(1)
    return int(foreground.argmax()) if foreground.any() else len(label) // 2


def level_pictures(
    image: Float[Tensor, "z y x"],
    label: Integer[Tensor, "z y x"],
    pyramid: Sequence[Float[Tensor, "output _ _ _"]],
    names: Sequence[str],
    written: Sequence[int] | None = None,
) -> UInt8[Tensor, "3 height width"]:
    """Show what every level of a pyramid of logits says about one slice: a row a level.

    A row holds the image, the truth at the level's resolution, the prediction, and the map of each output
    (white is certain): of the softmax, or of the sigmoid for regions.

    Args:
        image: One channel of the network's input.
        label: The truth on the same voxels; outside is 0.
        pyramid: Logits of one patch, finest first; a single level is a pyramid too.
        names: Of the outputs, for the column titles.
        written: For regions: the integer each output is written as, later ones over earlier ones; None where
            a voxel has one label.
    """
    if written is None and len(pyramid[0]) == 1:
        written = [1]
    chosen = richest_slice(label)
    rows = [_level_row(image, label, logits.float(), chosen, written) for logits in pyramid]
    titles = ["image", "truth", "prediction", *names]
    return _add_title(torch.stack([torch.stack(row) for row in rows]), titles)


def case_picture(
    image: Float[Tensor, "z y x"],
    labels: Sequence[Integer[Tensor, "z y x"]],
    titles: Sequence[str],
    spacing: Sequence[float] = (1.0, 1.0, 1.0),
    names: Mapping[int, str] | None = None,
    name: str = "",
) -> UInt8[Tensor, "3 height width"]:
    """Show one slice of a case: the image alone, then under each label map (truth, prediction, ...).

    The slice is the one with the most foreground of the first label map. Voxels are shown as large as they
    are; letters tell which side of the patient lies where, a bar how long some millimetres are.

    Args:
        image: One channel, its axes towards S, P and L (LPS).
        labels: Label maps on the same voxels.
        titles: Of the label maps.
        spacing: Size of a voxel along (z, y, x) in mm.
        names: Name of each integer, for the legend; None leaves the legend out.
        name: Of the case, for the caption.
    """
    chosen = richest_slice(labels[0])
    panels = [grey(image[chosen]), *(overlay(image[chosen], label[chosen]) for label in labels)]
    stretched = [_stretch(panel, spacing[1:]) for panel in panels]
    table = _add_title(torch.stack(stretched)[None], ["image", *titles])
    caption = f"{name}  slice {chosen + 1} of {len(image)}".strip()
    present = sorted({int(one) for label in labels for one in torch.unique(label)} - {0})
    legend = [(integer, names.get(integer, str(integer))) for integer in present] if names else []
    voxel = min(spacing[1:]) / _factor(*stretched[0].shape[1:])
    return draw_notes(table, len(panels), caption, legend, voxel)


def write_png(path: Path, picture: UInt8[Tensor, "3 height width"]) -> None:
    """Write a picture as PNG, making its folder where needed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture.permute(1, 2, 0).cpu().numpy()).save(path)


def _stretch(panel: Panel, spacing: Sequence[float]) -> Float[Tensor, "3 _ _"]:
    """Enlarge voxels along the coarser axis until they are squares, by at most ``MOST_STRETCHED``."""
    finest = min(spacing)
    size = [
        round(count * min(mm / finest, MOST_STRETCHED))
        for count, mm in zip(panel.shape[1:], spacing, strict=True)
    ]
    return F.interpolate(panel[None], size, mode="nearest-exact")[0]


def _factor(height: int, width: int) -> int:
    """By how much panels are enlarged."""
    return -(-SMALLEST // min(height, width))


def _level_row(
    image: Float[Tensor, "z y x"],
    label: Integer[Tensor, "z y x"],
    logits: Tensor,
    chosen: int,
    written: Sequence[int] | None,
) -> list[Panel]:
    """Panels of one level, each as large as the image's slice."""
    depth, size = logits.shape[1], image.shape[1:]
    coarse = logits[:, min(chosen * depth // len(image), depth - 1)]
    truth = F.interpolate(label[None, None].float(), logits.shape[1:], mode="nearest-exact")[0, 0]
    truth = truth[min(chosen * depth // len(image), depth - 1)]
    maps = coarse.softmax(0) if written is None else coarse.sigmoid()
    best = coarse.argmax(0)
    if written is not None:
        best.zero_()
        for region, integer in zip(coarse, written, strict=True):
            best = torch.where(region > 0, integer, best)

    def render_panel(flat: Tensor) -> Tensor:
        return F.interpolate(flat[None, None].float(), size, mode="nearest-exact")[0, 0]

    slice_ = image[chosen].float()
    panels = [
        grey(slice_),
        overlay(slice_, render_panel(truth).long()),
        overlay(slice_, render_panel(best).long()),
    ]
    return panels + [render_panel(one).expand(3, -1, -1) for one in maps]


def _add_title(
    rows: Float[Tensor, "row column 3 y x"], titles: Sequence[str]
) -> UInt8[Tensor, "3 height width"]:
    """Lay panels out as a table with a title over each column, enlarged by a whole factor."""
    factor = _factor(*rows.shape[-2:])
    large = rows.repeat_interleave(factor, -1).repeat_interleave(factor, -2)
    large = F.pad(large, (1, 1, 1, 1), value=1.0)
    body = torch.cat([torch.cat(list(row), dim=-1) for row in large], dim=-2)
    pixels = (body * 255).round().to(torch.uint8).cpu()
    width = large.shape[-1]
    strip = Image.new("RGB", (pixels.shape[-1], 16), "white")
    for column, title in enumerate(titles[: large.shape[1]]):
        ImageDraw.Draw(strip).text((column * width + 3, 2), str(title)[: width // 6], fill="black")
    data = torch.frombuffer(bytearray(strip.tobytes()), dtype=torch.uint8)
    head = data.view(16, pixels.shape[-1], 3).permute(2, 0, 1)
    return torch.cat([head, pixels], dim=1)
