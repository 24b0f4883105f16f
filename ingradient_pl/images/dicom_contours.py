"""DICOM structure sets (RTSTRUCT) read: closed planar contours as a label map on the grid of their series."""

from collections.abc import Collection, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float
from numpy.typing import NDArray

from ingradient_pl.images.dicom_file import is_dicom_file, read_header
from ingradient_pl.images.dicom_labels import Plane, Segments, damage_error, find_references, name_segments
from ingradient_pl.images.formats import Volume
from ingradient_pl.images.raw_image import ImageError

CLOSED = ("CLOSED_PLANAR", "CLOSEDPLANAR_XOR")
"""Kinds of contour that enclose voxels; others are lines and points."""

BESIDE = 0.2
"""Share of the distance of slices by which a contour's points may lie beside one: coordinates are rounded."""

FEWEST = 3
"""Points of a contour that encloses anything; slices of a structure of which gaps can be told."""


def describe_structures(path: Path, header: Any) -> Segments:
    """Say which series a structure set refers to, and what its structures with closed contours are called.

    Args:
        path: The structure set, for messages.
        header: Of it. Entries of a damaged one fail in ways of their own.

    Raises:
        ImageError: If two of its structures share a number.
    """
    named = [(int(one.ROINumber), str(one.get("ROIName") or "")) for one in header.StructureSetROISequence]
    if len(dict(named)) < len(named):
        raise ImageError(f"{path}: two of its structures share a number. Export it again.")
    kinds = {
        number: {str(one.get("ContourGeometricType")) for one in held} for number, held in _contours(header)
    }
    names = name_segments([(number + 1, name) for number, name in named])  # they may begin with 0
    points = [names[number + 1] for number, _ in named if kinds.get(number) == {"POINT"}]
    empty = [names[number + 1] for number, _ in named if not kinds.get(number)]
    told = [
        f"{len(some)} structure(s) {what} were left out: {', '.join(some[:5])}."
        for what, some in (("that are points", points), ("without contours", empty))
        if some
    ]
    left = {*points, *empty}
    found = {number - 1: name for number, name in names.items() if name not in left}
    return Segments(find_references(header), found, tuple(told))


def _contours(header: Any) -> Iterator[tuple[int, list[Any]]]:
    """Give the number of each structure, and its contours."""
    for one in header.get("ROIContourSequence") or []:
        yield int(one.ReferencedROINumber), [*(one.get("ContourSequence") or [])]


def contour_planes(path: Path, header: Any, image: Volume, wanted: Collection[int]) -> Iterator[Plane]:
    """Give what the contours of a structure set enclose, slice by slice.

    A voxel is of a structure where its centre lies within an odd number of the structure's contours on its
    slice, so that a contour within another, or a channel that leads to it (keyhole), is a hole.

    Args:
        path: A structure set.
        header: Of it.
        image: The volume on which it was drawn.
        wanted: Numbers of structures; others are not looked at.

    Raises:
        ImageError: If it cannot be read, is of another frame of reference, contours are open, lie on no slice
            of the image, or on every second slice alone.
    """
    try:
        names = {int(one.ROINumber): str(one.get("ROIName") or "") for one in header.StructureSetROISequence}
        _check_space(path, header, image, wanted)
        for number, contours in _contours(header):
            if number in wanted:
                masks = _fill(path, names[number], contours, image)
                yield from (Plane(number, z, mask) for z, mask in masks.items())
    except ImageError:
        raise
    except Exception as error:  # each entry of a damaged header fails in its own way
        raise damage_error(path, error) from error


def _check_space(path: Path, header: Any, image: Volume, wanted: Collection[int]) -> None:
    """Refuse structures whose coordinates are of another frame of reference than the image's."""
    place = image.source.path
    files = sorted(place.iterdir()) if place.is_dir() else [place]
    first = next((file for file in files if is_dicom_file(file)), None)
    own = str(read_header(first, ["FrameOfReferenceUID"]).get("FrameOfReferenceUID") or "") if first else ""
    for one in header.StructureSetROISequence:
        its = str(one.get("ReferencedFrameOfReferenceUID") or header.get("FrameOfReferenceUID") or "")
        if int(one.ROINumber) in wanted and own and its and its != own:
            raise ImageError(
                f"{path}: '{one.get('ROIName')}' was drawn in another frame of reference than that of "
                f"{place}. Give the series on which it was drawn, or register and export it again."
            )


