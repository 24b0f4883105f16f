"""One slice of a volume as a panel: grey by a window, labels as outlines, voxels as large as they are."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, Integer, Num, UInt8
from numpy.typing import NDArray
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from torch import Tensor

from ingradient_pl.files import whole_file
from ingradient_pl.pictures.layout import colour_of, to_pixels

MARK = b"ingradient_pl"
"""What the file of a picture says made it."""

SHARES = (0.005, 0.995)
"""Between these shares of the intensities in view the window lies."""

AROUND = 0.5
"""How far around the labels intensities count for the window, as a share of what the labels span."""

COUNTED = 2**20
"""Voxels that are looked at for a window."""

FILLED = 0.16
"""How much of a label's colour lies on the inside of its outline."""

LINE = 2
"""Pixels of an outline."""

DASH = 6
"""Pixels that one of several outlines keeps where they run together."""

Size = tuple[int, int]
"""Height and width in pixels."""


def find_window(
    image: Num[np.ndarray, "*shape"], label: Integer[np.ndarray, "*shape"] | None = None
) -> tuple[float, float]:
    """Find the intensities that are shown black and white: those around the labels, where there are any.

    So a CT shows the organ's tissue, and not the air and the table around the patient.

    Args:
        image: One channel.
        label: On the same voxels.

    Returns:
        Two finite intensities, the second above the first.
    """
    seen = image
    if label is not None and (label > 0).any():
        places = [
            np.flatnonzero((label > 0).any(tuple(set(range(label.ndim)) - {axis})))
            for axis in range(label.ndim)
        ]
        spans = [(int(at[0]), int(at[-1]) + 1) for at in places]
        seen = image[
            tuple(slice(max(low - _margin(low, high), 0), high + _margin(low, high)) for low, high in spans)
        ]
    values = np.asarray(seen).reshape(-1)
    values = values[:: max(values.size // COUNTED, 1)].astype(np.float64)
    values = values[np.isfinite(values)]
    if not values.size:
        return 0.0, 1.0
    inside = values[values != values.min()]  # air, and what lies outside the patient
    low, high = np.quantile(inside if inside.size > values.size // 20 else values, SHARES).tolist()
    return (low, high) if high > low else (low, low + max(abs(low), 1.0) * 1e-6)


def to_grey(
    image: Num[np.ndarray, "y x"], window: tuple[float, float], size: Size
) -> UInt8[np.ndarray, "height width 3"]:
    """Show a slice as grey, black and white at the window's ends, at a size in pixels.

    Args:
        image: Intensities; what is not finite is black.
        window: Intensities of black and white.
        size: Height and width of the answer.
    """
    low, high = window
    share = np.nan_to_num((image.astype(np.float64) - low) / (high - low), nan=0.0).clip(0, 1)
    grey = Image.fromarray((share * 255).round().astype(np.uint8))
    large = np.asarray(grey.resize((size[1], size[0]), Image.Resampling.BILINEAR))
    return np.repeat(large[..., None], 3, axis=-1)


def enlarge(array: Num[np.ndarray, "y x *rest"], size: Size) -> Num[np.ndarray, "height width *rest"]:
    """Show voxels as blocks: each pixel takes the voxel that its centre lies in.

    Args:
        array: Of pixels.
        size: Height and width of the answer.
    """
    rows, columns = (
        np.minimum(((np.arange(wanted) + 0.5) * count / wanted).astype(np.int64), count - 1)
        for wanted, count in zip(size, array.shape[:2], strict=True)
    )
    found: NDArray[np.generic] = array[rows[:, None], columns]
    return found


def list_shown(
    labels: Iterable[Integer[np.ndarray, "..."]], groups: Sequence[Sequence[int]] | None = None
) -> set[int]:
    """Give the labels that occur in some maps: integers, or the numbers of groups of them, from 1.

    Args:
        labels: Integers; 0 is nothing.
        groups: Where labels may overlap: the integers of each.
    """
    values = {int(value) for label in labels for value in np.unique(label)} - {0}
    if groups is None:
        return values
    return {number for number, held in enumerate(groups, 1) if values & set(held)}


def draw_labels(
    picture: UInt8[np.ndarray, "height width 3"],
    label: Integer[np.ndarray, "y x"],
    groups: Sequence[Sequence[int]] | None = None,
) -> UInt8[np.ndarray, "height width 3"]:
    """Draw the outline of each label over a picture, and a faint tint of its colour inside.

    Args:
        picture: What lies below.
        label: Integers of the slice; 0 is nothing.
        groups: Where labels may overlap: the integers of each label; each has an outline of its own.
    """
    large = enlarge(label, picture.shape[:2])
    mixed = picture.astype(np.float64)
    values = sorted(list_shown([large], groups))
    masks = [large == value if groups is None else np.isin(large, groups[value - 1]) for value in values]
    for value, inside in zip(values, masks, strict=True):
        mixed[inside] += FILLED * (np.array(colour_of(value), dtype=np.float64) - mixed[inside])
    for value, line in zip(values, find_outlines(masks, large.shape), strict=True):
        mixed[line] = colour_of(value)
    return mixed.round().astype(np.uint8)


def to_map(
    share: Float[np.ndarray, "y x"], size: Size, colour: Sequence[int]
) -> UInt8[np.ndarray, "height width 3"]:
    """Show a map of probabilities: 0 is black, 1 the colour.

    Args:
        share: In [0, 1].
        size: Height and width of the answer.
        colour: Red, green and blue.
    """
    large = enlarge(np.nan_to_num(share).clip(0, 1), size)
    found: UInt8[np.ndarray, "height width 3"] = (
        (large[..., None] * np.asarray(colour, dtype=np.float64)).round().astype(np.uint8)
    )
    return found


def write_png(path: Path, picture: UInt8[Tensor, "3 height width"]) -> None:
    """Write a picture as PNG, making its folder where needed; it appears whole, and says whose it is.

    Args:
        path: Replaced where it exists.
        picture: Red, green and blue, 0 to 255.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    told = PngInfo()
    told.add_text("Software", MARK.decode())
    with whole_file(path) as temporary:
        Image.fromarray(to_pixels(picture)).save(temporary, format="PNG", pnginfo=told)


def _margin(low: int, high: int) -> int:
    return round(AROUND * (high - low)) + 1


def find_outlines(
    masks: Sequence[Bool[np.ndarray, "y x"]], shape: Sequence[int]
) -> list[Bool[np.ndarray, "y x"]]:
    """Give the outline of each of some masks; where several run together they take turns, as dashes.

    Args:
        masks: That may overlap.
        shape: Of each, in pixels.
    """
    lines = [find_outline(inside) for inside in masks]
    together = np.sum(lines, axis=0, dtype=np.int64) if lines else np.zeros(tuple(shape), np.int64)
    turn = np.add.outer(np.arange(shape[0]), np.arange(shape[1])) // DASH % np.maximum(together, 1)
    place, shown = np.zeros_like(together), []
    for line in lines:
        shown.append(line & (turn == place))
        place += line
    return shown


def find_outline(inside: Bool[np.ndarray, "y x"]) -> Bool[np.ndarray, "y x"]:
    """Give the pixels of a mask that lie at its edge; the picture's own edge is none.

    Args:
        inside: The mask.
    """
    kept = inside.copy()
    for _ in range(LINE):
        wide = np.pad(kept, 1, mode="edge")
        kept = kept & wide[:-2, 1:-1] & wide[2:, 1:-1] & wide[1:-1, :-2] & wide[1:-1, 2:]
    edge: NDArray[np.bool_] = inside & ~kept
    return edge
