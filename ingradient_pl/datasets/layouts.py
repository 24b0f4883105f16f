"""Where each layout keeps its files: folders walked and names sorted into cases, nothing read."""

import os
import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from ingradient_pl.datasets.annotated import ANNOTATED, read_annotated
from ingradient_pl.datasets.case_masks import find_cases, find_masks, place_label, with_masks
from ingradient_pl.datasets.case_names import describe_twins, is_hidden
from ingradient_pl.datasets.layout_records import Layout, case_of
from ingradient_pl.datasets.near_names import NearNames
from ingradient_pl.datasets.overlap import Places, read_labels
from ingradient_pl.datasets.pair_layout import holds_pairs, pairs_layout
from ingradient_pl.datasets.records import Fault, SourceError, place_path, strip_ending
from ingradient_pl.images import dicom
from ingradient_pl.images.formats import ending
from ingradient_pl.images.known_formats import is_picture
from ingradient_pl.phrases import name_some
from ingradient_pl.task import Task

DESCRIPTION = "dataset.json"
RAW_FOLDERS = ("imagesTr", "labelsTr", "imagesTs", "labelsTs")
"""Folders of nnU-Net's raw layout."""
CHANNEL = re.compile(r"^(?P<case>.+)_(?P<channel>\d{4})\Z", re.DOTALL)
FIRST_CHANNEL = re.compile(r"_0000\Z")

Named = list[tuple[str, Path]]
"""Files by what their names say without ending; two may say the same."""


def raw_layout(folder: Path, task: Task, described: Mapping[str, Any]) -> Layout:
    """Sort nnU-Net's raw layout: imagesTr, labelsTr.

    Args:
        folder: Holds ``imagesTr`` and ``labelsTr``.
        task: Its channels say how many files a case has.
        described: The content of ``dataset.json``; ``file_ending`` picks the files, where it is given.
    """
    _check_folders(folder)
    if task.overlap is not None:
        return _mask_layout(folder, task, described)
    suffix = _suffix(folder, described)
    labels: dict[str, list[Path]] = {}
    for name, file in find_images(folder / "labelsTr", suffix):
        labels.setdefault(name, []).append(file)
    layout = channel_files(
        *(find_images(folder / "imagesTr", suffix), len(task.channels), folder / "imagesTr", labels)
    )
    faults = list(layout.faults)
    named = {case.name for case in layout.cases}
    faulty = {fault.case for fault in faults}
    used = [labels[name][0] for name in named & set(labels)]
    near = NearNames(folder / "labelsTr", used)
    for name in sorted(named - set(labels)):
        reason = f"its label is missing. Add it, or move the image to imagesTs.{near.hint(name)}"
        faults.append(Fault(name, folder / "labelsTr" / f"{name}{task.file_ending}", reason))
    near = NearNames(
        folder / "imagesTr", [file for case in layout.cases for file in case.images if case.name in labels]
    )
    for name in sorted(set(labels) - named - faulty):
        reason = f"a label without an image. Add the image or remove the label.{near.hint(name)}"
        faults.append(Fault(name, labels[name][0], reason))
    for name, files in labels.items():
        faults += describe_twins(name, files) if len(files) > 1 else []
    cases = [case._replace(label=labels[case.name][0]) for case in layout.cases if case.name in labels]
    twins = {name for name, files in labels.items() if len(files) > 1}
    return Layout([case for case in cases if case.name not in twins], tuple(faults), layout.remarks)


def _suffix(folder: Path, described: Mapping[str, Any]) -> str:
    """Give the ending of the data set's files, with its dot.

    Raises:
        SourceError: If it is none that is read.
    """
    told = described.get("file_ending") or ""
    suffix = f".{told}" if isinstance(told, str) and told and not told.startswith(".") else told
    if isinstance(suffix, str) and (not suffix or ending(Path(f"x{suffix}")) == suffix.lower()):
        return suffix
    found = describe_endings(folder / "imagesTr")
    said = f" {found}." if found else ""
    raise SourceError(
        f"{folder / DESCRIPTION}: 'file_ending' is {told!r}, of no image format.{said} Correct it."
    )


