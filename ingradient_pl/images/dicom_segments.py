"""DICOM segmentation objects (SEG) read: what each frame holds, on the grid of their series."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ingradient_pl.images.dicom_file import find_in_groups, pydicom
from ingradient_pl.images.dicom_labels import Plane, Segments, damage_error, find_references, name_segments
from ingradient_pl.images.formats import Volume
from ingradient_pl.images.raw_image import NEAR, ImageError

FRACTIONAL, LABELMAP = "FRACTIONAL", "LABELMAP"
"""Types of segmentation: probabilities, and a number a pixel; binary ones have a frame of bits a segment."""


def describe_segments(path: Path, header: Any) -> Segments:
    """Say which series a segmentation object refers to, and what its segments are called.

    Args:
        path: The object, for messages.
        header: Of it. Entries of a damaged one fail in ways of their own.

    Raises:
        ImageError: If two of its segments share a number.
    """
    segments = [(int(one.SegmentNumber), _name(one)) for one in header.get("SegmentSequence") or []]
    if len(dict(segments)) < len(segments):
        raise ImageError(f"{path}: two of its segments share a number. Export the segmentation again.")
    return Segments(find_references(header), name_segments(segments))


def _name(segment: Any) -> str:
    """Give what a segment is called: its label, else what its codes of type and side mean."""
    codes = [
        *(segment.get("SegmentedPropertyTypeCodeSequence") or []),
        *(segment.get("SegmentedPropertyTypeModifierCodeSequence") or []),
    ]
    meant = " ".join(str(code.get("CodeMeaning") or "") for code in codes)
    return str(segment.get("SegmentLabel") or meant)


def segment_planes(path: Path, header: Any, image: Volume) -> Iterator[Plane]:
    """Give what each frame of a segmentation object holds, placed by its own header.

    Args:
        path: A segmentation object, binary or a label map.
        header: All that stands before its pixels.
        image: The volume that was segmented.

    Raises:
        ImageError: If it cannot be read, holds probabilities, or a frame lies on no slice of the image.
    """
    kind = str(header.get("SegmentationType", ""))
    if kind == FRACTIONAL:
        raise ImageError(f"{path}: it holds probabilities (FRACTIONAL). Export it as a binary segmentation.")
    try:
        for (z, number), pixels in zip(_frames(path, header, image), _pixels(path, header), strict=True):
            if kind != LABELMAP:
                yield Plane(number, z, pixels > 0)
                continue
            for held in np.unique(pixels[pixels > 0]).tolist():
                yield Plane(held, z, pixels == held)
    except ImageError:
        raise
    except Exception as error:  # every decoder has errors of its own, and so has each entry of a header
        raise damage_error(path, error) from error


def _pixels(path: Path, header: Any) -> Iterator[NDArray[Any]]:
    """Give frame by frame: bits of all frames unpacked at once are many times the file."""
    if int(header.BitsAllocated) > 1 or header.file_meta.TransferSyntaxUID.is_compressed:
        yield from pydicom().pixels.iter_pixels(path)
        return
    found = pydicom().dcmread(path, specific_tags=["PixelData"])
    packed, (rows, columns) = np.frombuffer(found.PixelData, dtype=np.uint8), (header.Rows, header.Columns)
    for first in range(0, int(header.NumberOfFrames) * rows * columns, rows * columns):
        some = packed[first // 8 : -(-(first + rows * columns) // 8)]  # frames need not begin with a byte
        bits = np.unpackbits(some, bitorder="little")[first % 8 :][: rows * columns]
        yield bits.reshape(rows, columns)


def _frames(path: Path, header: Any, image: Volume) -> Iterator[tuple[int, int]]:
    """Give the slice (index along the image's stored z) and segment of each frame, in the file's order."""
    shared = [*(header.get("SharedFunctionalGroupsSequence") or [])][:1]
    to_index: NDArray[np.float64] = np.linalg.inv(image.source.frame.affine).astype(np.float64)
    for at, frame in enumerate(header.get("PerFrameFunctionalGroupsSequence") or []):
        find = partial(find_in_groups, (frame, *shared))
        place = find("ImagePositionPatient", "PlanePositionSequence")
        axes = find("ImageOrientationPatient", "PlaneOrientationSequence")
        sides = find("PixelSpacing", "PixelMeasuresSequence")
        if place is None or axes is None or sides is None:
            raise ImageError(f"{path}: where its frame {at + 1} lies is not told. Export it again.")
        number = find("ReferencedSegmentNumber", "SegmentIdentificationSequence") or 0
        yield _slice_of(path, at, header, (place, axes, sides), (image, to_index)), int(number)


def _slice_of(
    path: Path, at: int, header: Any, told: tuple[Any, Any, Any], grid: tuple[Volume, NDArray[np.float64]]
) -> int:
    """Give the slice of the image that a frame covers pixel for pixel.

    Raises:
        ImageError: If it covers none.
    """
    rows, columns, (image, to_index) = int(header.Rows), int(header.Columns), grid
    place, (row, column), (down, along) = np.array(told[0], float), np.reshape(told[1], (2, 3)), told[2]
    along_row = np.array(row, float) * float(along) * (columns - 1)
    down_column = np.array(column, float) * float(down) * (rows - 1)
    corners = np.stack([place, place + along_row, place + down_column])
    found = corners @ to_index[:3, :3].T + to_index[:3, 3]
    z = round(float(found[0, 2]))
    wanted = np.array([[0, 0, z], [columns - 1, 0, z], [0, rows - 1, z]])
    depth, *plane = image.source.shape
    if [rows, columns] != plane or not 0 <= z < depth or np.abs(found - wanted).max() > NEAR:
        raise ImageError(
            f"{path}: its frame {at + 1} ({rows} x {columns}) lies on no slice of {image.source.path} "
            f"({plane[0]} x {plane[1]}). Segment the series itself, or resample the segmentation to it."
        )
    return z
