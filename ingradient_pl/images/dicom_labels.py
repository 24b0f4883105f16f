"""What DICOM segmentations (SEG) and structure sets (RTSTRUCT) share: named segments of a series."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool

from ingradient_pl.images.raw_image import ImageError
from ingradient_pl.phrases import first_line


class Segments(NamedTuple):
    """What the header of an object that holds labels tells.

    Args:
        series: UIDs of the series that it refers to.
        names: Of its segments, by number.
        remarks: What a user should know.
    """

    series: tuple[str, ...]
    names: dict[int, str]
    remarks: tuple[str, ...] = ()


class Plane(NamedTuple):
    """Voxels of one segment on one slice.

    Args:
        number: Of the segment.
        z: Index of the slice along the image's stored z.
        inside: Which of its pixels.
    """

    number: int
    z: int
    inside: Bool[np.ndarray, "row column"]


def name_segments(named: list[tuple[int, str]]) -> dict[int, str]:
    """Give each segment a name of its own by number: what it is called, and its number where that is not one.

    Args:
        named: Number and name of each, the name perhaps empty. Number 0 is a label map's background.
    """
    clean = [(number, " ".join(name.split())) for number, name in named if number]
    names = [name.casefold() for _, name in clean]
    return {
        number: name if name and names.count(name.casefold()) == 1 else f"{name or 'segment'} {number}"
        for number, name in clean
    }


def damage_error(path: Path, error: Exception) -> ImageError:
    """Give the error that says why an object cannot be read.

    Args:
        path: The object.
        error: What went wrong; every decoder has errors of its own, and so has each entry of a header.
    """
    return ImageError(
        f"{path}: the segmentation cannot be read ({first_line(error)}). Copy or export it again."
    )


def find_references(header: Any) -> tuple[str, ...]:
    """Give the UIDs of the series that an object refers to, each once.

    Args:
        header: Of a segmentation, or of a structure set.
    """
    holders = [
        header,
        *(
            study
            for frame in header.get("ReferencedFrameOfReferenceSequence") or []
            for study in frame.get("RTReferencedStudySequence") or []
        ),
    ]
    entries = [
        one
        for holder in holders
        for name in ("ReferencedSeriesSequence", "RTReferencedSeriesSequence")
        for one in holder.get(name) or []
    ]
    return tuple(dict.fromkeys(str(one.SeriesInstanceUID) for one in entries))
