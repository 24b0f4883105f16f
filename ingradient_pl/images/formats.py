"""Image files <-> voxels and frames: the one door through which files of any format come and go."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Num
from numpy.typing import NDArray

from ingradient_pl.files import replace_file, whole_file
from ingradient_pl.geometry import AXES
from ingradient_pl.images import pairs
from ingradient_pl.images.frame import Frame, Reorientation
from ingradient_pl.images.known_formats import BUILT_IN, answer_ending, ending, format_of
from ingradient_pl.images.label_integers import as_integers
from ingradient_pl.images.raw_image import ImageError, RawImage, describe_difference
from ingradient_pl.images.read_file import read_raw
from ingradient_pl.short_repr import short_repr

__all__ = [
    "Frame",
    "Header",
    "ImageError",
    "Volume",
    "answer_ending",
    "ending",
    "read_label",
    "read_volume",
    "write_label",
    "write_probabilities",
]

ENDINGS = tuple(end for one in BUILT_IN for end in one.endings)
"""What image files may end in; a folder is read as a DICOM series, ``.npz`` as half of a pair."""


LOSSY = (".jpg", ".jpeg")
"""Formats that hold no labels."""


class Header(NamedTuple):
    """What is needed to write on the source's own grid; opaque to others.

    Args:
        path: The (first) source file.
        shape: Its array (z, y, x) as stored.
        frame: Of that array.
        turn: From that array to the volume's.
        block: The NIfTI header as it stands in the file, where it is one.
    """

    path: Path
    shape: tuple[int, int, int]
    frame: Frame
    turn: Reorientation
    block: bytes | None

    def __repr__(self) -> str:
        return short_repr(self)


class Volume(NamedTuple):
    """A whole case as its files tell it, axes brought to the wanted orientation.

    Args:
        voxels: In the files' own data type.
        frame: Where they lie.
        source: What the way back needs.
        remarks: What a user should know of the files, a sentence each; it begins with the file's name.
    """

    voxels: Num[np.ndarray, "channel z y x"]
    frame: Frame
    source: Header
    remarks: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return short_repr(self)


def read_volume(
    paths: Sequence[Path],
    orientation: str = "LPS",
    channels: int | None = None,
    spacing: Sequence[float] | None = None,
) -> Volume:
    """Read a case's image.

    The data type stays the file's; slope and intercept of a NIfTI are applied where they change something,
    and float64 becomes float32. Axes are permuted and flipped, never interpolated: oblique directions stay.

    Args:
        paths: One file (or DICOM folder) for each channel; or one file that holds them all; or the two files
            of an npz + pkl pair.
        orientation: Directions that the array's x, y and z axes are brought to, such as ``LPS``; ``stored``
            keeps the axes as the file has them, which is what SimpleITK (and with it nnU-Net) gives.
        channels: How many channels a single file holds along its fourth axis; None promises a 3D file.
        spacing: Size of a voxel in mm (z, y, x) where the file is a picture and tells none.

    Raises:
        ImageError: If a file cannot be read as promised, holds voxels that are not finite, or the channels
            do not lie on one grid; the message names the file.
    """
    paths = [Path(path) for path in paths]
    if not paths:
        raise ImageError("An image needs at least one file; got none.")
    if pairs.is_pair(paths[0]):
        return reorient(pairs.read_image(paths), orientation)
    first = _read_image(paths[0], channels if len(paths) == 1 else None, spacing)
    voxels, remarks = [first.voxels], list(first.remarks)
    for path in paths[1:]:
        other = _read_image(path, None, spacing)
        remarks += other.remarks
        apart = describe_difference(first, other)
        if apart:
            raise ImageError(
                f"{path}: {apart} {paths[0]}. Channels of a case must lie on one grid: resample one."
            )
        voxels.append(other.voxels)
    return reorient(first._replace(voxels=_stack(voxels), remarks=tuple(remarks)), orientation)


def read_label(
    path: Path,
    orientation: str = "LPS",
    properties: Path | None = None,
    spacing: Sequence[float] | None = None,
) -> Volume:
    """Read a label map; its voxels become the smallest unsigned type that holds them.

    Args:
        path: The label file; or an npz, whose ``y`` is read.
        orientation: As for :func:`read_volume`.
        properties: The pkl file of an npz.
        spacing: As for :func:`read_volume`.

    Raises:
        ImageError: If the file cannot be read or holds anything but integers from 0 to 65535.
    """
    path = Path(path)
    refuse_lossy(path)
    raw = pairs.read_label(path, properties) if pairs.is_pair(path) else read_raw(path, None, spacing)
    voxels, remarks = as_integers(path, raw.voxels)
    return reorient(raw._replace(voxels=voxels, remarks=(*raw.remarks, *remarks)), orientation)


def refuse_lossy(path: Path) -> None:
    """Refuse a file of a format that does not keep labels.

    Args:
        path: Of a label map.

    Raises:
        ImageError: If it is a JPEG.
    """
    if path.name.lower().endswith(LOSSY):
        raise ImageError(
            f"{path}: a JPEG does not keep the numbers that were written, so it cannot hold labels. Save "
            "them as .png from where they were drawn."
        )


def write_label(path: str | Path, label: NDArray[Any], volume: Volume) -> None:
    """Write a segmentation on the grid and in the orientation of the file it was made from.

    A NIfTI gets the source's header, its spatial part unchanged to the byte. The file appears whole or not
    at all: it is written under another name in the same folder and renamed.

    Args:
        path: Where to; the ending names the format (.nii, .nii.gz, .nrrd, .mha, ...).
        label: Integers (z, y, x) on the axes of ``volume``; or a mask for each label (label, z, y, x), which
            become channels of the file.
        volume: What was segmented.

    Raises:
        ImageError: If the label has another shape than the volume, or values outside 0 to 65535.
        OSError: If the disk does not take it.
    """
    label = np.asarray(label)
    if label.shape[-AXES:] != volume.voxels.shape[1:]:
        raise ImageError(
            f"{path}: the label has shape {label.shape}, the image {volume.voxels.shape[1:]}. "
            "A label is written on the grid of its image."
        )
    masks = label.reshape(-1, *volume.voxels.shape[1:])
    voxels = np.concatenate([as_integers(Path(path), one[None])[0] for one in masks])
    write_voxels(Path(path), voxels, volume.source)


def write_probabilities(path: Path, probabilities: Num[np.ndarray, "output z y x"], volume: Volume) -> None:
    """Write one map of probabilities for each output, as float32, in one 4D file on the source's own grid.

    Args:
        path: Its ending chooses the format; it is replaced where it exists.
        probabilities: In [0, 1], on the volume's oriented axes.
        volume: The image that was predicted, whose source gives grid and orientation.

    Raises:
        ImageError: If the maps have another shape than the volume.
    """
    if probabilities.shape[1:] != volume.voxels.shape[1:]:
        raise ImageError(
            f"{path}: maps of {probabilities.shape[1:]} for an image of {volume.voxels.shape[1:]}."
        )
    write_voxels(Path(path), np.asarray(probabilities, dtype=np.float32), volume.source)


def _read_image(path: Path, channels: int | None, spacing: Sequence[float] | None) -> RawImage:
    raw = read_raw(path, channels, spacing)
    if raw.indexed:
        raise ImageError(
            f"{path}: its pixels are numbers of colours in a palette, and no intensities. Save it grey, or "
            "in colours (RGB) with a channel for each."
        )
    return raw


def _stack(voxels: list[NDArray[Any]]) -> NDArray[Any]:
    if len(voxels) == 1:
        return voxels[0]
    dtype = np.result_type(*voxels)
    return np.concatenate(voxels, dtype=np.float32 if dtype == np.float64 else dtype)


def reorient(raw: RawImage, orientation: str) -> Volume:
    """Bring the axes of what was read to an orientation.

    Args:
        raw: As stored.
        orientation: As for :func:`read_volume`.

    Raises:
        ImageError: If its place in space cannot be told.
    """
    z, y, x = raw.voxels.shape[1:]
    turn = Reorientation.to(orientation, raw.frame)
    header = Header(raw.path, (z, y, x), raw.frame, turn, raw.block)
    voxels = np.require(turn.apply(raw.voxels), requirements=["C", "W"])
    try:
        frame = turn.frame(raw.frame, (z, y, x))
    except ValueError as error:  # numbers so large that the other end of an axis has none
        raise ImageError(f"{raw.path}: {error} Repair its header.") from error
    return Volume(voxels, frame, header, raw.remarks)


def write_voxels(path: Path, voxels: NDArray[Any], source: Header) -> None:
    """Write voxels (channel, z, y, x) on the grid of a source; the file appears whole or not at all.

    Args:
        path: Its ending chooses the format.
        voxels: On the oriented axes.
        source: Of the volume that they were made from.

    Raises:
        ImageError: If no image of this ending is written.
    """
    found = format_of(path)
    if found is None or found.write is None:
        raise ImageError(f"{path}: no image of this ending is written. Use one of {', '.join(ENDINGS)}.")
    stored = np.ascontiguousarray(source.turn.undo(voxels))
    with whole_file(path) as temporary:
        found.write(temporary, stored, source.frame, source.block)
    for file, content in found.beside(path, source.frame).items():
        replace_file(file, content)
