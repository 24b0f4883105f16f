"""DICOM as archives hand it out: folders of series, and segmentation objects (SEG) that refer to them."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from ingradient_pl.datasets.case_names import is_hidden
from ingradient_pl.datasets.layout_records import Layout, case_of
from ingradient_pl.datasets.records import Fault, SourceError
from ingradient_pl.images import dicom
from ingradient_pl.images.dicom_file import is_dicom_file, read_header
from ingradient_pl.images.dicom_segments import Segments, is_segmentation, read_segments
from ingradient_pl.images.raw_image import ImageError

DEEPEST = 5
"""Folders below the data set's that are looked into: patient, study, series and two to spare."""

IDENTITY = ("SeriesInstanceUID", "PatientID", "Modality")


class Series(NamedTuple):
    """A folder that holds a series.

    Args:
        name: Of the case: the folder right below the data set's, and what tells several in it apart.
        folder: Its own.
        uid: ``SeriesInstanceUID`` of its first file.
        patient: ``PatientID``, which is compared and not kept.
        modality: Such as ``CT``.
    """

    name: str
    folder: Path
    uid: str
    patient: str
    modality: str


def series_folders(name: str, folder: Path, depth: int = DEEPEST) -> list[tuple[str, Path]]:
    """Find the folders of DICOM series in a folder, which those of segmentations are not.

    Args:
        name: Of the case, where there is one series; of several, each folder's name is added.
        folder: Looked into, and the folders in it.
        depth: How many folders deep.
    """
    return [] if _holds_segmentations(folder) else _find_series(name, folder, depth)


def _find_series(name: str, folder: Path, depth: int) -> list[tuple[str, Path]]:
    """Find the folders of series in one that does not hold segmentations."""
    inside = [one for one in _folders(folder) if not _holds_segmentations(one)]
    if not depth or dicom.holds_series(folder) or not inside:
        return [(name, folder)]
    found = []
    for entry in inside:
        found += _find_series(name if len(inside) == 1 else f"{name}_{entry.name}", entry, depth - 1)
    return found


def dicom_layout(folder: Path) -> tuple[Layout, dict[str, Any]] | None:
    """Sort folders of DICOM series: a case is a series that a segmentation object refers to.

    Args:
        folder: With a folder for each patient, each with folders of series, however nested.

    Returns:
        The cases, and what a ``dataset.json`` would say of them; None where no segmentation object is found.

    Raises:
        SourceError: If the series that were segmented are of several modalities.
    """
    objects = [file for file in _files(folder, DEEPEST) if is_segmentation(file)]
    if not objects:
        return None
    places = [one for top in _folders(folder) for one in series_folders(top.name, top)]
    series = [one for name, place in places for one in _identify(name, place)]
    labels, names, faults = _match(folder, objects, series)
    taken = [one for one in series if one.uid in labels]
    kinds = Counter(one.modality for one in taken)
    if len(kinds) > 1:
        told = ", ".join(f"{kind or 'unknown'} ({count})" for kind, count in kinds.items())
        raise SourceError(
            f"{folder}: segmentations refer to series of several modalities: {told}. Give a table "
            "of those that belong together."
        )
    tops = _patients(folder, series)
    cases = [
        case_of(one.name, (one.folder,), labels[one.uid])._replace(group=tops[one.folder]) for one in taken
    ]
    bare = [one.name for one in series if one.uid not in labels]
    remarks = [f"{len(bare)} series have no segmentation and are left out: {_some(bare)}."] if bare else []
    described = {
        "name": folder.resolve().name,
        "channel_names": {"0": next(iter(kinds), "") or "image"},
        "labels": {"background": 0, **{name: number for number, name in sorted(names.items())}},
    }
    return Layout(cases, tuple(faults), tuple(remarks)), described


def _match(
    folder: Path, objects: list[Path], series: list[Series]
) -> tuple[dict[str, Path], dict[int, str], list[Fault]]:
    """Give the segmentation of each series by its UID, what segments are called, and what does not fit."""
    labels: dict[str, Path] = {}
    names: dict[int, str] = {}
    faults = []
    known = {one.uid for one in series}
    for file in objects:
        case = file.relative_to(folder).parts[0]
        try:
            found = read_segments(file)
            (uid,) = [uid for uid in found.series if uid in known] or [""]
            reason = _describe_fault(uid, found, labels, names)
        except ImageError as error:
            uid, found, reason = "", Segments((), {}), str(error)
        except ValueError:
            uid, found, reason = "", Segments((), {}), "it refers to several series. Give a table."
        if reason:
            faults.append(Fault(case, file, reason))
        else:
            labels[uid] = file
            names |= found.names
    return labels, names, faults


def _describe_fault(uid: str, found: Segments, labels: dict[str, Path], names: dict[int, str]) -> str:
    """Say why a segmentation cannot be the label of a case; empty where it can."""
    if not uid:
        return "the series that it refers to is not in the folder. Add the series, or remove the object."
    if uid in labels:
        return f"{labels[uid]} refers to the same series. Keep one, or give a table with one for each case."
    for number, name in found.names.items():
        if names.get(number, name) != name:
            return (
                f"its segment {number} is '{name}', that of other objects '{names[number]}'. Number segments "
                "alike, or give a table of label maps."
            )
    return ""


def _patients(folder: Path, series: list[Series]) -> dict[Path, str]:
    """Give the patient of each series: the folder right below, or that of the first one with its PatientID.

    Where every series has one and the same, an anonymised one, the folders alone tell.
    """
    tops = {one.folder: one.folder.relative_to(folder).parts[0] for one in series}
    if len({one.patient for one in series}) < 2:  # noqa: PLR2004
        return tops
    first: dict[str, str] = {}
    for one in series:
        first.setdefault(one.patient or f"\0{tops[one.folder]}", tops[one.folder])
    return {one.folder: first[one.patient or f"\0{tops[one.folder]}"] for one in series}


def _holds_segmentations(folder: Path) -> bool:
    """Whether what lies in a folder is segmentation objects, and no folder."""
    first = next(_dicom_files(folder), None)
    return first is not None and is_segmentation(first) and not _folders(folder)


def _identify(name: str, folder: Path) -> list[Series]:
    """Read which series lies in a folder; empty where none does."""
    first = next((file for file in _dicom_files(folder) if not is_segmentation(file)), None)
    if first is None:
        return []
    header = read_header(first, [*IDENTITY])
    uid, patient, modality = (str(header.get(tag) or "") for tag in IDENTITY)
    return [Series(name, folder, uid, patient, modality)]


def _dicom_files(folder: Path) -> Iterator[Path]:
    return (file for file in sorted(folder.iterdir()) if not is_hidden(file) and is_dicom_file(file))


def _folders(folder: Path) -> list[Path]:
    return [entry for entry in sorted(folder.iterdir()) if entry.is_dir() and not is_hidden(entry)]


def _files(folder: Path, depth: int) -> Iterator[Path]:
    yield from _dicom_files(folder)
    if depth:
        for inside in _folders(folder):
            yield from _files(inside, depth - 1)


def _some(names: list[str], most: int = 5) -> str:
    return ", ".join(names[:most]) + (", ..." if len(names) > most else "")
