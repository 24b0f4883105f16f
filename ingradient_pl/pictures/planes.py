"""The three planes through a volume: which slice, which way up, which side of the patient is where."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Integer, Num
from numpy.typing import NDArray

from ingradient_pl.geometry import AXES
from ingradient_pl.pictures.slices import Size

OPPOSITE = {"L": "R", "R": "L", "A": "P", "P": "A", "S": "I", "I": "S"}
FIRST = "SAR"
"""What is shown above or to the left."""

NAMES = {"S": "axial", "I": "axial", "A": "coronal", "P": "coronal", "L": "sagittal", "R": "sagittal"}

MOST_STRETCHED = 16.0
"""Voxels are shown at most so many times as long as they are wide."""

SAMPLED = 2**21
"""Labelled voxels that are looked at for the centre."""


class Plane(NamedTuple):
    """How the slices across one axis of a volume are looked at.

    Args:
        axis: The axis that is left out.
        rows: The axis that is shown from top to bottom.
        columns: The axis that is shown from left to right.
        flipped: Whether rows, and columns, are shown in reverse.
        sides: Letters of the patient's sides at the left, right, top and bottom; empty where unknown.
        name: Of the plane.
    """

    axis: int
    rows: int
    columns: int
    flipped: tuple[bool, bool]
    sides: str
    name: str

    def cut(self, volume: Num[np.ndarray, "z y x"], index: int) -> Num[np.ndarray, "_ _"]:
        """Give slice ``index`` as it is shown.

        Args:
            volume: In the order of the file's axes.
            index: Along this plane's axis, from 0.
        """
        return self.turn(volume.take(index, self.axis))

    def turn(self, flat: Num[np.ndarray, "_ _"]) -> Num[np.ndarray, "_ _"]:
        """Give a slice whose axes are in the volume's order as it is shown.

        Args:
            flat: Shape of a slice whose axes are in the volume's order.
        """
        shown = flat if self.rows < self.columns else flat.T
        cut = tuple(slice(None, None, -1 if flip else 1) for flip in self.flipped)
        found: NDArray[np.generic] = shown[cut]
        return found


class Scale(NamedTuple):
    """How large voxels are shown.

    Args:
        pixels: Of a voxel along (z, y, x).
        pixel_mm: Millimetres of a pixel; None where thick voxels are shown thinner than they are.
    """

    pixels: tuple[float, ...]
    pixel_mm: float | None

    @classmethod
    def of(cls, shape: Sequence[int], spacing: Sequence[float], longest: int) -> "Scale":
        """Make the longest side of a volume ``longest`` pixels long, all voxels in proportion.

        Args:
            shape: Voxels along (z, y, x).
            spacing: Of a voxel along (z, y, x), in mm.
            longest: Pixels.
        """
        known = [mm for mm, count in zip(spacing, shape, strict=True) if count > 1] or list(spacing)
        bounded = [min(mm, MOST_STRETCHED * min(known)) for mm in spacing]
        extents = [count * mm for count, mm in zip(shape, bounded, strict=True) if count > 1]
        mm = max(extents, default=max(bounded)) / longest
        exact = bounded == list(spacing)
        return cls(tuple(one / mm for one in bounded), mm if exact else None)

    def size(self, plane: Plane, shape: Sequence[int]) -> Size:
        """Give height and width in pixels of a slice of a volume of ``shape``.

        Args:
            plane: In which it is cut.
            shape: Voxels (z, y, x) of the volume.
        """
        height, width = (
            max(round(shape[axis] * self.pixels[axis]), 1) for axis in (plane.rows, plane.columns)
        )
        return height, width


def find_planes(towards: str, shape: Sequence[int]) -> list[Plane]:
    """Give the planes of a volume that show something: both of their axes have more than one voxel.

    Args:
        towards: Directions of the patient that (z, y, x) run to, such as ``SPL``; empty where unknown.
        shape: Voxels along (z, y, x).

    >>> [(plane.name, plane.sides) for plane in find_planes("SPL", (4, 4, 4))]
    [('axial', 'RLAP'), ('coronal', 'RLSI'), ('sagittal', 'APSI')]
    """
    planes = []
    for axis in range(AXES):
        rows, columns = (other for other in range(AXES) if other != axis)
        if 1 in (shape[rows], shape[columns]) and max(shape) > 1:
            continue
        if towards and towards[columns] in "SI":
            rows, columns = columns, rows
        if not towards:
            planes.append(Plane(axis, rows, columns, (False, False), "", f"across {'zyx'[axis]}"))
            continue
        flipped = (towards[rows] in FIRST, towards[columns] in FIRST)
        ends = [
            sorted((letter, OPPOSITE[letter]), key=lambda one: one not in FIRST)
            for letter in (towards[columns], towards[rows])
        ]
        sides = "".join(letter for pair in ends for letter in pair)
        planes.append(Plane(axis, rows, columns, flipped, sides, NAMES[towards[axis]]))
    return planes


def find_centre(label: Integer[np.ndarray, "z y x"]) -> tuple[int, int, int]:
    """Give the labelled voxel nearest to the centre of all that is labelled; the middle where nothing is.

    Args:
        label: Everything above 0 counts.
    """
    places = np.flatnonzero(label)
    if not places.size:
        return tuple(count // 2 for count in label.shape)
    places = places[:: max(places.size // SAMPLED, 1)]
    return nearest_to_centre(np.stack(np.unravel_index(places, label.shape), axis=1))


def nearest_to_centre(places: Integer[np.ndarray, "n 3"]) -> tuple[int, int, int]:
    """Give the one of some voxels (z, y, x) that lies nearest to their centre.

    Args:
        places: At least one.
    """
    apart = np.square(places - places.mean(0)).sum(1)
    z, y, x = (int(one) for one in places[int(apart.argmin())])
    return z, y, x
