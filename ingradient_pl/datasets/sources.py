"""Where cases come from: nnU-Net's layout, the Decathlon's, npz + pkl pairs, DICOM, a table of paths."""

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ingradient_pl.datasets import tables
from ingradient_pl.datasets.annotated import ANNOTATED, annotate_cases, check_annotated
from ingradient_pl.datasets.case_masks import MISSING_LABELS, find_masks, settle_masks, with_masks
from ingradient_pl.datasets.case_names import check_cases, is_hidden
from ingradient_pl.datasets.datalists import datalist_layout
from ingradient_pl.datasets.descriptions import read_description, read_places, task_of
from ingradient_pl.datasets.dicom_folders import describe_unread, dicom_layout, series_folders
from ingradient_pl.datasets.folder_patterns import (
    IMAGE_FILES,
    leave_unlabelled,
    pattern_layout,
)
from ingradient_pl.datasets.groups import PATTERN, GroupError, group_cases
from ingradient_pl.datasets.layout_records import Layout
from ingradient_pl.datasets.layouts import (
    DESCRIPTION,
    FIRST_CHANNEL,
    describe_endings,
    mapped_layout,
    predicted_layout,
    raw_layout,
)
from ingradient_pl.datasets.object_labels import name_labels
from ingradient_pl.datasets.overlap import Places
from ingradient_pl.datasets.pair_layout import holds_pairs, pair_case, pairs_layout
from ingradient_pl.datasets.propose import propose_description
from ingradient_pl.datasets.records import CaseFiles, Fault, Source, SourceError, strip_ending
from ingradient_pl.datasets.scanned_task import scan_task
from ingradient_pl.datasets.source_channels import describe_channels, named_channels, order_channels
from ingradient_pl.images import dicom, pairs
from ingradient_pl.images.formats import ending
from ingradient_pl.phrases import name_some
from ingradient_pl.task import Task

__all__ = ["CaseFiles", "Fault", "Source", "SourceError", "images_only", "read_source"]

_NO_TASK = Task(("unknown",), {"unknown": 1})
"""Stands where names are checked before the task is known."""


def read_source(path: Path, group_pattern: str = PATTERN) -> Source:
    """Find the cases of a data set; nothing but its description is read.

    Args:
        path: A folder in nnU-Net's raw layout or the Medical Decathlon's (both with a ``dataset.json``), a
            folder of npz + pkl pairs or of DICOM series with their segmentations, or a table: .csv with the
            columns ``case, image_0, image_1, ..., label, group, split``, or .json with a list of such
            records. Paths in a table are relative to it.
        group_pattern: Regular expression that finds the patient in a case's name; a table's ``group`` wins.

    Raises:
        SourceError: If the data set as a whole cannot be understood; every reason at once. What is wrong with
            single cases is in the source's ``faults``.
    """
    path = Path(path)
    if not path.exists():
        raise SourceError(f"{path}: no such file or folder. Give the data set's folder or its table.")
    if not path.is_dir() and not path.is_file():
        raise SourceError(
            f"{path}: a pipe or a device. Give the data set's folder or its table, a plain file."
        )
    if path.is_file() and path.name != DESCRIPTION:
        return _without_faulty(check_cases(tables.read(path, read_description(path.parent), group_pattern)))
    folder = path if path.is_dir() else path.parent
    described = read_description(folder)
    if holds_pairs(folder):
        return _source(pairs_layout(folder), described, folder, group_pattern)
    if described is None:
        return _source(*_export_layout(folder), folder, group_pattern)
    _refuse_store(described, folder)
    return _source(_described_layout(folder, described), described, folder, group_pattern)


def _described_layout(folder: Path, described: Mapping[str, Any]) -> Layout:
    """Sort the files of a folder as its ``dataset.json`` says."""
    task, places = task_of(described, folder), read_places(described, folder)
    if IMAGE_FILES in described:
        return leave_unlabelled(pattern_layout(folder, task.channels, described, places))
    if isinstance(described.get("dataset"), Mapping):
        return mapped_layout(described["dataset"], folder, places)
    if isinstance(described.get("training"), list) and described["training"]:
        return datalist_layout(described, folder, places)
    return raw_layout(folder, task, described)


