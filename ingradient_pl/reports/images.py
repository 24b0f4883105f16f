"""Pictures of a report: thumbnails in three planes, and slices to scroll through."""

import base64
import io
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Integer, Num
from numpy.typing import NDArray
from PIL import Image

from ingradient_pl.geometry import AXES, Box
from ingradient_pl.pictures.layout import RED_GREEN_BLUE, colour_of
from ingradient_pl.pictures.planes import Scale, find_planes, nearest_to_centre
from ingradient_pl.pictures.slices import (
    draw_labels,
    enlarge,
    find_outlines,
    find_window,
    list_shown,
    to_grey,
)
from ingradient_pl.reports.parts import Picture, Viewer
from ingradient_pl.store.case_store import CaseStore

THUMBNAIL = 96
"""Pixels of the longest side of a case in a thumbnail."""

SLICE, SLICES = 256, 40
"""Pixels of a slice's longer side, and slices of a case that can be scrolled through, at most."""

COLOURS = 28 * (len(RED_GREEN_BLUE) - 1)
"""Numbers that a palette has for labels: a multiple of the colours, so that those beyond keep theirs."""

QUALITY = 72
"""Of JPEG."""

HEAT = 8
"""Steps of a map of percentages."""

BESIDE = 2
"""Slices that are shown before the first labelled one and after the last."""


def thumbnail(store: CaseStore, name: str, towards: str) -> Picture:
    """Draw a case of a store in three planes through its label's centre; three slices of it are read.

    Args:
        store: Where it is.
        name: Of the case.
        towards: Directions of the patient that the store's (z, y, x) run to; empty where unknown.

    Raises:
        StoreError: If it is damaged.
    """
    case, task = store.cases[name], store.task
    groups = None if task.overlap is None else list(task.foreground.values())
    shape = case.grid.shape
    sampled = [store.foreground(name, value) for value in case.classes]
    places = np.concatenate([np.zeros((0, AXES), np.int32), *sampled])
    centre = nearest_to_centre(places) if len(places) else tuple(count // 2 for count in shape)
    scale = Scale.of(shape, case.grid.spacing, THUMBNAIL)
    panels = []
    for plane in find_planes(towards, shape):
        at = centre[plane.axis]
        start = [at if axis == plane.axis else 0 for axis in range(AXES)]
        stop = [at + 1 if axis == plane.axis else shape[axis] for axis in range(AXES)]
        voxels = store.read(name, Box.between(start, stop), body=False)
        image, label = plane.cut(voxels.image[0], 0), plane.cut(voxels.label, 0)
        grey = to_grey(image, find_window(image, label), scale.size(plane, shape))
        panels.append(draw_labels(grey, label, groups) if case.labelled else grey)
    height, width = max(len(panel) for panel in panels), sum(panel.shape[1] + 2 for panel in panels) - 2
    whole = np.zeros((height, width, 3), np.uint8)
    left = 0
    for panel in panels:
        top = (height - len(panel)) // 2
        whole[top : top + len(panel), left : left + panel.shape[1]] = panel
        left += panel.shape[1] + 2
    return Picture(name, to_data(whole), width, height)


def make_viewer(
    title: str,
    note: str,
    image: Num[np.ndarray, "z y x"] | None,
    labels: Mapping[str, Integer[np.ndarray, "z y x"]],
    spacing: Sequence[float],
    shares: Mapping[str, Integer[np.ndarray, "z y x"]] | None = None,
    groups: Sequence[Sequence[int]] | None = None,
) -> Viewer:
    """Make slices of a case to scroll through, across its z axis.

    Args:
        title: Of the case.
        note: A line about it.
        image: One channel, its axes towards S, P and L; None shows labels alone.
        labels: Label maps on its voxels, by title.
        spacing: Of a voxel along (z, y, x) in mm.
        shares: Percentages on its voxels, by title, laid over the image as heat.
        groups: Where labels may overlap: the integers of each.
    """
    first = next(iter(labels.values()))
    both = np.zeros(first.shape, bool)
    for label in labels.values():
        both |= label > 0
    chosen = choose_slices(np.array([bool(flat.any()) for flat in both]))
    flat = (1, *first.shape[1:])
    size = Scale.of(flat, spacing, SLICE).size(find_planes("SPL", flat)[0], flat)
    shown = np.zeros(first.shape, np.uint8) if image is None else image
    window = find_window(shown, both.astype(np.uint8))
    greys = np.concatenate([to_grey(shown[at], window, size)[..., 0] for at in chosen])
    overlays = [
        (name, _outline_data(np.concatenate([_outlines(label[at], size, groups) for at in chosen])))
        for name, label in labels.items()
    ]
    for name, share in (shares or {}).items():
        heat = np.concatenate([enlarge(share[at], size) for at in chosen])
        overlays.append((name, _heat_data(heat)))
    richest = int(np.argmax([both[at].sum() for at in chosen]))
    numbers = [at + 1 for at in chosen]
    return Viewer(title, note, to_data(greys), overlays, numbers, richest, size, len(first))


def choose_slices(labelled: NDArray[np.bool_]) -> list[int]:
    """Choose the slices that are shown: those around the labels, evenly where there are too many.

    Args:
        labelled: Whether each slice holds a label.
    """
    found = np.flatnonzero(labelled)
    low = max(int(found[0]) - BESIDE, 0) if len(found) else 0
    high = min(int(found[-1]) + BESIDE + 1, len(labelled)) if len(found) else len(labelled)
    if high - low <= SLICES:
        return list(range(low, high))
    return sorted(set(np.linspace(low, high - 1, SLICES).round().astype(int).tolist()))


def to_data(picture: NDArray[np.uint8]) -> str:
    """Give a picture, grey (y, x) or coloured (y, x, 3), as a JPEG that stands in the page.

    Args:
        picture: 0 to 255.
    """
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "JPEG", quality=QUALITY, optimize=True)
    return f"data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode()}"


