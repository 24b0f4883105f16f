"""Where each layout keeps its files: folders walked and names sorted into cases, nothing read."""

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ingradient_pl.datasets.records import Fault, SourceError, strip_ending
from ingradient_pl.images import pairs
from ingradient_pl.images.formats import ending
from ingradient_pl.task import Task

DESCRIPTION = "dataset.json"
CHANNEL = re.compile(r"^(?P<case>.+)_(?P<channel>\d{4})$")


class Layout(NamedTuple):
    """What a layout's folder holds, before patients are found and files are looked for."""

    images: dict[str, tuple[Path, ...]]
    labels: dict[str, Path | None]
    faults: tuple[Fault, ...] = ()
    remarks: tuple[str, ...] = ()


def raw_layout(folder: Path, task: Task, described: Mapping[str, Any]) -> Layout:
    """Sort nnU-Net's raw layout: imagesTr, labelsTr."""
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
    return Layout(images, {name: found[name] for name in images}, tuple(faults), layout.remarks)


def _files(found: Mapping[str, Path], channels: int, folder: Path) -> Layout:
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
                Fault(name, at, f"channel {text} is missing; the task has {channels}. Add the file.")
            )
        if extra:
            reason = f"one channel too many; the task has {channels}. Remove it or name it there."
            faults += [Fault(name, files[number], reason) for number in extra]
        if not missing and not extra:
            images[name] = tuple(files[number] for number in range(channels))
    remarks = (
        (f"{len(stray)} files are not named CASE_0000: {', '.join(sorted(stray)[:3])}.",) if stray else ()
    )
    return Layout(images, {}, tuple(faults), remarks)


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


def mapped_layout(mapping: Mapping[str, Any], folder: Path) -> Layout:
    """Sort the cases that ``dataset.json`` lists under ``dataset``, paths relative to it."""
    images: dict[str, tuple[Path, ...]] = {}
    labels: dict[str, Path | None] = {}
    faults = []
    for name, entry in mapping.items():
        if not isinstance(entry, Mapping) or not isinstance(entry.get("images"), list) or not entry["images"]:
            faults.append(Fault(name, folder / DESCRIPTION, "'dataset' gives no list of 'images' for it."))
            continue
        images[name] = tuple(_path(folder, file) for file in entry["images"])
        labels[name] = _path(folder, entry["label"]) if entry.get("label") else None
    return Layout(images, labels, tuple(faults))


def decathlon_layout(training: Sequence[Any], folder: Path) -> Layout:
    """Sort the Medical Decathlon's ``training`` list: 4D images and labels."""
    images: dict[str, tuple[Path, ...]] = {}
    labels: dict[str, Path | None] = {}
    faults = []
    for entry in training:
        if not isinstance(entry, Mapping) or "image" not in entry:
            faults.append(Fault(str(entry), folder / DESCRIPTION, "'training' gives no 'image' for it."))
            continue
        image = _path(folder, entry["image"])
        name = strip_ending(image)
        if name in images:
            faults.append(Fault(name, image, "'training' names it twice. Keep one entry."))
            continue
        images[name] = (image,)
        labels[name] = _path(folder, entry["label"]) if entry.get("label") else None
    return Layout(images, labels, tuple(faults))


def predicted_layout(folder: Path, channels: int) -> Layout:
    """Cases of a folder without labels; whole 4D files or DICOM series where no name tells a channel."""
    if not folder.is_dir():
        raise SourceError(f"{folder}: no such folder. Give a folder of images or a table of paths.")
    if any(entry.suffix == ".npz" for entry in folder.iterdir()):
        return pairs_layout(folder)
    found = _images(folder, "")
    if not found and any(folder.glob("*.dcm")):
        return Layout({folder.name: (folder,)}, {})
    if not any(CHANNEL.match(stem) for stem in found):
        return Layout({stem: (path,) for stem, path in found.items()}, {})
    return _files(found, channels, folder)


def pairs_layout(folder: Path) -> Layout:
    """Match npz and pkl files: by name, or in sorted order where no two share a name."""
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
    return Layout(images, labels, tuple(faults))


def _path(folder: Path, file: object) -> Path:
    return folder / os.path.expandvars(str(file))