def _export_layout(folder: Path) -> tuple[Layout, dict[str, Any]]:
    """Sort a folder that nothing describes: DICOM series with their segmentations, or nothing known."""
    found = dicom_layout(folder)
    if found is not None:
        return found
    above = " Did you mean the folder above?" if (folder.parent / DESCRIPTION).is_file() else ""
    raise SourceError(
        f"{folder}: no known data set.{above} There is no dataset.json (nnU-Net's or the Decathlon's "
        "layout), nor a .npz + .pkl pair, nor DICOM series with segmentations (SEG, RTSTRUCT). For other "
        "layouts give a .csv or .json table with the paths of images (a file, or the folder of a DICOM "
        "series) and labels."
        f"{describe_unread(folder)}{propose_description(folder)}"
    )


def _refuse_store(described: Mapping[str, Any], folder: Path) -> None:
    """Refuse a case store, which was prepared already."""
    if "store_format" in described:
        raise SourceError(
            f"{folder} is a case store already. Plan for it and train on it: ingradient plan --store "
            f"{shlex.quote(str(folder))}; or give the data set that it was made from "
            f"({described.get('source')})."
        )


def images_only(path: Path, task: Task) -> Source:
    """Find cases to predict: a folder of ``CASE_0000.ext`` files, a raw data set, pairs or a table.

    What is wrong with single cases is in the answer's ``faults``; all others can be predicted.

    A folder of files without channel numbers is taken where the task has one channel: each is a case, and so
    is each DICOM series in folders below (named after them: PATIENT, or PATIENT_SERIES of several). Labels
    come along where the source names them; a raw data set may also lack them.

    Args:
        path: A folder, a table or one image file.
        task: Of the model that is to predict; its channels are wanted.

    Raises:
        SourceError: If there is none, or it is not clear which of its channels is which of the task's.
    """
    path = Path(path)
    if path.is_file() and (ending(path) or pairs.is_pair(path) or dicom.readable(path)):
        return check_cases(_single_file(path, task))
    if not path.exists():
        raise SourceError(f"{path}: no such file or folder. Give a folder of images or a table of paths.")
    if path.is_file() and path.name != DESCRIPTION:
        source = tables.read_to_predict(path, read_description(path.parent), PATTERN, task)
        return _without_faulty(check_cases(_for_model(source, source.task.channels, task)))
    described = None if path.is_file() else read_description(path)
    raw = described is not None and not {"dataset", "training", IMAGE_FILES} & set(described)
    if path.is_file() or (described is not None and not raw):
        source = _read_listed(path, described or {})
        return _without_faulty(_for_model(source, source.task.channels, task))
    labels = _labels(path / "labelsTr") if raw else {}
    places = read_places(described, path) if raw and described is not None else None
    inside = path / "imagesTr" if raw and not holds_pairs(path) else path
    layout = predicted_layout(inside, len(task.channels), labels)
    _refuse_nested(inside, layout.cases)
    cases = []
    for case in layout.cases:
        for name, images in _images(case):
            cases.append(_with_label(case, name, images, labels, path / "labelsTr", places))
    if not cases and not layout.faults:
        raise SourceError(f"{path}: no image in it. Images end in .nii.gz, .nrrd, .mha, ...")
    told = described.get(ANNOTATED) if raw and described is not None else None
    cases = annotate_cases(cases, told, path / DESCRIPTION, {fault.case for fault in layout.faults})
    source = Source(task, sorted(cases, key=_name), tuple(layout.faults), tuple(layout.remarks), path)
    return _without_faulty(check_cases(_for_model(source, named_channels(described or {}), task)))


def _for_model(source: Source, channels: Sequence[str], task: Task) -> Source:
    """Give a source the task of a model, channels by name; remark on another order and other names."""
    order = order_channels(source.path, channels, task)
    cases = [case._replace(channels=order) for case in source.cases] if order else source.cases
    return source._replace(
        task=task, cases=cases, remarks=(*source.remarks, *describe_channels(source.path, channels, task))
    )


def _refuse_nested(folder: Path, cases: Sequence[CaseFiles]) -> None:
    """Refuse folders of image files where a folder of images, or folders of DICOM series, were wanted."""
    folders = [case.images[0] for case in cases if case.images and case.images[0].is_dir()]
    counts = {
        one: sum(1 for file in one.iterdir() if ending(file) and not is_hidden(file)) for one in folders
    }
    held = {one: count for one, count in counts.items() if count and not dicom.holds_series(one)}
    if held:
        some = name_some([f"{one.name} ({count})" for one, count in held.items()])
        first = next((one for one in held if "image" in one.name.lower()), next(iter(held)))
        raise SourceError(
            f"{folder}: image files lie in folders of it: {some}. Give the folder that "
            f"holds the images, such as {first}, or a table of paths.{propose_description(folder)}"
        )


