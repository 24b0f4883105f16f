"""The files that answers are written to, none of which may be an input or another answer."""

from collections.abc import Sequence
from dataclasses import replace
from os import PathLike
from pathlib import Path

from ingradient_pl.datasets.case_names import check_cases, describe_name_fault
from ingradient_pl.datasets.layouts import DESCRIPTION
from ingradient_pl.datasets.overlap import CASE, CHANNEL, CHANNELS, FILE, Places, number_names, place_files
from ingradient_pl.datasets.records import CaseFiles, Source
from ingradient_pl.files import check_can_be_folder, is_special
from ingradient_pl.images import dicom_seg, formats
from ingradient_pl.images.known_formats import is_picture
from ingradient_pl.messages import UsageError
from ingradient_pl.store.metadata import is_stored
from ingradient_pl.task import Task

DEFAULT_ENDING = ".nii.gz"
"""What is written where the source is not a file of a known format: a DICOM series, an npz + pkl pair."""

FLAT = (".gipl", ".gipl.gz", ".tif", ".tiff")
"""Endings of volumes whose files hold no channels."""

MAPS = ("entropy", "disagreement")
"""Folders of the maps, each with a file of the segmentation's name."""


_ANY_TASK = Task(("any",), {"any": 1})
"""Stands where names alone are checked."""


class OutputError(UsageError):
    """Something of the user's would be written over; the message names it and the cure."""


HEAD = 1 << 16
"""Bytes of a file that are looked at to know what it is."""


def target_files(
    cases: Sequence[CaseFiles], output: Path, task: Task | None = None, *, dicom: bool = False
) -> dict[str, Path]:
    """Give the file of each case's answer, by the case's name; :func:`answer_parts` lists its parts.

    Args:
        cases: What is segmented.
        output: Folder of the answers.
        task: Of the model; None where a voxel has one integer.
        dicom: Whether a DICOM series is answered by a DICOM segmentation.

    Raises:
        ValueError: If two cases have one name, or a name cannot be a file's.
    """
    checked = check_cases(Source(_ANY_TASK, list(cases)))
    if checked.faults:
        raise ValueError("\n".join(map(str, checked.faults)))
    endings = {case.name: _ending(case, dicom=dicom) for case in cases}
    if task is not None and task.overlap is not None and not _has_files(task):
        endings = {name: DEFAULT_ENDING if _is_flat(last) else last for name, last in endings.items()}
    return {name: output / f"{name}{last}" for name, last in endings.items()}


def mask_targets(target: Path, task: Task) -> dict[int, Path]:
    """Give the file of each label's mask, by the label's number; none where an answer is one file.

    They are named as those of the data set were, where each label had a file named by a pattern; else
    CASE/LABEL.

    Args:
        target: Of the case's answer, ``CASE.ext``.
        task: Of the model.
    """
    if task.overlap is None or target.suffix == dicom_seg.ENDING or not _has_files(task):
        return {}
    last = formats.ending(target)
    case = target.name[: len(target.name) - len(last)]
    patterns = [str(place[FILE]).replace(CASE, case) for place in answer_places(task).values()]
    named = [pattern if formats.ending(Path(pattern)) else f"{pattern}{last}" for pattern in patterns]
    return {number: target.parent / name for number, name in enumerate(named, 1)}


def answer_parts(target: Path, task: Task) -> list[Path]:
    """Give all files of a case's answer.

    Args:
        target: Of the case's answer, ``CASE.ext``.
        task: Of the model.
    """
    return list(mask_targets(target, task).values()) or [target]


def answer_places(task: Task) -> Places:
    """Give how answers hold labels that may overlap: a file each where the data set has such, else channels.

    Args:
        task: Whose labels may overlap.

    Raises:
        ValueError: If a label's name cannot be that of a file.
    """
    names, told = list(task.foreground), task.overlap or {}
    if not _has_files(task):
        return {name: {CHANNEL: at, CHANNELS: len(names)} for at, name in enumerate(names)}
    number_names(names)  # they may become names of files
    files = [told[name].get(FILE) for name in names]
    if len(set(files)) < len(files) or any(CHANNEL in told[name] for name in names):
        return place_files(names)
    if any(describe_name_fault(part) for file in files for part in str(file).split("/")):
        return place_files(names)  # label files may lie anywhere; answers are written below their folder
    return {name: {FILE: file} for name, file in zip(names, files, strict=True)}


def answer_task(task: Task) -> Task:
    """Give the task as answers hold its labels.

    Args:
        task: Of the model.
    """
    return task if task.overlap is None else replace(task, overlap=answer_places(task))


def _has_files(task: Task) -> bool:
    return any(FILE in place for place in (task.overlap or {}).values())


def _is_flat(ending: str) -> bool:
    """Whether files of an ending hold no channels of volumes."""
    return is_picture(Path(f"x{ending}")) or ending in FLAT


