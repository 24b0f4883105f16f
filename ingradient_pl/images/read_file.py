"""One file of any known format, as it is stored: checked, with the spacing that a table tells."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ingradient_pl.geometry import AXES
from ingradient_pl.images import dicom, itk
from ingradient_pl.images.bounded_files import check_regular
from ingradient_pl.images.frame import Frame
from ingradient_pl.images.image_format import ImageFormat
from ingradient_pl.images.known_formats import BUILT_IN, format_of, is_picture
from ingradient_pl.images.raw_image import NEAR, ImageError, RawImage
from ingradient_pl.images.voxel_types import check_finite, to_plain_dtype

STEEPEST = 0.5
"""Cosine between two axes: a gantry tilts by up to 30 degrees, and such a CT is read as it is."""

SMALLEST, LARGEST = 1e-7, 500.0
"""Sides of voxels in mm that are believed, unless a unit was converted and told."""

CONVERTED = "converted to millimetres"


def read_raw(path: Path, channels: int | None, spacing: Sequence[float] | None) -> RawImage:
    """Read one file as it is stored.

    Args:
        path: Of any known format, or a DICOM folder.
        channels: How many it must hold; None for one.
        spacing: As for :func:`ingradient_pl.images.formats.read_volume`.

    Raises:
        ImageError: If it cannot be read as promised.
    """
    found = format_of(path)
    if found is not None or not path.is_dir():
        check_regular(path)
    raw = _read_by(found, path, channels)
    if spacing is not None:
        raw = raw._replace(frame=_with_spacing(path, raw.frame, spacing))
    if raw.frame.shear > STEEPEST:
        raise ImageError(
            f"{path}: its axes are sheared (cosine {raw.frame.shear:.2f} between two), so voxels are no "
            "boxes. Resample it to a rectangular grid."
        )
    odd = () if any(CONVERTED in remark for remark in raw.remarks) else _describe_size(raw.frame)
    remarks = tuple(f"{path}: {remark}" for remark in (*raw.remarks, *odd))
    return raw._replace(voxels=check_finite(path, raw.voxels), remarks=remarks)


def _describe_size(frame: Frame) -> list[str]:
    """Say that voxels are of a size that no scanner or microscope gives."""
    if all(SMALLEST <= side <= LARGEST for side in frame.spacing):
        return []
    told = " x ".join(f"{side:.4g}" for side in frame.spacing)
    return [f"its voxels are {told} mm (z, y, x). Is its header, or the unit of it, wrong?"]


def _with_spacing(path: Path, frame: Frame, spacing: Sequence[float]) -> Frame:
    """Give a picture the spacing that was told of it, or hold a file's own against that."""
    if is_picture(path) and frame.spacing == (1.0, 1.0, 1.0):
        return Frame.of(spacing, frame.origin, frame.direction)
    if not np.allclose(frame.spacing, spacing, rtol=NEAR / 100):
        raise ImageError(
            f"{path}: its spacing is {frame.spacing} mm (z, y, x), the table says {tuple(spacing)}. Correct "
            "one of them, or leave the table's cell empty."
        )
    return frame


def _read_by(found: ImageFormat | None, path: Path, channels: int | None) -> RawImage:
    if found is None:
        return dicom.read(path, channels) if dicom.readable(path) else itk.read(path, channels)
    if found in BUILT_IN:
        return found.read(path, channels)
    try:
        raw = found.read(path, channels)
    except (ImageError, OSError):
        raise
    except Exception as error:  # what another package may raise is not known here
        raise ImageError(
            f"{path}: the reader of {found.name} fails ({type(error).__name__}: {error}). Ask its authors."
        ) from error
    if not isinstance(raw, RawImage) or raw.voxels.ndim != AXES + 1 or len(raw.voxels) != (channels or 1):
        told = getattr(getattr(raw, "voxels", None), "shape", type(raw).__name__)
        raise ImageError(
            f"{path}: the reader of {found.name} gives {told}, where a RawImage (channel, z, y, x) of "
            f"{channels or 1} channel(s) is wanted. Ask its authors."
        )
    return raw._replace(voxels=to_plain_dtype(path, raw.voxels))
