"""Where cases come from: nnU-Net's raw layout, the Decathlon's, npz + pkl pairs, or a table of paths."""

import json
import os
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ingradient_pl.cases import pairs, tables
from ingradient_pl.cases.formats import ending
from ingradient_pl.cases.groups import PATTERN, GroupError, grouped
from ingradient_pl.cases.records import CaseFiles, Fault, Source, SourceError, label_values, named
from ingradient_pl.cases.task import Task

__all__ = ["CaseFiles", "Fault", "Source", "SourceError", "images_only", "read_source"]

DESCRIPTION = "dataset.json"
CHANNEL = re.compile(r"^(?P<case>.+)_(?P<channel>\d{4})$")
KNOWN = {
    *("name", "channel_names", "modality", "labels", "regions_class_order", "file_ending"),
    *("dataset", "training", "test"),
}


class _Layout(NamedTuple):
    """What a layout's folder holds, before patients are found and files are looked for."""

    images: dict[str, tuple[Path, ...]]
    labels: dict[str, Path | None]
    faults: tuple[Fault, ...] = ()
    remarks: tuple[str, ...] = ()


def read_source(path: Path, group_pattern: str = PATTERN) -> Source:
    """Find the cases of a data set; nothing but its description is read.

    Args:
        path: A folder in nnU-Net's raw layout or the Medical Decathlon's (both with a ``dataset.json``), a
            folder of npz + pkl pairs, or a table: .csv with the columns ``case, image_0, image_1, ..., label,
            group, split``, or .json with a list of such records. Paths in a table are relative to it.
        group_pattern: Regular expression that finds the patient in a case's name; a table's ``group`` wins.

    Raises:
        SourceError: If the data set as a whole cannot be understood; every reason at once. What is wrong with
            single cases is in the source's ``faults``.
    """
    path = Path(path)
    if not path.exists():
        raise SourceError(f"{path}: no such file or folder. Give the data set's folder or its table.")
    if path.is_file() and path.name != DESCRIPTION:
        return tables.read(path, _description(path.parent), group_pattern)
    folder = path if path.is_dir() else path.parent
    described = _description(folder)
    if any(entry.suffix == ".npz" for entry in folder.iterdir()):
        return _source(_pairs(folder), described, folder, group_pattern)
    if described is None:
        raise SourceError(
            f"{folder}: no known data set. There is no dataset.json (nnU-Net's or the Decathlon's "
            "layout) nor a .npz + .pkl pair. For other layouts give a .csv or .json table of paths."
        )
    task = task_of(described, folder)
    if isinstance(described.get("dataset"), Mapping):
        return _source(_mapped(described["dataset"], folder), described, folder, group_pattern)
    if isinstance(described.get("training"), list) and described["training"]:
        return _source(_decathlon(described["training"], folder), described, folder, group_pattern)
    return _source(_raw(folder, task, described), described, folder, group_pattern)


def images_only(path: Path, task: Task) -> list[CaseFiles]:
    """Find cases to predict: a folder of ``CASE_0000.ext`` files, a raw data set, pairs or a table.

    A folder of files without channel numbers is taken where the task has one channel: each is a case.

    Raises:
        SourceError: If there is none, or a case lacks a channel; every such case at once.
    """
    path = Path(path)
    if path.is_file() and ending(path):
        case = path.name[: -len(ending(path))]
        return [
            CaseFiles(
                CHANNEL.sub(r"\g<case>", case) if len(task.channels) == 1 else case, (path,), None, case
            )
        ]
    if not path.exists():
        raise SourceError(f"{path}: no such file or folder. Give a folder of images or a table of paths.")
    described = None if path.is_file() else _description(path)
    raw = described is not None and not {"dataset", "training"} & set(described)
    if path.is_file() or (described is not None and not raw):
        source = read_source(path)
        return _without_faults(source.cases, source.faults)
    layout = _predicted(path / "imagesTr" if raw else path, len(task.channels))
    cases = [CaseFiles(name, images, None, name) for name, images in sorted(layout.images.items())]
    if not cases and not layout.faults:
        raise SourceError(f"{path}: no image in it. Images end in .nii.gz, .nrrd, .mha, ...")
    return _without_faults(cases, layout.faults)