def _fill(path: Path, name: str, contours: list[Any], image: Volume) -> dict[int, NDArray[np.bool_]]:
    """Give the mask of a structure on each slice that it has contours on."""
    to_index = np.linalg.inv(image.source.frame.affine).astype(np.float64)
    masks: dict[int, NDArray[np.bool_]] = {}
    for one in contours:
        points = _points(path, name, one) @ to_index[:3, :3].T + to_index[:3, 3]
        z = _slice_of(path, name, points, image)
        inside = fill_contour(points[:, :2], image.source.shape[1:])
        masks[z] = masks[z] ^ inside if z in masks else inside
    apart = [after - before for before, after in pairwise(sorted(masks))]
    if len(masks) >= FEWEST and min(apart) > 1:
        raise ImageError(
            f"{path}: '{name}' was drawn on one slice in {min(apart)} alone. Interpolate it in the "
            "program in which it was drawn, and export it again."
        )
    return masks


def _points(path: Path, name: str, contour: Any) -> Float[np.ndarray, "point 3"]:
    kind, numbers = str(contour.get("ContourGeometricType")), contour.get("ContourData")
    if kind not in CLOSED:
        raise ImageError(
            f"{path}: '{name}' has a contour of the kind {kind}, which encloses nothing. Close it "
            "(CLOSED_PLANAR) and export it again, or leave the structure out: a table, and beside it a "
            "dataset.json that names the labels."
        )
    points = np.reshape(np.array(numbers, dtype=np.float64), (-1, 3))
    if len(points) < FEWEST or not np.isfinite(points).all():
        raise ImageError(
            f"{path}: '{name}' has a contour of {len(points)} points, or coordinates that are not finite. "
            "Draw it again, or delete the contour."
        )
    return points


def _slice_of(path: Path, name: str, points: Float[np.ndarray, "point 3"], image: Volume) -> int:
    """Give the slice (index along the image's stored z) in which all points of a contour lie."""
    depth = image.source.shape[0]
    z = round(float(np.median(points[:, 2])))
    if not 0 <= z < depth or np.abs(points[:, 2] - z).max() > BESIDE:
        low, high = points[:, 2].min(), points[:, 2].max()
        raise ImageError(
            f"{path}: a contour of '{name}' lies on no slice of {image.source.path} (at {low:.2f} to "
            f"{high:.2f} slices, of {depth}). Draw on the slices of the series, or export it as a "
            "segmentation (SEG) or as NIfTI."
        )
    return z


def fill_contour(
    points: Float[np.ndarray, "point 2"], shape: tuple[int, ...]
) -> Bool[np.ndarray, "row column"]:
    """Give which pixels' centres lie within a closed contour, by the even-odd rule.

    Args:
        points: Corners (column, row) in pixels; whole numbers are centres. The last is joined to the first.
        shape: Rows and columns. What lies outside is cut off.

    Returns:
        The mask. A centre on an edge belongs to one of the two sides, so that contours that touch share none.
    """
    crossings = np.zeros((shape[0], shape[1] + 1), dtype=np.uint8)
    for one, other in zip(points, np.roll(points, -1, axis=0), strict=True):
        (x, y), (end, bottom) = sorted((one.tolist(), other.tolist()), key=lambda point: (point[1], point[0]))
        rows = np.arange(max(0, int(np.ceil(y))), min(shape[0], int(np.ceil(bottom))))
        if len(rows):  # each edge is walked downwards, so that both ways along a keyhole cross alike
            at = np.ceil(x + (rows - y) * ((end - x) / (bottom - y)))
            crossings[rows, np.clip(at, 0, shape[1]).astype(int)] ^= 1
    inside: NDArray[np.bool_] = np.bitwise_xor.accumulate(crossings, axis=1)[:, :-1].astype(bool)
    return inside
