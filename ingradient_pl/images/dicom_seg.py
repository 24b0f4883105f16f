"""A segmentation of a DICOM series as the object that DICOM has for it, for archives and viewers."""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import ingradient_pl
from ingradient_pl.files import whole_file
from ingradient_pl.images import dicom
from ingradient_pl.images.formats import Volume
from ingradient_pl.images.packed_masks import is_packed, unpack_masks
from ingradient_pl.images.raw_image import ImageError
from ingradient_pl.optional import require
from ingradient_pl.task import Task

ENDING = ".dcm"
LONGEST = 64
"""Characters of a name, by the standard."""

MAKER = "ingradient_pl"
LOCAL = "99INGRADIENT"
"""Scheme of codes that are ours alone: the standard keeps names that begin with 99 for that."""

SERIES_NUMBER = 300
MAY_BE_EMPTY = (
    "AccessionNumber",
    "PatientBirthDate",
    "PatientID",
    "PatientName",
    "PatientSex",
    "ReferringPhysicianName",
    "StudyDate",
    "StudyID",
    "StudyTime",
)
"""What every object names, and series that were made anonymous or computed often lack."""


def is_series(path: Path) -> bool:
    """Whether a case's image is a folder, which is read as one DICOM series.

    Args:
        path: Of a case's first image.
    """
    return path.is_dir()


def check_installed() -> None:
    """Make sure that segmentations can be written, before hours of prediction.

    Raises:
        ImageError: If highdicom is not installed.
    """
    _package("highdicom")


def write_segmentation(path: Path, label: NDArray[Any], volume: Volume, task: Task) -> None:
    """Write a segmentation as one DICOM SEG object that refers to the slices it was made from.

    Each foreground label (or region) of the task becomes a binary segment of that name, in the task's order,
    also where it is empty. The file appears whole or not at all.

    Args:
        path: Where to, ``CASE.dcm``.
        label: Integers (z, y, x) on the axes of ``volume``; packed masks where labels may overlap.
        volume: What was segmented, read from a DICOM series.
        task: Names of the integers.

    Raises:
        ImageError: If the volume is not a DICOM series of single slices, the label does not fit it, the
            series lacks what the standard asks for, or highdicom is not installed.
        OSError: If the disk does not take it.
    """
    source = volume.source.path
    if not is_series(source):
        raise ImageError(
            f"{path}: {source} is not a DICOM series, and only of one is a DICOM segmentation made."
        )
    if label.shape[-3:] != volume.voxels.shape[1:]:
        raise ImageError(
            f"{path}: the label has shape {label.shape}, the image {volume.voxels.shape[1:]}. "
            "A label is written on the grid of its image."
        )
    highdicom, pydicom = _package("highdicom"), _package("pydicom")
    turned = np.ascontiguousarray(volume.source.turn.undo(label))
    stored = np.moveaxis(turned, 0, -1) if is_packed(label) else turned
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # how a hospital writes names is not ours to mend
        slices = [
            _read_slice(pydicom.dcmread(file, stop_before_pixels=True)) for file in dicom.series_files(source)
        ]
        if len(slices) != len(stored):
            raise ImageError(
                f"{source}: {len(stored)} slices lie in {len(slices)} file(s). A segmentation is made of "
                "series with one slice in a file; write this one as .nii.gz."
            )
        try:
            made = _segmentation(highdicom, slices, stored, task)
        except (AttributeError, TypeError, ValueError) as error:
            raise ImageError(
                f"{path}: no DICOM segmentation can be made of the series {source} ({error}). Write this one "
                "as .nii.gz."
            ) from error
        with whole_file(path) as temporary:
            made.save_as(temporary)


def _read_slice(slice_: Any) -> Any:
    """Leave empty what the slice does not tell and need not."""
    for keyword in MAY_BE_EMPTY:
        if keyword not in slice_:
            setattr(slice_, keyword, "")
    return slice_


def _segmentation(highdicom: Any, slices: list[Any], stored: NDArray[Any], task: Task) -> Any:
    return highdicom.seg.Segmentation(
        source_images=slices,
        pixel_array=_segments(stored, task),
        segmentation_type=highdicom.seg.SegmentationTypeValues.BINARY,
        segment_descriptions=[
            _describe_segment(highdicom, number, name)
            for number, name in enumerate(name_segments(list(task.foreground)), 1)
        ],
        series_instance_uid=highdicom.UID(),
        series_number=SERIES_NUMBER,
        sop_instance_uid=highdicom.UID(),
        instance_number=1,
        manufacturer=MAKER,
        manufacturer_model_name=_as_text(task.name) or MAKER,
        software_versions=ingradient_pl.__version__,
        device_serial_number="0",
        content_description=f"Segmentation by {MAKER}",
        series_description=f"Segmentation by {MAKER}",
        omit_empty_frames=bool(stored.any()),
    )


def name_segments(labels: Sequence[str]) -> list[str]:
    r"""Name each label as the standard can: 64 characters, no two alike; a backslash would part two names.

    Args:
        labels: Their names.

    >>> name_segments(["left\\lung", "organ"]), [name[-3:] for name in name_segments(["x" * 70, "x" * 71])]
    (['left/lung', 'organ'], ['x 1', 'x 2'])
    """
    names = [_as_text(label) for label in labels]
    endings = [f" {number}" for number in range(1, len(names) + 1)]
    return [
        name if name and names.count(name) == 1 else f"{name[: LONGEST - len(ending)]}{ending}"
        for name, ending in zip(names, endings, strict=True)
    ]


def _as_text(name: str) -> str:
    return name.replace("\\", "/").strip()[:LONGEST]


def _segments(stored: NDArray[Any], task: Task) -> NDArray[Any]:
    """Number labels from 1; regions, which share voxels, get a mask each on a last axis."""
    wanted = list(task.foreground.values())
    if task.overlap is not None:
        return np.moveaxis(unpack_masks(np.moveaxis(stored, -1, 0), len(wanted)), 0, -1)
    if task.has_regions:
        return np.stack([np.isin(stored, values) for values in wanted], axis=-1).astype(np.uint8)
    numbers = np.zeros(max(int(stored.max(initial=0)), *task.values) + 1, dtype=np.uint16)
    for number, values in enumerate(wanted, 1):
        numbers[list(values)] = number
    numbered: NDArray[Any] = numbers[stored]
    return numbered


def _describe_segment(highdicom: Any, number: int, name: str) -> Any:
    coded, algorithm = highdicom.sr.CodedConcept, highdicom.AlgorithmIdentificationSequence
    return highdicom.seg.SegmentDescription(
        segment_number=number,
        segment_label=name,
        segmented_property_category=coded("123037004", "SCT", "Anatomical Structure"),
        segmented_property_type=coded(f"LABEL-{number}", LOCAL, name),
        algorithm_type=highdicom.seg.SegmentAlgorithmTypeValues.AUTOMATIC,
        algorithm_identification=algorithm(
            name=MAKER,
            family=coded("123109", "DCM", "Artificial Intelligence"),
            version=ingradient_pl.__version__,
        ),
    )


def _package(name: str) -> Any:
    otherwise = "Without it, write .nii.gz."
    return require(name, "DICOM segmentations", "ingradient_pl[dicom]", otherwise, ImageError)
