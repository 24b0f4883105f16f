"""A case in three planes: its channels, and under them each label map, drawn over the first."""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Integer, Num, UInt8
from torch import Tensor

from ingradient_pl.pictures.layout import Panel, lay_out
from ingradient_pl.pictures.planes import Plane, Scale, find_centre, find_planes
from ingradient_pl.pictures.slices import draw_labels, find_window, list_shown, to_grey

LONGEST = 300
"""Pixels of the longest side of a case; a larger one is shown smaller."""

CHANNELS = 4
"""Channels that are shown at most."""


def case_picture(
    channels: Mapping[str, Num[np.ndarray, "z y x"]],
    labels: Mapping[str, Integer[np.ndarray, "z y x"]],
    spacing: Sequence[float] = (1.0, 1.0, 1.0),
    names: Mapping[int, str] | None = None,
    name: str = "",
    towards: str = "SPL",
    groups: Sequence[Sequence[int]] | None = None,
) -> UInt8[Tensor, "3 height width"]:
    """Show a case in the planes through the centre of its labels: a row for each channel and each label map.

    Voxels are shown as large as they are; letters tell which side of the patient lies where, bars how long
    some millimetres are.

    Args:
        channels: Image of each channel by its name; the first few are shown.
        labels: Label maps (truth, prediction, ...) by their title; the first that holds any label says where
            the planes lie and which intensities are shown.
        spacing: Size of a voxel along (z, y, x) in mm.
        names: Name of each integer, for the legend; None leaves the legend out.
        name: Of the case, for the caption.
        towards: Directions of the patient that (z, y, x) run to; empty where unknown.
        groups: Where labels may overlap: the integers of each, which ``names`` then numbers from 1.
    """
    leading = next((label for label in labels.values() if label.any()), None)
    image = next(iter(channels.values()))
    centre = find_centre(np.zeros(image.shape, np.uint8) if leading is None else leading)
    planes, scale = find_planes(towards, image.shape), Scale.of(image.shape, spacing, LONGEST)
    shown = [(title, one, None) for title, one in list(channels.items())[:CHANNELS]]
    rows = []
    for title, voxels, label in (*shown, *((title, image, label) for title, label in labels.items())):
        window = find_window(voxels, leading)
        rows.append([_panel(title, voxels, label, groups, plane, centre, window, scale) for plane in planes])
    inside = [plane.cut(label, centre[plane.axis]) for label in labels.values() for plane in planes]
    seen, present = list_shown(inside, groups), sorted(list_shown(labels.values(), groups))
    legend = (
        [
            (value, names.get(value, str(value)) + ("" if value in seen else " (in other slices)"))
            for value in present
        ]
        if names is not None
        else []
    )
    return lay_out(rows, describe_case(name, image.shape, spacing), legend)


def describe_case(name: str, shape: Sequence[int], spacing: Sequence[float]) -> str:
    """Give a case's name, voxels and their size in a line.

    Args:
        name: Of the case.
        shape: Voxels (z, y, x).
        spacing: Millimetres (z, y, x).

    >>> describe_case("case_1", (4, 5, 6), (3.0, 1.0, 1.0))
    'case_1: 4 × 5 × 6 voxels of 3 × 1 × 1 mm (z, y, x)'
    """
    voxels = " × ".join(map(str, shape))
    lengths = " × ".join(f"{mm:.3g}" for mm in spacing)
    return f"{f'{name}: ' if name else ''}{voxels} voxels of {lengths} mm (z, y, x)"


def _panel(
    title: str,
    image: Num[np.ndarray, "z y x"],
    label: Integer[np.ndarray, "z y x"] | None,
    groups: Sequence[Sequence[int]] | None,
    plane: Plane,
    centre: tuple[int, int, int],
    window: tuple[float, float],
    scale: Scale,
) -> Panel:
    index = centre[plane.axis]
    picture = to_grey(plane.cut(image, index), window, scale.size(plane, image.shape))
    if label is not None:
        picture = draw_labels(picture, plane.cut(label, index), groups)
    where = f", {plane.name} {index + 1} of {image.shape[plane.axis]}"
    return Panel(picture, title + where, plane.sides, scale.pixel_mm)
