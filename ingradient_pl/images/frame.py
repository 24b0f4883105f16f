"""Where an image's voxels lie in the patient, and the turns that bring its axes to a wanted orientation."""

from collections.abc import Sequence
from itertools import permutations
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ingradient_pl.geometry import AXES, Grid, Millimetres

STORED = "stored"
"""The orientation that leaves axes as the file has them."""

TOWARDS = {"L": (0, 1), "R": (0, -1), "P": (1, 1), "A": (1, -1), "S": (2, 1), "I": (2, -1)}
"""World axis (x, y, z of LPS millimetres) and sign of each patient direction."""

Direction = tuple[float, float, float, float, float, float, float, float, float]
Numbers = Sequence[float] | NDArray[np.float64]
IDENTITY: Direction = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)


class Frame(NamedTuple):
    """Where voxels lie in the patient, in SimpleITK's terms but for the order of ``spacing``.

    Args:
        spacing: Size of a voxel in mm along the array's axes (z, y, x).
        origin: Centre of the first voxel in mm, (x, y, z), towards Left, Posterior, Superior.
        direction: Unit vectors along which the array's axes run, as the columns (x, y, z) of a matrix that is
            read row by row.
    """

    spacing: Millimetres
    origin: Millimetres = (0.0, 0.0, 0.0)
    direction: Direction = IDENTITY

    @classmethod
    def of(cls, spacing: Numbers, origin: Numbers, direction: Numbers) -> "Frame":
        """Build a frame from what a header gives; ``spacing`` in the array's order (z, y, x).

        Args:
            spacing: Millimetres (z, y, x), each above 0.
            origin: Millimetres (x, y, z) of the first voxel's centre.
            direction: Nine cosines, row by row; columns belong to the array's x, y and z.

        Raises:
            ValueError: If the axes do not span space, a number is not finite or a spacing not positive.
        """
        numbers = np.array([*spacing, *origin, *direction], dtype=np.float64)
        if len(spacing) != AXES or len(origin) != AXES or len(direction) != AXES * AXES:
            raise ValueError(
                f"A frame needs 3 spacings, 3 origins, 9 directions; got {spacing}, {origin}, {direction}."
            )
        if not np.isfinite(numbers).all() or min(spacing) <= 0:
            raise ValueError(
                f"spacing {[*map(float, spacing)]} mm and origin {[*map(float, origin)]} mm must be finite, "
                "spacing positive."
            )
        matrix = numbers[2 * AXES :].reshape(AXES, AXES)
        if abs(np.linalg.det(matrix)) < 1e-3:  # noqa: PLR2004
            raise ValueError(f"the directions {[*map(float, direction)]} of its axes do not span space.")
        values = [float(number) for number in numbers]
        dz, dy, dx, px, py, pz = values[: 2 * AXES]
        a, b, c, d, e, f, g, h, i = values[2 * AXES :]
        return cls((dz, dy, dx), (px, py, pz), (a, b, c, d, e, f, g, h, i))

    @property
    def matrix(self) -> NDArray[np.float64]:
        """The directions as a 3x3 matrix; columns belong to the array's axes x, y, z."""
        return np.array(self.direction, dtype=np.float64).reshape(AXES, AXES)

    @property
    def affine(self) -> NDArray[np.float64]:
        """Matrix from voxel indices (x, y, z) to mm towards Left, Posterior, Superior."""
        affine = np.eye(AXES + 1)
        affine[:AXES, :AXES] = self.matrix * np.array(self.spacing[::-1])
        affine[:AXES, AXES] = self.origin
        return affine

    @property
    def shear(self) -> float:
        """Largest cosine between two of the axes; 0 where they are at right angles."""
        angles = np.abs(self.matrix.T @ self.matrix) - np.eye(AXES)
        return float(angles.max())

    def grid(self, shape: Sequence[int]) -> Grid:
        """Give the grid of an array of ``shape`` (z, y, x).

        Args:
            shape: Voxels (z, y, x).
        """
        return Grid.of(shape, self.spacing)

    def moved(self, start: Sequence[int]) -> "Frame":
        """Give the frame of the part of the array that begins at voxel ``start`` (z, y, x).

        Args:
            start: First voxel (z, y, x) of the part, in voxels of this frame.
        """
        origin = self.affine @ np.array([*reversed(start), 1.0])
        return Frame.of(self.spacing, origin[:AXES], self.direction)

    def distance(self, other: "Frame", shape: Sequence[int]) -> float:
        """How far the corners of an array of ``shape`` lie apart in two frames, in mm (the farthest).

        Args:
            other: A frame for an array of the same shape.
            shape: Voxels (z, y, x).
        """
        x, y, z = (max(count - 1, 0) for count in reversed(shape))
        corners = np.array([[i, j, k, 1] for i in (0, x) for j in (0, y) for k in (0, z)], dtype=np.float64)
        apart = corners @ (self.affine - other.affine).T
        return float(np.linalg.norm(apart[:, :AXES], axis=1).max())