def describe_endings(folder: Path) -> str:
    """Say what most image files of a folder end in, as they write it; empty where there are none.

    Args:
        folder: It need not exist.
    """
    there = Counter(
        _own_ending(entry) for entry in (folder.iterdir() if folder.is_dir() else ()) if ending(entry)
    )
    return "".join(f"{count} files in {folder} end in '{one}'" for one, count in there.most_common(1))


def _mask_layout(folder: Path, task: Task, described: Mapping[str, Any]) -> Layout:
    """Sort the raw layout where labels may overlap: a case has a file for each, or one with channels."""
    places = read_labels(described)[1] or {}
    suffix, images, labels = _suffix(folder, described), folder / "imagesTr", folder / "labelsTr"
    labelled = find_cases(labels, places)
    layout = channel_files(find_images(images, suffix), len(task.channels), images, labelled)
    faulty = {*(fault.case for fault in layout.faults), *(case.name for case in layout.cases)}
    stray = [
        Fault(
            name,
            find_masks(labels, name, places)[0].path,
            "a label without an image. Add the image or remove it.",
        )
        for name in labelled
        if name not in faulty
    ]
    cases = [with_masks(case, find_masks(labels, case.name, places)) for case in layout.cases]
    return Layout(cases, (*layout.faults, *stray), layout.remarks)


def _check_folders(folder: Path) -> None:
    wrong = [
        f"{folder / name} is missing" for name in ("imagesTr", "labelsTr") if not (folder / name).is_dir()
    ]
    if wrong:
        raise SourceError(
            f"{'; '.join(wrong)}. nnU-Net's raw layout has imagesTr, labelsTr and dataset.json."
        )


def channel_files(found: Named, channels: int, folder: Path, labelled: Collection[str] = ()) -> Layout:
    """Sort files named CASE_0000 into cases; one that lacks a channel or has one too many is a fault.

    Where the task has one channel a number is not a channel's if no file of its group has 0000, or if labels
    of just these names are there: the names of cases end in four digits, too.

    Args:
        found: Image files by name without ending.
        channels: How many the task has.
        folder: Where they lie.
        labelled: Names of cases that have a label.
    """
    numbered: dict[str, dict[int, list[Path]]] = {}
    single: Named = []
    for stem, path in found:
        match = CHANNEL.match(stem)
        if match:
            numbered.setdefault(match["case"], {}).setdefault(int(match["channel"]), []).append(path)
        else:
            single.append((stem, path))
    stray = [path.name for _, path in single] if channels > 1 else []
    cases = [case_of(stem, (path,)) for stem, path in single if channels == 1]
    faults: list[Fault] = []
    bare = 0
    for name, files in numbered.items():
        stems = {number: f"{name}_{number:04d}" for number in files}
        named_by_labels = name not in labelled and all(stem in labelled for stem in stems.values())
        if channels == 1 and (0 not in files or named_by_labels):
            bare += sum(map(len, files.values()))
            cases += [case_of(stems[number], (path,)) for number, paths in files.items() for path in paths]
            continue
        if _holds_all(files):
            cases.append(case_of(name, (files[0][0],)))
            continue
        wrong = _channel_faults(name, files, channels, folder)
        faults += wrong
        if not wrong:
            cases.append(case_of(name, tuple(files[number][0] for number in range(channels))))
    remarks = [f"{len(stray)} files are not named CASE_0000: {name_some(sorted(stray))}."] if stray else []
    if bare:
        remarks.append(f"{bare} files end in four digits, but not in _0000: the digits name the case.")
    return Layout(cases, tuple(faults), tuple(remarks))


def _holds_all(files: Mapping[int, Sequence[Path]]) -> bool:
    """Whether the one file of a case holds all of its channels, as a colour picture does."""
    return list(files) == [0] and len(files[0]) == 1 and is_picture(files[0][0])


def _channel_faults(
    name: str, files: Mapping[int, Sequence[Path]], channels: int, folder: Path
) -> list[Fault]:
    """Say which channels of a case are missing, one too many, or there twice."""
    faults = []
    missing = sorted(set(range(channels)) - set(files))
    first = next(iter(files.values()))[0]
    cure = f"rename {first.name} to {strip_ending(first)}_0000{_own_ending(first)}"
    if missing:
        text = ", ".join(f"{number:04d}" for number in missing)
        reason = f"channel {text} is missing; the task has {channels}. Add the file."
        if 0 in missing:
            reason += f" If the number names the case, files lack that of the channel: {cure}."
        at = folder / f"{name}_{missing[0]:04d}{_own_ending(first)}"
        faults.append(Fault(name, at, reason))
    reason = f"one channel too many; the task has {channels}. Remove it or name it there."
    if channels == 1:
        reason += f" If the numbers name cases, files lack that of the channel: {cure}."
    faults += [
        Fault(name, file, reason)
        for number in sorted(set(files) - set(range(channels)))
        for file in files[number]
    ]
    for number in sorted(files):
        faults += describe_twins(name, files[number]) if len(files[number]) > 1 else []
    return faults