def task_of(described: Mapping[str, Any], folder: Path) -> Task:
    """Build the task from a ``dataset.json``, nnU-Net's or the Medical Decathlon's.

    Raises:
        SourceError: If something is missing or wrong in it; all of it at once.
    """
    where, wrong = folder / DESCRIPTION, []
    channels = described.get("channel_names", described.get("modality"))
    labels = described.get("labels")
    if not isinstance(channels, Mapping) or not channels:
        wrong.append('\'channel_names\' is missing: {"0": "CT"}')
    if not isinstance(labels, Mapping) or not labels:
        wrong.append('\'labels\' is missing: {"background": 0, "liver": 1}')
    if wrong:
        raise SourceError(f"{where}: {'; '.join(wrong)}.")
    assert isinstance(channels, Mapping)
    assert isinstance(labels, Mapping)
    notes = {key: value for key, value in described.items() if key not in KNOWN}
    order = described.get("regions_class_order")
    try:
        return Task(
            channels=tuple(
                str(name) for _, name in sorted(channels.items(), key=lambda entry: int(entry[0]))
            ),
            labels=label_values(labels),
            regions_class_order=None if order is None else tuple(order),
            name=str(described.get("name") or folder.resolve().name),
            file_ending=str(described.get("file_ending", ".nii.gz")),
            notes=notes,
        )
    except (TypeError, ValueError) as error:
        raise SourceError(f"{where}: {error}") from error


def _description(folder: Path) -> dict[str, Any] | None:
    file = folder / DESCRIPTION
    if not file.is_file():
        return None
    try:
        plain = json.loads(file.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError) as error:
        raise SourceError(f"{file}: it cannot be read as JSON ({error}).") from error
    if not isinstance(plain, dict):
        raise SourceError(f"{file}: it must hold an object with 'channel_names' and 'labels'.")
    return plain


def _source(layout: _Layout, described: dict[str, Any] | None, folder: Path, pattern: str) -> Source:
    if not layout.images and not layout.faults:
        raise SourceError(f"{folder}: there is no case in it.{_hint(folder, described or {})}")
    try:
        groups = grouped(sorted(layout.images), pattern)
    except GroupError as error:
        raise SourceError(str(error)) from error
    cases = [
        CaseFiles(name, images, layout.labels.get(name), groups[name])
        for name, images in sorted(layout.images.items())
    ]
    task = (
        tables.scanned_task(cases, folder.resolve().name) if described is None else task_of(described, folder)
    )
    remarks = list(layout.remarks)
    promised = (described or {}).get("numTraining")
    if isinstance(promised, int) and promised != len(cases) + len({fault.case for fault in layout.faults}):
        remarks.append(f"dataset.json promises {promised} cases ('numTraining'); there are {len(cases)}.")
    return Source(task, cases, layout.faults, tuple(remarks), folder)


def _hint(folder: Path, described: Mapping[str, Any]) -> str:
    place = folder / "imagesTr"
    other = (
        Counter(ending(entry) for entry in place.iterdir() if ending(entry)) if place.is_dir() else Counter()
    )
    if not other:
        return " Images belong into imagesTr, named CASE_0000.nii.gz."
    last, count = other.most_common(1)[0]
    said = described.get("file_ending", "")
    return f" 'file_ending' is '{said}', but {count} files in {place} end in '{last}'. Correct dataset.json."


def _raw(folder: Path, task: Task, described: Mapping[str, Any]) -> _Layout:
    wrong = [
        f"{folder / name} is missing" for name in ("imagesTr", "labelsTr") if not (folder / name).is_dir()
    ]
    if wrong:
        raise SourceError(
            f"{'; '.join(wrong)}. nnU-Net's raw layout has imagesTr, labelsTr and dataset.json."
        )
    suffix = str(described.get("file_ending", ""))
    layout = _files(_images(folder / "imagesTr", suffix), len(task.channels), folder / "imagesTr")
    found = _images(folder / "labelsTr", suffix)
    faults = list(layout.faults)
    faulty = {fault.case for fault in faults}
    for name in sorted(set(layout.images) - set(found)):
        reason = "its label is missing. Add it, or move the image to imagesTs."
        faults.append(Fault(name, folder / "labelsTr" / f"{name}{task.file_ending}", reason))
    for name in sorted(set(found) - set(layout.images) - faulty):
        reason = "a label without an image. Add the image or remove the label."
        faults.append(Fault(name, found[name], reason))
    images = {name: files for name, files in layout.images.items() if name in found}
    return _Layout(images, {name: found[name] for name in images}, tuple(faults), layout.remarks)


def _files(found: Mapping[str, Path], channels: int, folder: Path) -> _Layout:
    """Sort files named CASE_0000 into cases; one that lacks a channel or has one too many is a fault."""
    cases: dict[str, dict[int, Path]] = {}
    stray = []
    for stem, path in found.items():
        match = CHANNEL.match(stem)
        if match:
            cases.setdefault(match["case"], {})[int(match["channel"])] = path
        elif channels == 1:
            cases.setdefault(stem, {})[0] = path
        else:
            stray.append(path.name)
    faults = []
    images = {}
    for name, files in cases.items():
        missing = sorted(set(range(channels)) - set(files))
        extra = sorted(set(files) - set(range(channels)))
        if missing:
            at = folder / f"{name}_{missing[0]:04d}{ending(next(iter(files.values())))}"
            text = ", ".join(f"{number:04d}" for number in missing)
            faults.append(
                Fault(name, at, f"channel {text} is missing; dataset.json names {channels}. Add the file.")
            )
        if extra:
            reason = f"one channel too many; dataset.json names {channels}. Remove it or name it there."
            faults += [Fault(name, files[number], reason) for number in extra]
        if not missing and not extra:
            images[name] = tuple(files[number] for number in range(channels))
    remarks = (
        (f"{len(stray)} files are not named CASE_0000: {', '.join(sorted(stray)[:3])}.",) if stray else ()
    )
    return _Layout(images, {}, tuple(faults), remarks)