class Reorientation(NamedTuple):
    """Permutation and flips that bring an array's axes to another orientation, and back.

    Args:
        axes: Axis ``i`` of the turned array is axis ``axes[i]`` of the stored one; both (z, y, x).
        flips: Whether axis ``i`` of the turned array runs the other way.
    """

    axes: tuple[int, int, int] = (0, 1, 2)
    flips: tuple[bool, bool, bool] = (False, False, False)

    @classmethod
    def to(cls, orientation: str, frame: Frame) -> "Reorientation":
        """Find the turn that brings the axes of ``frame`` nearest to ``orientation``.

        Args:
            orientation: Directions that the array's x, y and z axes shall run towards, e.g. ``LPS``, or
                ``stored`` to leave them.
            frame: Of the stored array.

        Raises:
            ValueError: If the orientation is no such name.
        """
        if orientation == STORED:
            return cls()
        world = _world(orientation)
        matrix = frame.matrix
        orders = list(permutations(range(AXES)))
        agreement = [sum(abs(matrix[axis, c]) for (axis, _), c in zip(world, o, strict=True)) for o in orders]
        order = orders[int(np.argmax(np.round(agreement, 6)))]  # the first wins a tie: 45 degrees stay put
        flips = [matrix[axis, column] * sign < 0 for (axis, sign), column in zip(world, order, strict=True)]
        x, y, z = order
        return cls((2 - z, 2 - y, 2 - x), (bool(flips[2]), bool(flips[1]), bool(flips[0])))

    def apply(self, array: NDArray[Any]) -> NDArray[Any]:
        """Turn an array whose last three axes are stored (z, y, x).

        Args:
            array: Shape (..., z, y, x); axes before are kept.
        """
        lead = array.ndim - AXES
        turned = array.transpose([*range(lead), *(lead + axis for axis in self.axes)])
        return self._flip(turned)

    def undo(self, array: NDArray[Any]) -> NDArray[Any]:
        """Bring an array back to the stored axes.

        Args:
            array: Shape (..., z, y, x), as :meth:`apply` gave it.
        """
        lead = array.ndim - AXES
        return self._flip(array).transpose(
            [*range(lead), *(lead + axis for axis in np.argsort(self.axes).tolist())]
        )

    def _flip(self, array: NDArray[Any]) -> NDArray[Any]:
        cut: Any = (..., *(slice(None, None, -1 if flip else 1) for flip in self.flips))
        flipped: NDArray[Any] = array[cut]
        return flipped

    def frame(self, frame: Frame, shape: Sequence[int]) -> Frame:
        """Give the frame of the turned array; ``shape`` (z, y, x) is the stored one.

        Args:
            frame: Of the stored array.
            shape: Voxels (z, y, x) of the stored array.
        """
        affine = frame.affine
        origin = affine[:AXES, AXES].copy()
        columns = []
        for axis, flip in reversed(list(zip(self.axes, self.flips, strict=True))):  # x, y, z
            column = frame.matrix[:, 2 - axis]
            origin += affine[:AXES, 2 - axis] * (shape[axis] - 1) * flip
            columns.append(-column if flip else column)
        direction = np.stack(columns, axis=1) + 0.0  # no negative zeros
        return Frame.of([frame.spacing[axis] for axis in self.axes], origin + 0.0, direction.ravel())


def check_orientation(orientation: str) -> None:
    """Refuse what is not an orientation.

    Args:
        orientation: Three letters, such as ``LPS`` or ``RAS``, in either case, or ``stored``.

    Raises:
        ValueError: If it is neither three letters nor ``stored``.
    """
    if orientation != STORED:
        _world(orientation)


def _world(orientation: str) -> list[tuple[int, int]]:
    known = [TOWARDS.get(letter) for letter in orientation.upper()]
    world = [entry for entry in known if entry is not None]
    if len(known) != AXES or sorted(axis for axis, _ in world) != [0, 1, 2]:
        raise ValueError(
            f"'{orientation}' is not an orientation: it needs three letters, one of L/R, one of P/A, one of "
            "S/I (such as LPS or RAS), or 'stored' to keep the axes of the file."
        )
    return world
