"""DICOM objects as labels: which files are such, what they name, and label maps and masks made of them."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ingradient_pl.images.bounded_files import check_memory, check_regular
from ingradient_pl.images.dicom_contours import contour_planes, describe_structures
from ingradient_pl.images.dicom_file import SEGMENTATION, STRUCTURES, class_of, read_class, read_header
from ingradient_pl.images.dicom_labels import Plane, Segments, damage_error
from ingradient_pl.images.dicom_segments import describe_segments, segment_planes
from ingradient_pl.images.formats import Header, Volume, ending
from ingradient_pl.images.mask_files import MaskFile
from ingradient_pl.images.packed_masks import empty_masks, put_mask
from ingradient_pl.images.raw_image import ImageError
from ingradient_pl.messages import check_letters

DESCRIBING = (
    *("SOPClassUID", "SegmentSequence", "ReferencedSeriesSequence", "StructureSetROISequence"),
    *("ROIContourSequence", "ReferencedFrameOfReferenceSequence"),
)
"""Elements that tell what an object's segments or structures are, and of which series."""

BACKGROUND = "background"
VALUE = 2
"""Bytes of a voxel of the label map."""


def is_label_object(path: Path) -> bool:
    """Whether a file is a DICOM segmentation (SEG) or structure set (RTSTRUCT).

    Args:
        path: It need not exist; one whose name is of another format is not opened.
    """
    try:
        return not ending(path) and is_label_class(read_class(path) or "")
    except ImageError:
        return False  # a damaged file is named by who reads it as an image


def is_label_class(kind: str) -> bool:
    """Whether objects of a class hold labels.

    Args:
        kind: Name of the class.
    """
    return kind == STRUCTURES or kind.endswith(SEGMENTATION)


def describe_object(path: Path) -> Segments:
    """Read which series a label object refers to, and what its segments are called.

    Args:
        path: A segmentation or a structure set.

    Raises:
        ImageError: If its header cannot be read, two of its segments share a number, or a name is none that
            can be printed.
    """
    return _open(path, [*DESCRIBING]).segments


class _Object(NamedTuple):
    """A label object whose header was read: whether structures were drawn in it, and what it describes."""

    path: Path
    header: Any
    drawn: bool
    segments: Segments

    def planes(self, image: Volume, wanted: Collection[int]) -> Iterator[Plane]:
        """Give the voxels of structures that are wanted; of a segmentation, those of all segments."""
        if self.drawn:
            return contour_planes(self.path, self.header, image, wanted)
        return segment_planes(self.path, self.header, image)


def _open(path: Path, tags: list[str] | None = None) -> _Object:
    """Read the header of a label object, the one time."""
    check_regular(path)
    header = read_header(path, tags)
    try:
        drawn = class_of(header) == STRUCTURES
        found = describe_structures(path, header) if drawn else describe_segments(path, header)
    except ImageError:
        raise
    except Exception as error:  # each entry of a damaged header fails in its own way
        raise damage_error(path, error) from error
    try:
        check_letters("segment", found.names.values())
    except ValueError as error:
        raise ImageError(f"{path}: {error}") from error
    return _Object(path, header, drawn, found)


def read_label_object(path: Path, image: Volume, labels: Mapping[str, int]) -> Volume:
    """Read a label object as a label map on its image's grid; slices without a segment are background.

    Args:
        path: A segmentation or a structure set.
        image: The volume that was segmented.
        labels: Integers by name. Structures without the name of one are left out, with a remark; where no
            segment of a segmentation has one, the segments' own numbers stand.

    Returns:
        The label map, on the axes of ``image``.

    Raises:
        ImageError: If it cannot be read, does not lie on the image's slices, labels share a voxel, or only
            some segments of a segmentation have the names of labels.
    """
    check_memory(path, int(np.prod(image.source.shape)) * VALUE)
    found = _open(path)
    names = found.segments.names
    values, remarks = _number(found, labels)
    voxels = np.zeros(image.source.shape, dtype=np.uint16)
    for plane in found.planes(image, values):
        if plane.number not in values:
            raise ImageError(f"{path}: a frame is of no segment that it describes. Export it again.")
        held, value = voxels[plane.z], values[plane.number]
        others = held[plane.inside & (held > 0) & (held != value)]
        if others.size:
            other = next(number for number, taken in values.items() if taken == others[0])
            raise ImageError(
                f"{path}: its segments '{names[other]}' and '{names[plane.number]}' "
                "share voxels. Labels may overlap where a table has a column label_NAME for each that is "
                "wanted; each may name this file."
            )
        held[plane.inside] = value
    return _turn(
        path, voxels[None], image, [*(f"{path.name}: {one}" for one in found.segments.remarks), *remarks]
    )


def read_object_masks(files: Sequence[MaskFile], count: int, image: Volume) -> Volume:
    """Read labels that may overlap from label objects: each from the segment of its name, as packed masks.

    Args:
        files: The label object of each label; several may have the same.
        count: How many labels there are.
        image: The volume that was segmented.

    Returns:
        The masks (plane, z, y, x), on the axes of ``image``.

    Raises:
        ImageError: If one cannot be read, or has no segment of a label's name.
    """
    packed = empty_masks(count, image.source.shape)
    for path in dict.fromkeys(one.path for one in files):
        found = _open(path)
        known = {name.casefold(): number for number, name in found.segments.names.items()}
        own = [one for one in files if one.path == path]
        missing = [one.name for one in own if one.name.casefold() not in known]
        if missing:
            raise ImageError(
                f"{path}: no segment is called '{missing[0]}'; there are {', '.join(known) or 'none'}. Leave "
                "the cell empty, or correct the name."
            )
        masks = {known[one.name.casefold()]: np.zeros(image.source.shape, dtype=bool) for one in own}
        for plane in found.planes(image, masks):
            if plane.number in masks:
                masks[plane.number][plane.z] |= plane.inside
        for one in own:
            put_mask(packed, one.number, masks[known[one.name.casefold()]])
    return _turn(files[0].path, packed, image, [])


def _number(object_: _Object, labels: Mapping[str, int]) -> tuple[dict[int, int], list[str]]:
    """Give the integer of each segment that is a label, and what to say of others."""
    path, names, drawn = object_.path, object_.segments.names, object_.drawn
    known = {BACKGROUND: 0, **{name.casefold(): value for name, value in labels.items()}}
    found = {number: known[name.casefold()] for number, name in names.items() if name.casefold() in known}
    others = ", ".join(repr(name) for number, name in names.items() if number not in found)
    if not found and not drawn:
        return {number: number for number in names}, []
    if not found:
        raise ImageError(
            f"{path}: no structure with contours is called as a label is: {others or 'there is none'}; "
            f"labels are {', '.join(labels) or 'not named'}. Name them in a dataset.json beside the table."
        )
    if others and not drawn:
        raise ImageError(
            f"{path}: some segments are called as labels are ({', '.join(labels)}), others not: {others}. "
            "Name each in the labels, or rename the segments."
        )
    return found, [f"{path.name}: no label is called as its structures {others} are."] if others else []


def _turn(path: Path, planes: NDArray[Any], image: Volume, remarks: Sequence[str]) -> Volume:
    """Bring planes on the image's stored grid to the axes of the image."""
    turn, shape = image.source.turn, image.source.shape
    turned = np.require(turn.apply(planes), requirements=["C", "W"])
    return Volume(turned, image.frame, Header(path, shape, image.source.frame, turn, None), tuple(remarks))
