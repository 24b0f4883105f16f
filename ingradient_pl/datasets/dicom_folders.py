"""DICOM as archives hand it out: folders of series, and segmentations (SEG, RTSTRUCT) that refer to them."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from ingradient_pl.datasets.case_names import is_hidden
from ingradient_pl.datasets.layout_records import Layout, case_of
from ingradient_pl.datasets.object_labels import unite_names
from ingradient_pl.datasets.records import Fault, SourceError
from ingradient_pl.images.dicom_file import read_class, read_header
from ingradient_pl.images.dicom_labels import Segments
from ingradient_pl.images.dicom_slices import IMAGE_CLASS
from ingradient_pl.images.label_objects import describe_object, is_label_class
from ingradient_pl.images.raw_image import ImageError
from ingradient_pl.phrases import name_some

DEEPEST = 5
"""Folders below the data set's that are looked into: patient, study, series and two to spare."""

IDENTITY = ("SeriesInstanceUID", "PatientID", "Modality")


class _Classes(dict[Path, str | None]):
    """The class of each DICOM file, read when it is first asked for; None of others, empty of damaged ones.

    It is made anew for each question that is asked of a folder, and so is never older than that.
    """

    def __missing__(self, file: Path) -> str | None:
        try:
            found = read_class(file)
        except ImageError:
            found = ""  # named by who reads it as an image
        self[file] = found
        return found


class _Object(NamedTuple):
    """The file of a segmentation, and what it names."""

    file: Path
    names: Segments


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


def series_folders(name: str, folder: Path) -> list[tuple[str, Path]]:
    """Find the folders of DICOM series in a folder, which those of segmentations are not.

    Args:
        name: Of the case, where there is one series; of several, each folder's name is added.
        folder: Looked into, and the folders in it.
    """
    return _find_series(name, folder, DEEPEST, _Classes())


def _find_series(name: str, folder: Path, depth: int, classes: _Classes) -> list[tuple[str, Path]]:
    if _holds_segmentations(folder, classes):
        return []
    inside = [one for one in _folders(folder) if not _holds_segmentations(one, classes)]
    if not depth or not inside or any(_dicom_files(folder, classes)):
        return [(name, folder)]
    found = []
    for entry in inside:
        named = name if len(inside) == 1 else f"{name}_{entry.name}"
        found += _find_series(named, entry, depth - 1, classes)
    return found


def dicom_layout(folder: Path) -> tuple[Layout, dict[str, Any]] | None:
    """Sort folders of DICOM series: a case is a series that a segmentation object refers to.

    Args:
        folder: With a folder for each patient, each with folders of series, however nested.

    Returns:
        The cases, and what a ``dataset.json`` would say of them; None where no segmentation object is found.

    Raises:
        SourceError: If no object is the label of a series, or those that were segmented are of several
            modalities.
    """
    classes = _Classes()
    objects = [file for file in _files(folder, DEEPEST, classes) if is_label_class(classes[file] or "")]
    if not objects:
        return None
    places = [one for top in _folders(folder) for one in _find_series(top.name, top, DEEPEST, classes)]
    series = [one for name, place in places for one in _identify(name, place, classes)]
    labels, faults = _match(folder, objects, {one.uid for one in series})
    taken = [one for one in series if one.uid in labels]
    if not taken:
        reasons = [fault.reason.removeprefix(f"{fault.file}: ") for fault in faults]
        named = [f"{fault.file}: {reason}" for fault, reason in zip(faults, reasons, strict=True)]
        raise SourceError(f"{folder}: no series has a label. {name_some(named)}")
    kinds = Counter(one.modality for one in taken)
    if len(kinds) > 1:
        told = ", ".join(f"{kind or 'unknown'} ({count})" for kind, count in kinds.items())
        raise SourceError(
            f"{folder}: segmentations refer to series of several modalities: {told}. Give a table "
            "of those that belong together."
        )
    tops = _patients(folder, series)
    integers = unite_names(one.names for one in labels.values())
    cases = [
        case_of(one.name, (one.folder,), labels[one.uid].file)._replace(
            group=tops[one.folder], labels=tuple(integers.items())
        )
        for one in taken
    ]
    bare = [one.name for one in series if one.uid not in labels]
    told = (
        f"{len(bare)} series have no segmentation and are left out: {name_some(bare)}. Series that are "
        "channels of a case are named in a table: image_0, image_1, each the folder of one."
    )
    described = {
        "name": folder.resolve().name,
        "channel_names": {"0": next(iter(kinds), "") or "image"},
        "labels": {"background": 0, **integers},
    }
    return Layout(cases, tuple(faults), (told,) if bare else ()), described


