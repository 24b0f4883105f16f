"""DICOM segmentation objects (SEG) read: a label map on the grid of the series that they refer to."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ingradient_pl.images.bounded_files import check_memory, check_regular
from ingradient_pl.images.dicom_file import SEGMENTATION, class_of, is_dicom_file, pydicom, read_header
from ingradient_pl.images.formats import Header, Volume
from ingradient_pl.images.raw_image import NEAR, ImageError

KIND = ["SOPClassUID"]
FRACTIONAL, LABELMAP = "FRACTIONAL", "LABELMAP"
"""Types of segmentation: probabilities, and a number a pixel; binary ones have a frame of bits a segment."""

VALUE = 2
"""Bytes of a voxel of the label map."""


class Segments(NamedTuple):
    """What the header of a segmentation object tells.

    Args:
        series: UIDs of the series that it refers to.
        names: Of its segments, by number.
    """

    series: tuple[str, ...]
    names: dict[int, str]


def is_segmentation(path: Path) -> bool:
    """Whether a file is a DICOM segmentation object; only a file that is DICOM is opened.

    Args:
        path: It need not exist.
    """
    if not path.is_file() or not is_dicom_file(path):
        return False
    try:
        return class_of(read_header(path, KIND)).endswith(SEGMENTATION)
    except ImageError:
        return False  # a damaged file is named by who reads it as an image


def read_segments(path: Path) -> Segments:
    """Read which series a segmentation object refers to, and what its segments are called.

    Args:
        path: A segmentation object.

    Raises:
        ImageError: If its header cannot be read, or two of its segments share a number.
    """
    header = read_header(path, ["SegmentSequence", "ReferencedSeriesSequence"])
    try:
        segments = [
            (int(one.SegmentNumber), " ".join(str(one.get("SegmentLabel") or "").split()))
            for one in header.get("SegmentSequence") or []
        ]
        series = tuple(str(one.SeriesInstanceUID) for one in header.get("ReferencedSeriesSequence") or [])
    except (AttributeError, TypeError, ValueError) as error:
        raise _damage_error(path, error) from error
    names = dict(segments)
    if len(names) < len(segments):
        raise ImageError(f"{path}: two of its segments share a number. Export the segmentation again.")
    labels = list(names.values())
    return Segments(
        series,
        {
            number: label if label and labels.count(label) == 1 else f"{label or 'segment'} {number}"
            for number, label in names.items()
            if number  # label maps may describe their background
        },
    )


def read_segmentation(path: Path, image: Volume) -> Volume:
    """Read a segmentation object as a label map on its image's grid: numbers of segments, else 0.

    Each frame is placed by its own header; slices without a frame are background.

    Args:
        path: A segmentation object, binary or a label map.
        image: The volume that was segmented.

    Returns:
        The label map, on the axes of ``image``.

    Raises:
        ImageError: If it cannot be read, holds probabilities, a frame does not lie on a slice of the image,
            or two segments share a voxel.
    """
    check_regular(path)
    shape = image.source.shape
    check_memory(path, int(np.prod(shape)) * VALUE)
    header, voxels = read_header(path), np.zeros(shape, dtype=np.uint16)
    kind = str(header.get("SegmentationType", ""))
    if kind == FRACTIONAL:
        raise ImageError(f"{path}: it holds probabilities (FRACTIONAL). Export it as a binary segmentation.")
    try:
        for (z, number), pixels in zip(_frames(path, header, image), _pixels(path), strict=True):
            plane, inside = voxels[z], pixels > 0
            numbers = pixels[inside].astype(np.uint16) if kind == LABELMAP else np.uint16(number)
            if kind != LABELMAP and (plane[inside] > 0).any():
                other = int(plane[inside][plane[inside] > 0][0])
                raise ImageError(
                    f"{path}: segments {other} and {number} share voxels. Labels of a DICOM segmentation "
                    "must not overlap: write a mask for each and name them in a table."
                )
            plane[inside] = numbers
    except ImageError:
        raise
    except Exception as error:  # every decoder has errors of its own, and so has each entry of a header
        raise _damage_error(path, error) from error
    turn = image.source.turn
    turned = np.require(turn.apply(voxels[None]), requirements=["C", "W"])
    return Volume(turned, image.frame, Header(path, shape, image.source.frame, turn, None))


def _damage_error(path: Path, error: Exception) -> ImageError:
    reason = (str(error).strip() or type(error).__name__).splitlines()[0]
    return ImageError(f"{path}: the segmentation cannot be read ({reason}). Copy or export it again.")


def _pixels(path: Path) -> Iterator[NDArray[Any]]:
    """Give frame by frame: bits of all frames unpacked at once are many times the file."""
    found = pydicom().dcmread(
        path, specific_tags=["Rows", "Columns", "BitsAllocated", "NumberOfFrames", "PixelData"]
    )
    if int(found.BitsAllocated) > 1 or found.file_meta.TransferSyntaxUID.is_compressed:
        yield from pydicom().pixels.iter_pixels(path)
        return
    packed, (rows, columns) = np.frombuffer(found.PixelData, dtype=np.uint8), (found.Rows, found.Columns)
    for first in range(0, int(found.NumberOfFrames) * rows * columns, rows * columns):
        some = packed[first // 8 : -(-(first + rows * columns) // 8)]  # frames need not begin with a byte
        bits = np.unpackbits(some, bitorder="little")[first % 8 :][: rows * columns]
        yield bits.reshape(rows, columns)


def _frames(path: Path, header: Any, image: Volume) -> Iterator[tuple[int, int]]:
    """Give the slice (index along the image's stored z) and segment of each frame, in the file's order."""
    shared = [*(header.get("SharedFunctionalGroupsSequence") or [])][:1]
    to_index: NDArray[np.float64] = np.linalg.inv(image.source.frame.affine).astype(np.float64)
    for at, frame in enumerate(header.get("PerFrameFunctionalGroupsSequence") or []):

        def find(name: str, sequence: str, groups: tuple[Any, ...] = (frame, *shared)) -> Any:
            return next(
                (item.get(name) for group in groups for item in group.get(sequence) or [] if name in item),
                None,
            )

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
