"""Spacing, origin and direction of a NIfTI header as ITK, and with it nnU-Net, reads them."""

import math
from typing import Any

import numpy as np
from nibabel.quaternions import quat2mat
from numpy.typing import NDArray

from ingradient_pl.geometry import AXES
from ingradient_pl.images.frame import Frame
from ingradient_pl.images.raw_image import NEAR

UNITS = {1: ("metres", 1e3), 3: ("micrometres", 1e-3)}
"""``xyzt_units`` of space -> name and millimetres; everything else is taken for millimetres."""

SCANNER = 1
"""Code of a transform to the scanner's own axes: the one for which ITK prefers the sform."""

SKEWED = 1e-4
"""ITK takes an sform whose unit axes, as a matrix R, have no entry of R R' - 1 above this."""

LONGER = 1e-7
"""Below this the first part of a quaternion is zero but for rounding, and the others are made to fit."""

CLOSE = 1e-3
LPS = np.array([-1.0, -1.0, 1.0])
IDENTITY_MATRIX = np.eye(AXES)
CORNERS = np.array([[i, j, k] for i in (0, 1) for j in (0, 1) for k in (0, 1)])


class _Transform:
    """A matrix to mm towards Right, Anterior, Superior, and where the first voxel lies."""

    def __init__(
        self, name: str, code: int, matrix: NDArray[np.float64], offset: NDArray[np.float64]
    ) -> None:
        self.name, self.code, self.matrix, self.offset = name, code, matrix, offset
        with np.errstate(all="ignore"):
            self.lengths = np.sqrt((matrix * matrix).sum(axis=0))
            self.axes = matrix / self.lengths
            product = self.axes @ self.axes.T
        self.rectangular = bool(np.abs(product - IDENTITY_MATRIX).max() <= SKEWED)
        """Whether ITK calls its axes orthonormal."""

    @property
    def spans(self) -> bool:
        """Whether its axes span space."""
        return self.rectangular or bool(
            np.isfinite(self.axes).all() and abs(np.linalg.det(self.axes)) > CLOSE
        )


def frame_of(header: Any) -> tuple[Frame, tuple[str, ...]]:
    """Give the frame of a NIfTI header, and what a user should know of it.

    The spacing is ``pixdim`` times its unit. Direction and origin are the sform's where its code is 1
    (scanner) or there is no qform, else the qform's. An sform with skewed axes is passed over for a qform,
    and kept with its shear (which ITK refuses) where there is none.

    Args:
        header: nibabel's, of NIfTI-1 or -2.

    Raises:
        ValueError: If no transform of it can be used; the message ends with the cure.
    """
    zooms = _finite(header["pixdim"][1 : AXES + 1])
    unknown = [axis + 1 for axis in range(min(int(header["dim"][0]), AXES)) if zooms[axis] == 0]
    zooms[zooms == 0] = 1.0
    unit, factor = UNITS.get(int(header["xyzt_units"]) & 7, ("millimetres", 1.0))
    remarks = [] if factor == 1 else [f"its header counts in {unit}; they were converted to millimetres."]
    if unknown:
        named = ", ".join(map(str, unknown))
        remarks.append(f"its 'pixdim' gives no size along axis {named}; 1 was taken, as ITK does.")
    if (zooms < 0).any():
        remarks.append("a negative 'pixdim' was taken to turn that axis round, as ITK does.")
    signs = np.sign(zooms)
    sform, qform = _sform(header), _qform(header)
    taken = _choose_transform(sform, qform)
    spacing, origin, axes = np.abs(zooms), np.zeros(AXES), IDENTITY_MATRIX * signs
    if taken is not None:
        if not taken.rectangular:
            remarks.append("the axes of its sform are not at right angles; they are kept as they are.")
            spacing = np.where(
                np.abs(spacing - taken.lengths) <= CLOSE * taken.lengths, spacing, taken.lengths
            )
        origin = LPS * taken.offset
        axes = LPS[:, None] * taken.axes * signs
        remarks += _disagreement(header, taken, sform, qform, np.abs(zooms))
    return Frame.of(
        (spacing * factor)[::-1].tolist(), (origin * factor).tolist(), axes.ravel().tolist()
    ), tuple(remarks)


def _choose_transform(sform: _Transform | None, qform: _Transform | None) -> _Transform | None:
    if sform is None or (qform is not None and (sform.code != SCANNER or not sform.rectangular)):
        return qform
    if not sform.spans:
        raise ValueError(
            f"its sform is empty or flat ({sform.matrix.round(4).tolist()}) though 'sform_code' is "
            f"{sform.code}, and there is no qform. Set 'sform_code' to 0, or write the right sform."
        )
    return sform


def _disagreement(
    header: Any,
    taken: _Transform,
    sform: _Transform | None,
    qform: _Transform | None,
    zooms: NDArray[np.float64],
) -> list[str]:
    remarks = []
    if sform is not None and sform.rectangular and (np.abs(sform.lengths - zooms) > CLOSE * zooms).any():
        remarks.append(
            f"its sform has voxels of {_format_numbers(sform.lengths)}, its 'pixdim' of "
            f"{_format_numbers(zooms)}; 'pixdim' was taken, as ITK and nnU-Net do."
        )
    if sform is not None and qform is not None:
        ends = np.maximum(header["dim"][1 : AXES + 1].astype(np.float64) - 1, 0) * zooms
        apart = (CORNERS * ends) @ (sform.axes - qform.axes).T + (sform.offset - qform.offset)
        farthest = float(np.linalg.norm(apart, axis=1).max())
        if not farthest <= NEAR * zooms.min():  # not a number, where the sform is empty
            far = f", corners up to {farthest:.3g} apart" if np.isfinite(farthest) else ""
            remarks.append(
                f"its sform (code {sform.code}) and qform (code {qform.code}) disagree{far}; the "
                f"{taken.name} was taken, as ITK and nnU-Net do."
            )
    return remarks


def _sform(header: Any) -> _Transform | None:
    code = int(header["sform_code"])
    if code <= 0:
        return None
    rows = np.array([header[f"srow_{axis}"] for axis in "xyz"], dtype=np.float64)
    return _Transform("sform", code, rows[:, :AXES], rows[:, AXES])


def _qform(header: Any) -> _Transform | None:
    code = int(header["qform_code"])
    if code <= 0:
        return None
    matrix = _rotation(_finite([header[f"quatern_{part}"] for part in "bcd"]))
    if _finite(header["pixdim"][:1])[0] < 0:
        matrix[:, 2] *= -1
    return _Transform("qform", code, matrix, _finite([header[f"qoffset_{axis}"] for axis in "xyz"]))


def _rotation(parts: NDArray[np.float64]) -> NDArray[np.float64]:
    first = 1.0 - float(parts @ parts)
    if first < LONGER:
        b, c, d = parts / np.linalg.norm(parts)
        a = 0.0
    else:
        a, (b, c, d) = first**0.5, parts
    rotate: Any = quat2mat
    return np.asarray(rotate((a, b, c, d)), dtype=np.float64)


def _finite(numbers: Any) -> NDArray[np.float64]:
    """Zero for what is not a number, which is how the NIfTI library reads a header."""
    return np.array([value if math.isfinite(value := float(number)) else 0.0 for number in numbers])


def _format_numbers(numbers: NDArray[np.float64]) -> str:
    return " x ".join(f"{number:.4g}" for number in numbers)