def _images(folder: Path, suffix: str) -> dict[str, Path]:
    """Give image files by name without ending; those of other endings than the data set's are not its own."""
    found = {}
    for entry in sorted(folder.iterdir()):
        if entry.name.startswith("."):  # macOS leaves ._CASE beside each file
            continue
        last = suffix if suffix and entry.name.endswith(suffix) else "" if suffix else ending(entry)
        if last and (entry.is_file() or entry.is_symlink()):  # a broken link is reported when it is read
            found[entry.name[: -len(last)]] = entry
        elif entry.is_dir() and not suffix:
            found[entry.name] = entry  # a DICOM series
    return found


def _mapped(mapping: Mapping[str, Any], folder: Path) -> _Layout:
    images: dict[str, tuple[Path, ...]] = {}
    labels: dict[str, Path | None] = {}
    faults = []
    for name, entry in mapping.items():
        if not isinstance(entry, Mapping) or not isinstance(entry.get("images"), list) or not entry["images"]:
            faults.append(Fault(name, folder / DESCRIPTION, "'dataset' gives no list of 'images' for it."))
            continue
        images[name] = tuple(_path(folder, file) for file in entry["images"])
        labels[name] = _path(folder, entry["label"]) if entry.get("label") else None
    return _Layout(images, labels, tuple(faults))


def _decathlon(training: Sequence[Any], folder: Path) -> _Layout:
    images: dict[str, tuple[Path, ...]] = {}
    labels: dict[str, Path | None] = {}
    faults = []
    for entry in training:
        if not isinstance(entry, Mapping) or "image" not in entry:
            faults.append(Fault(str(entry), folder / DESCRIPTION, "'training' gives no 'image' for it."))
            continue
        image = _path(folder, entry["image"])
        name = named(image)
        if name in images:
            faults.append(Fault(name, image, "'training' names it twice. Keep one entry."))
            continue
        images[name] = (image,)
        labels[name] = _path(folder, entry["label"]) if entry.get("label") else None
    return _Layout(images, labels, tuple(faults))


def _predicted(folder: Path, channels: int) -> _Layout:
    """Cases of a folder without labels; whole 4D files or DICOM series where no name tells a channel."""
    if not folder.is_dir():
        raise SourceError(f"{folder}: no such folder. Give a folder of images or a table of paths.")
    if any(entry.suffix == ".npz" for entry in folder.iterdir()):
        return _pairs(folder)
    found = _images(folder, "")
    if not found and any(folder.glob("*.dcm")):
        return _Layout({folder.name: (folder,)}, {})
    if not any(CHANNEL.match(stem) for stem in found):
        return _Layout({stem: (path,) for stem, path in found.items()}, {})
    return _files(found, channels, folder)


def _pairs(folder: Path) -> _Layout:
    arrays = sorted(folder.glob("*.npz"))
    pickles = sorted(folder.glob("*.pkl"))
    alone = sorted({path.stem for path in arrays} ^ {path.stem for path in pickles})
    if len(arrays) != len(pickles) or (alone and len(alone) < len(arrays) + len(pickles)):
        # Where no name has its partner, both were named by a rule of their own: order tells
        raise SourceError(
            f"{folder}: {len(arrays)} .npz and {len(pickles)} .pkl files; each needs its partner. "
            f"Alone: {', '.join(alone[:5])}."
        )
    images: dict[str, tuple[Path, ...]] = {}
    labels: dict[str, Path | None] = {}
    faults = []
    for array, properties in zip(arrays, pickles, strict=True):
        try:
            held = pairs.keys(array)
        except ValueError as error:
            faults.append(Fault(array.stem, array, str(error)))
            continue
        images[array.stem] = (array, properties)
        labels[array.stem] = array if "y" in held else None
    return _Layout(images, labels, tuple(faults))


def _path(folder: Path, file: object) -> Path:
    return folder / os.path.expandvars(str(file))


def _without_faults(cases: list[CaseFiles], faults: Iterable[Fault]) -> list[CaseFiles]:
    told = "\n".join(f"{fault.file}: {fault.reason}" for fault in faults)
    if told:
        raise SourceError(told)
    return cases