def _ending(case: CaseFiles, *, dicom: bool) -> str:
    if dicom and not is_stored(case.images[0]) and dicom_seg.is_series(case.images[0]):
        return dicom_seg.ENDING
    return formats.answer_ending(case.images[0]) or DEFAULT_ENDING


def input_files(cases: Sequence[CaseFiles]) -> list[Path]:
    """Give every file and folder that cases are read from.

    Args:
        cases: What is segmented.
    """
    found: list[Path] = []
    for case in cases:
        found += case.files
    return found


def check_targets(targets: Sequence[Path], inputs: Sequence[Path]) -> None:
    """Refuse to write a file in the place of one that is read, or that is not a plain file.

    Args:
        targets: Files that will be written.
        inputs: Files and folders that are read: images, labels, series, descriptions.

    Raises:
        OutputError: If one is the other, by whatever path, or lies inside it.
    """
    read = {path.resolve(): path for path in inputs}
    for target in targets:
        place = target.resolve()
        if place in read:
            raise OutputError(f"{target} would replace {read[place]}, which is read. Name another folder.")
        above = next((read[parent] for parent in place.parents if parent in read), None)
        if above is not None:
            raise OutputError(f"{target} would lie inside {above}, which is read. Name another folder.")
        if is_special(target) or target.is_dir():
            raise OutputError(f"{target} is not a plain file: nothing is written there. Name another folder.")


def check_folder(folder: Path, content: str = "segmentations", endings: Sequence[str] = ()) -> None:
    """Refuse for a folder of answers what is a file, or would be a folder that is called like one.

    Args:
        folder: Where files shall go; it need not be there.
        content: What goes there, for the message.
        endings: Of files, besides those of images.

    Raises:
        OutputError: If it is there and is no folder, or is not there and has the ending of a file.
        NotADirectoryError: If what is above it is a file.
    """
    if folder.exists() and not folder.is_dir():
        raise OutputError(f"{folder} is not a folder: {content} need one. Name another.")
    check_can_be_folder(folder, content)
    last = formats.ending(folder) or (folder.suffix if folder.suffix.lower() in endings else "")
    if last and not folder.exists():
        bare = folder.with_name(folder.name[: -len(last)] or "output")
        raise OutputError(
            f"{folder} is called like a file ({last}): {content} go into a folder, a file each. Name "
            f"one, such as {bare}."
        )


def map_files(target: Path) -> list[Path]:
    """Give the files of the maps that belong to a segmentation.

    Args:
        target: The segmentation.
    """
    name = target.name if formats.ending(target) else f"{target.stem}{DEFAULT_ENDING}"
    return [target.parent / kind / name for kind in MAPS]


def check_report(
    report: str | PathLike[str] | None,
    inputs: Sequence[Path],
    endings: Sequence[str] = (),
    marker: bytes = b"",
) -> None:
    """Refuse to write a report or a plan over a file that is read, or over one that is something else.

    Args:
        report: File that will be written, if any; a device such as ``/dev/null`` takes it.
        inputs: Files that are read.
        endings: What a file that may be replaced ends in, the usual one first; any where none are given.
        marker: What stands near the beginning of a file that may be replaced.

    Raises:
        OutputError: If it is one of them, a file of a data set, or there already and something else.
    """
    if report is None or is_special(Path(report)):
        return
    target = Path(report)
    if target.is_dir() or target.resolve() in {path.resolve() for path in inputs}:
        raise OutputError(f"{target} is read, or is a folder: nothing is written over it. Name another file.")
    taken = target.exists() and (formats.ending(target) or target.name in (DESCRIPTION, "case.json"))
    if taken or target.suffix in (".npz", ".pkl", ".ckpt", ".pth"):
        raise OutputError(f"{target} is a file of a data set or a model, not a report. Name another file.")
    refuse_other(target, endings, marker)


def refuse_other(target: Path, endings: Sequence[str], marker: bytes) -> None:
    """Refuse to write over a file that is something else than what would be written.

    Args:
        target: File that will be written.
        endings: What a file that may be replaced ends in, the usual one first; any where none are given.
        marker: What stands near the beginning of a file that may be replaced.

    Raises:
        OutputError: If it is there already and something else.
    """
    if target.is_file() and _is_something_else(target, endings, marker):
        raise OutputError(
            f"{target} is there and is something else: nothing is written over it. Name another file"
            f"{f' (*{endings[0]})' if endings else ''}, or delete it."
        )


def _is_something_else(target: Path, endings: Sequence[str], marker: bytes) -> bool:
    if endings and target.suffix and target.suffix.lower() not in endings:
        return True
    with target.open("rb") as opened:
        head = opened.read(HEAD)
    return bool(head.strip()) and marker not in head
