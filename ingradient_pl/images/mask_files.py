"""Files of labels that may overlap: a mask each, channels of one file, or integers of several files."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, UInt8

from ingradient_pl.images import pairs
from ingradient_pl.images.formats import Volume, refuse_lossy, reorient, write_label, write_voxels
from ingradient_pl.images.label_integers import as_integers
from ingradient_pl.images.packed_masks import empty_masks, put_mask, take_mask, unpack_masks
from ingradient_pl.images.raw_image import ImageError, RawImage, describe_difference
from ingradient_pl.images.read_file import read_raw
from ingradient_pl.phrases import name_some

INSIDE = ((), (1,), (255,))
"""What a mask may hold beside 0."""


class MaskFile(NamedTuple):
    """Where the mask of one label of a case is.

    Args:
        number: Of the label, from 1.
        name: Of the label.
        path: The file.
        channel: Which of the file's channels, from 0; None where it has one.
        channels: How many it has; None where it has one.
        values: Integers that are the label; None where the file is a mask of 0 and 1 (or 0 and 255).
    """

    number: int
    name: str
    path: Path
    channel: int | None = None
    channels: int | None = None
    values: tuple[int, ...] | None = None


def read_masks(
    files: Sequence[MaskFile],
    count: int,
    orientation: str = "LPS",
    spacing: Sequence[float] | None = None,
) -> Volume:
    """Read the masks of a case; its voxels become packed masks (plane, z, y, x).

    Args:
        files: Where each label is; a label without a file is empty.
        count: How many labels there are.
        orientation: As for :func:`ingradient_pl.images.formats.read_volume`.
        spacing: As for :func:`ingradient_pl.images.formats.read_volume`.

    Raises:
        ImageError: If there is no file, one cannot be read or is not a mask, or they lie on several grids.
    """
    by_path: dict[Path, list[MaskFile]] = {}
    for one in files:
        by_path.setdefault(one.path, []).append(one)
    if not by_path:
        raise ImageError("Labels need at least one file; got none.")
    first: RawImage | None = None
    remarks: list[str] = []
    for path, held in by_path.items():
        raw = _read_whole(path, held, spacing)
        if first is None:
            first, packed = raw, empty_masks(count, raw.voxels.shape[1:])
        apart = describe_difference(first, raw)
        if apart:
            raise ImageError(
                f"{path}: {apart} {first.path}. The label files of a case must lie on one grid: resample one."
            )
        remarks += raw.remarks
        for one in held:
            mask, told = _mask(one, raw)
            put_mask(packed, one.number, mask)
            remarks += told
    assert first is not None
    return reorient(first._replace(voxels=packed, remarks=tuple(dict.fromkeys(remarks))), orientation)


def write_masks(path: Path, packed: UInt8[np.ndarray, "plane z y x"], count: int, volume: Volume) -> None:
    """Write masks as one file with a channel for each label, on the grid and in the orientation of a source.

    Args:
        path: Its ending chooses the format; the file appears whole or not at all.
        packed: On the axes of ``volume``.
        count: How many labels there are.
        volume: What was segmented.

    Raises:
        ImageError: If the masks have another shape than the volume.
    """
    _check_shape(path, packed, volume)
    write_voxels(path, unpack_masks(packed, count), volume.source)


def write_mask_files(
    paths: Mapping[int, Path], packed: UInt8[np.ndarray, "plane z y x"], volume: Volume
) -> None:
    """Write a file of zeros and ones for each label; each appears whole or not at all.

    Args:
        paths: By the number of the label; written in this order.
        packed: On the axes of ``volume``.
        volume: What was segmented.

    Raises:
        ImageError: If the masks have another shape than the volume.
    """
    for number, path in paths.items():
        _check_shape(path, packed, volume)
        write_label(path, take_mask(packed, number).astype(np.uint8), volume)


def _check_shape(path: Path, packed: UInt8[np.ndarray, "plane z y x"], volume: Volume) -> None:
    if packed.shape[1:] != volume.voxels.shape[1:]:
        raise ImageError(
            f"{path}: the masks have shape {packed.shape[1:]}, the image {volume.voxels.shape[1:]}. "
            "Masks are written on the grid of their image."
        )


def _read_whole(path: Path, held: Sequence[MaskFile], spacing: Sequence[float] | None) -> RawImage:
    refuse_lossy(path)
    if pairs.is_pair(path):
        raise ImageError(
            f"{path}: the label of an npz + pkl pair has one integer a voxel, so its labels cannot overlap. "
            "Save a mask for each label as .nii.gz."
        )
    channels = held[0].channels
    try:
        return read_raw(path, channels, spacing)
    except ImageError as error:
        if channels is None or channels == 1:
            raise
        names = ", ".join(one.name for one in held)
        raise ImageError(
            f"{error} Labels that may overlap are read from it, a channel each ({names}); a file with one "
            "integer a voxel cannot hold them."
        ) from error


def _mask(one: MaskFile, raw: RawImage) -> tuple[Bool[np.ndarray, "z y x"], tuple[str, ...]]:
    """Give a label's voxels, and remarks on what was rounded."""
    channel = one.channel or 0
    voxels, remarks = as_integers(one.path, raw.voxels[channel : channel + 1])
    if one.values is not None:
        return np.isin(voxels[0], one.values), remarks
    mask: Bool[np.ndarray, "z y x"] = voxels[0] > 0
    found = tuple(np.unique(voxels[0][mask]).tolist())
    if found not in INSIDE:
        where = "" if one.channel is None else f" (channel {one.channel})"
        raise ImageError(
            f"{one.path}: the mask of '{one.name}'{where} holds {name_some(found)}; a mask holds 0 and 1 "
            f'(or 0 and 255). Where a file has other integers, name the label\'s in dataset.json: "labels": '
            f'{{"{one.name}": {{"file": ..., "value": {found[-1]}}}}}.'
        )
    return mask, remarks