def png_data(content: bytes) -> str:
    """Give the content of a PNG file as it stands in the page.

    Args:
        content: The whole file.
    """
    return f"data:image/png;base64,{base64.b64encode(content).decode()}"


def _outlines(
    label: Integer[np.ndarray, "y x"], size: tuple[int, int], groups: Sequence[Sequence[int]] | None
) -> NDArray[np.uint8]:
    """Give the outline of each label at its place: its number among the colours, 0 elsewhere."""
    large = enlarge(label, size)
    lines = np.zeros(size, np.uint8)
    values = sorted(list_shown([large], groups))
    masks = [large == value if groups is None else np.isin(large, groups[value - 1]) for value in values]
    for value, line in zip(values, find_outlines(masks, size), strict=True):
        lines[line] = (value - 1) % COLOURS + 1
    return lines


def _outline_data(lines: NDArray[np.uint8]) -> str:
    picture = Image.fromarray(lines, mode="P")
    picture.putpalette([part for value in range(256) for part in colour_of(value)])
    file = io.BytesIO()
    picture.save(file, "PNG", transparency=0, optimize=True)
    return png_data(file.getvalue())


def _heat_data(percent: Integer[np.ndarray, "y x"]) -> str:
    """Give percentages as a picture in a few steps: nothing is clear, all is red and nearly opaque."""
    steps = np.minimum(percent.astype(np.int64) * HEAT // 100, HEAT - 1).astype(np.uint8)
    picture = Image.fromarray(steps, mode="P")
    picture.putpalette([part for step in range(HEAT) for part in (255, 210 - 200 * step // (HEAT - 1), 0)])
    file = io.BytesIO()
    clear = bytes(round(220 * step / (HEAT - 1)) for step in range(HEAT))
    picture.save(file, "PNG", transparency=clear, optimize=True)
    return png_data(file.getvalue())
