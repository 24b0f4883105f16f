"""DICOM series and single files: one even stack of slices by their headers, pixels by SimpleITK."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ingradient_pl.images.bounded_files import check_memory
from ingradient_pl.images.dicom_file import is_dicom_file, pydicom
from ingradient_pl.images.dicom_slices import Slice, read_slices
from ingradient_pl.images.dicom_stack import Stack, stack
from ingradient_pl.images.dicom_volume import INVERTED
from ingradient_pl.images.itk import keep_locale
from ingradient_pl.images.raw_image import ImageError, RawImage
from ingradient_pl.images.simpleitk import simpleitk
from ingradient_pl.images.voxel_types import to_plain_dtype
from ingradient_pl.phrases import first_line, name_some

DIRECTORY = "DICOMDIR"
"""The table of contents of a medium, which lists files and holds no image."""

VALUE = 4
"""Bytes that a voxel is counted with: most are stored in 2."""


def readable(path: Path) -> bool:
    """Whether a path is for this module: a folder, or a file that is DICOM.

    Args:
        path: It need not exist.
    """
    return path.is_dir() or is_dicom_file(path)


def holds_series(folder: Path) -> bool:
    """Whether DICOM files lie in the folder itself.

    Args:
        folder: Searched itself, not the folders in it.
    """
    return any(is_dicom_file(file) for file in _files(folder))


def read(path: Path, channels: int | None) -> RawImage:
    """Read a folder that holds one series, or one file: a multi-frame object, a lone slice.

    Slices are ordered by position along their normal; slope and intercept of each are applied, and where they
    differ between slices the voxels are float32.

    Args:
        path: A folder or a file.
        channels: Channels that are promised; None and 1 alone can be met.

    Raises:
        ImageError: If it is not one even, complete stack of grey slices, or cannot be read.
    """
    found = _find(path)
    if channels not in (None, 1):
        raise ImageError(
            f"{path}: a DICOM series has one channel, {channels} are promised. Name a series for each one."
        )
    check_memory(path, len(found.slices) * int(np.prod(found.slices[0].shape)) * VALUE)
    voxels = to_plain_dtype(path, _pixels(path, found.slices))
    wanted = (len(found.slices), *found.slices[0].shape)
    if voxels.shape != wanted:
        raise ImageError(
            f"{path}: its pixels have shape {voxels.shape}, its headers promise {wanted}"
            f"{_name_misfit(path, found.slices)}. Is it damaged? Copy or export it again."
        )
    return RawImage(path, voxels[None], found.frame, remarks=found.remarks)


def series_files(path: Path) -> list[str]:
    """Give the files of the one DICOM series in a folder, in the order of the slices read from it.

    Args:
        path: The folder.

    Raises:
        ImageError: If the folder holds no series, several, or one that is no even stack.
    """
    return list(dict.fromkeys(str(one.file) for one in _find(path).slices))


def _find(path: Path) -> Stack:
    slices, left_out = _series(path) if path.is_dir() else (read_slices(path) or [], ())
    if not slices:
        raise ImageError(
            f"{path}: there is no DICOM image in it. Name the file of one, or a folder of slices. "
            "Segmentations (SEG) and structure sets (RTSTRUCT) are labels, of the series that they refer to."
        )
    found = stack(path, slices, _same)
    return found._replace(remarks=(*left_out, *found.remarks))


def _series(folder: Path) -> tuple[list[Slice], tuple[str, ...]]:
    """Give the slices of the one series in a folder, and what to say of files that are none."""
    found: dict[str, list[Slice]] = {}
    strange, others = [], []
    for file in _files(folder):
        try:
            slices = read_slices(file)
        except ImageError as error:
            raise ImageError(f"{folder}: {file.name}{str(error).removeprefix(str(file))}") from error
        if slices is None:
            strange.append(file.name)
        elif not slices and file.name.upper() != DIRECTORY:
            others.append(file.name)
        for one in slices or ():
            found.setdefault(one.series[0], []).append(one)
    if len(found) != 1:
        named = [
            f"{' '.join((one[0].series[1] or uid).split())} ({len(one)} slices, such as {one[0].file.name})"
            for uid, one in found.items()
        ]
        raise ImageError(
            f"{folder}: a folder must hold the files of one DICOM series; found {len(found)}"
            f"{': ' + name_some(named) if named else ''}. Keep one series in a folder."
            f"{f' {name_some(others)}: segmentations and structure sets are labels.' if others else ''}"
        )
    told = [
        f"{len(names)} {what} were left out: {name_some(names)}."
        for what, names in (
            ("file(s) that are not DICOM", strange),
            ("DICOM object(s) without slices", others),
        )
        if names
    ]
    return next(iter(found.values())), tuple(told)


def _name_misfit(path: Path, slices: Sequence[Slice]) -> str:
    """Name the first slice whose own pixels are not as its header promises; empty where each fits."""
    for one in slices:
        shape = _read(path, [one]).shape
        if shape != (1, *one.shape):
            return f" (those of {one.name} have {shape[1:]}, not {one.shape})"
    return ""


def _files(folder: Path) -> list[Path]:
    return [file for file in sorted(folder.iterdir()) if not file.name.startswith(".") and not file.is_dir()]


def _same(first: Slice, other: Slice) -> bool:
    """Whether two slices hold the same values; they are read only where they share a place."""
    try:
        mine, its = (_pixels(one.file, [one]) for one in (first, other))
    except ImageError:
        return False
    return bool(np.array_equal(mine, its))


def _pixels(path: Path, slices: Sequence[Slice]) -> NDArray[Any]:
    """Read planes in the given order, slopes applied."""
    files = list(dict.fromkeys(one.file for one in slices))
    several = any(one.frame for one in slices) or len(slices) > len(files)
    if several and len(files) > 1:
        raise ImageError(f"{path}: it holds several multi-frame files. Keep one in a folder.")
    if len({(one.scale, one.stored) for one in slices}) == 1:
        voxels = _read(path, slices)
    elif several:
        voxels = _unpack(path, slices)
    else:
        voxels = np.concatenate([_read(path, [one]) for one in slices])
    return voxels if len({one.scale for one in slices}) == 1 else voxels.astype(np.float32)


def _read(path: Path, slices: Sequence[Slice]) -> NDArray[Any]:
    """Read planes of equal slopes by SimpleITK, which knows every compression."""
    files = list(dict.fromkeys(str(one.file) for one in slices))
    try:
        with keep_locale():
            image: Any = simpleitk().ReadImage(files if len(files) > 1 else files[0])
    except RuntimeError:  # a spacing of zero, no preamble, a compression written in an odd way; or damage
        return _unpack(path, slices)
    voxels: NDArray[Any] = simpleitk().GetArrayFromImage(image)
    voxels = voxels if voxels.ndim > 2 else voxels[None]  # noqa: PLR2004
    frames = [one.frame for one in slices]
    return voxels[frames] if len(files) == 1 and frames != list(range(len(voxels))) else voxels


def _unpack(path: Path, slices: Sequence[Slice]) -> NDArray[Any]:
    """Read planes by pydicom, each with its own slope: what SimpleITK does not read."""
    planes, opened = [], {}
    for one in slices:
        try:
            if one.file not in opened:
                opened = {one.file: pydicom().dcmread(one.file, force=True).pixel_array}
        except Exception as error:  # every decoder has errors of its own
            raise ImageError(
                f"{path}: the pixels of {one.name} cannot be read ({first_line(error)}). Is it damaged? "
                "Export it again, or save it uncompressed."
            ) from error
        stored = opened[one.file]
        plane = stored if stored.ndim == 2 else stored[one.frame]  # noqa: PLR2004
        if plane.shape != one.shape:
            raise ImageError(
                f"{path}: the pixels of {one.name} have shape {plane.shape}, its header promises "
                f"{one.shape}. Is it damaged? Copy or export it again."
            )
        planes.append(_stored_values(plane, one) * one.scale[0] + one.scale[1])
    values = np.stack(planes)
    whole = all(float(number).is_integer() for one in slices for number in one.scale)
    return values.astype(np.int64) if whole else values.astype(np.float32)


def _stored_values(plane: NDArray[Any], one: Slice) -> NDArray[Any]:
    """Clear bits that may hold an overlay, and invert what is bright where it is low, as SimpleITK does."""
    spare = one.stored[0] - one.stored[1]
    values = (plane << spare >> spare).astype(np.int64)
    if dict(one.telling).get("PhotometricInterpretation") != INVERTED:
        return values
    return (-1 if one.stored[2] else 2 ** one.stored[1] - 1) - values