def _read_listed(path: Path, described: dict[str, Any]) -> Source:
    """Find the cases that a description lists or gives patterns of, those without a label among them."""
    if IMAGE_FILES not in described:
        return read_source(path)
    channels = task_of(described, path).channels
    return _source(
        pattern_layout(path, channels, described, read_places(described, path)), described, path, PATTERN
    )


def _with_label(
    case: CaseFiles,
    name: str,
    images: tuple[Path, ...],
    labels: Mapping[str, Path],
    folder: Path,
    places: Places | None,
) -> CaseFiles:
    """Give a case to predict with its label, where there is one: all files of it, if labels may overlap."""
    made = CaseFiles(name, images, case.label or labels.get(name), name)
    if places is None:
        return made
    masks = find_masks(folder, name, places)
    return with_masks(made, masks if all(mask.path.is_file() for mask in masks) else ())


def _single_file(path: Path, task: Task) -> Source:
    """Take one image file, or the npz of a pair, for a data set of one case."""
    if pairs.is_pair(path):
        made = pair_case(path, path.with_suffix(".pkl"))
        if isinstance(made, Fault):
            return Source(task, [], (made,), path=path)
        return Source(task, [made], path=path)
    stem = strip_ending(path)
    name = FIRST_CHANNEL.sub("", stem) or stem if len(task.channels) == 1 else stem
    return Source(task, [CaseFiles(name, (path,), None, stem)], path=path)


def _images(case: CaseFiles) -> list[tuple[str, tuple[Path, ...]]]:
    """Give the images of a case, or of each DICOM series in its folder, by name."""
    if not case.images[0].is_dir():
        return [(case.name, case.images)]
    return [(name, (folder,)) for name, folder in series_folders(case.name, case.images[0])]


def _labels(folder: Path) -> dict[str, Path]:
    """Find label files by case, where there are any: those who score predictions want them."""
    files = sorted(folder.iterdir(), reverse=True) if folder.is_dir() else []
    return {strip_ending(file): file for file in files if ending(file) and not is_hidden(file)}


def _source(layout: Layout, described: dict[str, Any] | None, folder: Path, pattern: str) -> Source:
    if not layout.cases and not layout.faults:
        raise SourceError(f"{folder}: there is no case in it.{_hint(folder, described or {})}")
    found = check_cases(Source(_NO_TASK, sorted(layout.cases, key=_name), layout.faults))
    try:
        groups = group_cases([case.name for case in found.cases], pattern)
    except GroupError as error:
        raise SourceError(str(error)) from error
    cases = [
        case._replace(group=groups[case.name]) if case.group == case.name else case for case in found.cases
    ]
    if described is None and not cases:
        raise SourceError("; ".join(map(str, found.faults)))
    task = scan_task(cases, folder.resolve().name) if described is None else task_of(described, folder)
    remarks = list(layout.remarks)
    promised = (described or {}).get("numTraining")
    faulty = {fault.case for fault in found.faults}
    there = len(cases) + len(faulty)
    if isinstance(promised, int) and promised != there:
        remarks.append(f"dataset.json promises {promised} cases ('numTraining'); there are {there}.")
    cases = annotate_cases(cases, (described or {}).get(ANNOTATED), folder / DESCRIPTION, faulty)
    made = Source(task, cases, found.faults, tuple(remarks), folder)
    made = settle_masks(made, (described or {}).get(MISSING_LABELS), folder / DESCRIPTION)
    return name_labels(check_annotated(made, folder / DESCRIPTION))


def _hint(folder: Path, described: Mapping[str, Any]) -> str:
    found = describe_endings(folder / "imagesTr")
    if not found:
        return " Images belong into imagesTr, named CASE_0000.nii.gz, or into a list in dataset.json."
    return f" 'file_ending' is '{described.get('file_ending', '')}', but {found}. Correct dataset.json."


def _without_faulty(source: Source) -> Source:
    faulty = {fault.case for fault in source.faults}
    return name_labels(source._replace(cases=[case for case in source.cases if case.name not in faulty]))


def _name(case: CaseFiles) -> str:
    return case.name