def describe_unread(folder: Path) -> str:
    """Say which DICOM files are neither images nor labels, with a space before it; nothing if all are.

    Args:
        folder: Looked into, and the folders in it.
    """
    classes = _Classes()
    kinds = {file: classes[file] or "" for file in _files(folder, DEEPEST, classes)}
    found = [
        str(file.relative_to(folder))
        for file, kind in kinds.items()
        if not is_label_class(kind) and not kind.endswith(IMAGE_CLASS)
    ]
    return f" DICOM files that are neither images nor labels: {name_some(found)}." if found else ""


def _match(folder: Path, objects: list[Path], known: set[str]) -> tuple[dict[str, _Object], list[Fault]]:
    """Give the segmentation of each series by its UID, and what does not fit."""
    labels: dict[str, _Object] = {}
    faults = []
    for file in objects:
        try:
            found = describe_object(file)
            (uid,) = [uid for uid in found.series if uid in known] or [""]
            reason = _describe_fault(uid, found, labels)
        except ImageError as error:
            uid, found, reason = "", Segments((), {}), str(error)
        except ValueError:
            uid, found, reason = "", Segments((), {}), "it refers to several series. Give a table."
        if reason:
            faults.append(Fault(file.relative_to(folder).parts[0], file, reason))
        else:
            labels[uid] = _Object(file, found)
    return labels, faults


def _describe_fault(uid: str, found: Segments, labels: dict[str, _Object]) -> str:
    """Say why a segmentation cannot be the label of a case; empty where it can."""
    if not uid:
        return "the series that it refers to is not in the folder. Add the series, or remove the object."
    if uid in labels:
        return (
            f"{labels[uid].file} refers to the same series. Keep one, or give a table with one for each case."
        )
    if not found.names:
        return "it holds no segment, or no structure with contours. Remove it, or export it again."
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


def _holds_segmentations(folder: Path, classes: _Classes) -> bool:
    """Whether what lies in a folder is segmentation objects, and no folder."""
    first = next(_dicom_files(folder, classes), None)
    return first is not None and is_label_class(classes[first] or "") and not _folders(folder)


def _identify(name: str, folder: Path, classes: _Classes) -> list[Series]:
    """Read which series lies in a folder; empty where none does."""
    files = _dicom_files(folder, classes)
    first = next((file for file in files if not is_label_class(classes[file] or "")), None)
    if first is None:
        return []
    header = read_header(first, [*IDENTITY])
    uid, patient, modality = (str(header.get(tag) or "") for tag in IDENTITY)
    return [Series(name, folder, uid, patient, modality)]


def _dicom_files(folder: Path, classes: _Classes) -> Iterator[Path]:
    files = sorted(folder.iterdir())
    return (file for file in files if not is_hidden(file) and classes[file] is not None)


def _folders(folder: Path) -> list[Path]:
    return [entry for entry in sorted(folder.iterdir()) if entry.is_dir() and not is_hidden(entry)]


def _files(folder: Path, depth: int, classes: _Classes) -> Iterator[Path]:
    yield from _dicom_files(folder, classes)
    if depth:
        for inside in _folders(folder):
            yield from _files(inside, depth - 1, classes)
