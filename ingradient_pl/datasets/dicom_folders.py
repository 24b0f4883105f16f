"""DICOM as archives hand it out: folders of series, and segmentations (SEG, RTSTRUCT) that refer to them."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from ingradient_pl.datasets.case_names import is_hidden
from ingradient_pl.datasets.layout_records import Layout, case_of
from ingradient_pl.datasets.records import CaseFiles, Fault, Source, SourceError
from ingradient_pl.images import dicom
from ingradient_pl.images.dicom_file import is_dicom_file, read_class, read_header
from ingradient_pl.images.dicom_labels import Segments
from ingradient_pl.images.formats import ending
from ingradient_pl.images.label_objects import describe_object, is_label_object
from ingradient_pl.images.raw_image import ImageError
from ingradient_pl.phrases import name_some

DEEPEST = 5
"""Folders below the data set's that are looked into: patient, study, series and two to spare."""

IDENTITY = ("SeriesInstanceUID", "PatientID", "Modality")


IMAGES = "Image Storage"
"""What the names of classes of images end in."""
BACKGROUND = "background"
MOST = 2**16
"""Integers that a label map can hold."""


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
        SourceError: If no object is the label of a series, or those that were segmented are of several
            modalities.
    """
    objects = [file for file in _files(folder, DEEPEST) if is_label_object(file)]
    if not objects:
        return None
    places = [one for top in _folders(folder) for one in series_folders(top.name, top)]
    series = [one for name, place in places for one in _identify(name, place)]
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
    cases = [
        case_of(one.name, (one.folder,), labels[one.uid].file)._replace(group=tops[one.folder])
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
        "labels": {"background": 0, **unite_names(one.names for one in labels.values())},
    }
    return Layout(cases, tuple(faults), (told,) if bare else ()), described


def describe_unread(folder: Path) -> str:
    """Say which DICOM files are neither images nor labels, with a space before it; nothing if all are.

    Args:
        folder: Looked into, and the folders in it.
    """
    found = [str(file.relative_to(folder)) for file in _files(folder, DEEPEST) if not _is_known(file)]
    return f" DICOM files that are neither images nor labels: {name_some(found)}." if found else ""


def _is_known(file: Path) -> bool:
    try:
        return is_label_object(file) or read_class(file).endswith(IMAGES)
    except ImageError:
        return False


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


def unite_names(found: Iterable[Segments]) -> dict[str, int]:
    """Give each name of a segment one integer: its own number, unless another name has it already.

    Args:
        found: What label objects name, in an order that stays. Small letters and capitals are one name.
    """
    labels: dict[str, int] = {}
    known = {BACKGROUND}
    later = []
    for number, name in (named for one in found for named in one.names.items()):
        if name.casefold() in known:
            continue
        known.add(name.casefold())
        if 0 < number < MOST and number not in labels.values():
            labels[name] = number
        else:
            later.append(name)
    for name in later:
        labels[name] = max(labels.values(), default=0) + 1
    return dict(sorted(labels.items(), key=lambda entry: entry[1]))


def object_labels(cases: Sequence[CaseFiles]) -> dict[str, int] | None:
    """Give the labels that DICOM objects name, with an integer each; None where other files are labels.

    Args:
        cases: With or without a label. An object that cannot be read is reported when it is prepared.
    """
    files = [case.label for case in cases if case.label is not None]
    if not files or not all(map(_is_label, files)):
        return None
    found = []
    for file in files:
        with suppress(ImageError):
            found.append(describe_object(file))
    return unite_names(found)


def _is_label(file: Path) -> bool:
    """Whether a label file is a DICOM object; one whose name is of another format is not opened."""
    return not ending(file) and is_label_object(file)


def name_labels(source: Source) -> Source:
    """Give cases whose label is a DICOM object the integers that its segments have by name.

    Args:
        source: Its task names the labels; regions and labels that may overlap have no integer.
    """
    task = source.task
    values = {} if task.has_regions else {name: value for name, (value, *_) in task.foreground.items()}
    told = tuple(values.items()) if task.overlap is None else ()
    cases = [
        case._replace(labels=told) if case.label and _is_label(case.label) else case for case in source.cases
    ]
    return source._replace(cases=cases)


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
    return first is not None and is_label_object(first) and not _folders(folder)


def _identify(name: str, folder: Path) -> list[Series]:
    """Read which series lies in a folder; empty where none does."""
    first = next((file for file in _dicom_files(folder) if not is_label_object(file)), None)
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