def find_images(folder: Path, suffix: str) -> Named:
    """Give image files by name without ending; those of other endings than the data set's are not its own.

    Capital letters in an ending do not matter.

    Args:
        folder: Where they lie.
        suffix: The data set's ending; empty takes every format, and folders as DICOM series.
    """
    found = []
    for entry in sorted(folder.iterdir()):
        if is_hidden(entry):  # macOS leaves ._CASE beside each file
            continue
        given = suffix if suffix and entry.name.lower().endswith(suffix.lower()) else ""
        last = given if suffix else ending(entry)
        if last and (entry.is_file() or entry.is_symlink()):  # a broken link is reported when it is read
            found.append((entry.name[: -len(last)], entry))
        elif entry.is_dir() and not suffix:
            found.append((entry.name, entry))  # a DICOM series
    if suffix or not any(_is_volume(path) for _, path in found):
        return found
    return [(name, path) for name, path in found if path.is_dir() or not is_picture(path)]  # previews


def _is_volume(path: Path) -> bool:
    if path.is_dir():
        inside = [path, *(entry for entry in path.iterdir() if entry.is_dir())]
        return any(dicom.holds_series(folder) for folder in inside)
    return not is_picture(path)


def mapped_layout(mapping: Mapping[str, Any], folder: Path, places: Places | None = None) -> Layout:
    """Sort the cases that ``dataset.json`` lists under ``dataset``, paths relative to it.

    Args:
        mapping: ``images`` and ``label`` of each case, by its name.
        folder: What relative paths begin at.
        places: How label files hold each label that may overlap; None where none may.
    """
    cases, faults = [], []
    for name, entry in mapping.items():
        if not isinstance(entry, Mapping) or not isinstance(entry.get("images"), list) or not entry["images"]:
            faults.append(Fault(name, folder / DESCRIPTION, "'dataset' gives no list of 'images' for it."))
            continue
        case = case_of(name, tuple(join_path(folder, file) for file in entry["images"]))
        try:
            case = case._replace(annotated=read_annotated(entry.get(ANNOTATED)))
            cases.append(place_label(case, entry.get("label"), places, partial(join_path, folder)))
        except ValueError as error:
            faults.append(Fault(name, folder / DESCRIPTION, f"{error}."))
    return Layout(cases, tuple(faults))


def predicted_layout(folder: Path, channels: int, labelled: Collection[str] = ()) -> Layout:
    """Cases of a folder without labels; whole 4D files or DICOM series where no name tells a channel.

    Args:
        folder: Images alone: channel files, whole files, DICOM series or pairs.
        channels: Files that a case must have where names tell channels.
        labelled: Names of cases with a label, to tell a lone ``CASE_0000`` from a channel.
    """
    if not folder.is_dir():
        raise SourceError(f"{folder}: no such folder. Give a folder of images or a table of paths.")
    if holds_pairs(folder):
        return pairs_layout(folder)
    found = find_images(folder, "")
    volumes = any(path.is_file() and not is_picture(path) for _, path in found)
    if not volumes and dicom.holds_series(folder):
        return Layout([case_of(folder.name, (folder,))])
    if not any(CHANNEL.match(stem) for stem, _ in found):
        return Layout([case_of(stem, (path,)) for stem, path in found])
    return channel_files(found, channels, folder, labelled)


def _own_ending(path: Path) -> str:
    """Give the ending as the file has it, capitals included."""
    return path.name[len(path.name) - len(ending(path)) :]


def join_path(folder: Path, file: object) -> Path:
    """Give a path of a description, relative to its folder; variables of the system are filled in.

    Args:
        folder: Where the description lies.
        file: Absolute, or relative to ``folder``; ``$NAME`` is filled in.
    """
    return place_path(folder, os.path.expandvars(str(file)))
