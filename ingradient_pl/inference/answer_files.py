"""The files that answers are written to, none of which may be an input or another answer."""

from collections.abc import Sequence
from os import PathLike
from pathlib import Path

from ingradient_pl.datasets.case_names import check_cases
from ingradient_pl.datasets.layouts import DESCRIPTION
from ingradient_pl.datasets.records import CaseFiles, Source
from ingradient_pl.files import is_special
from ingradient_pl.images import dicom_seg, formats
from ingradient_pl.messages import UsageError
from ingradient_pl.store.stored_cases import is_stored
from ingradient_pl.task import Task

DEFAULT_ENDING = ".nii.gz"
"""What is written where the source is not a file of a known format: a DICOM series, an npz + pkl pair."""


_ANY_TASK = Task(("any",), {"any": 1})
"""Stands where names alone are checked."""


class OutputError(UsageError):
    """Something of the user's would be written over; the message names it and the cure."""


def target_files(cases: Sequence[CaseFiles], output: Path, *, dicom: bool = False) -> dict[str, Path]:
    """Give the file of each case's answer, by the case's name.

    Args:
        cases: What is segmented.
        output: Folder of the answers.
        dicom: Whether a DICOM series is answered by a DICOM segmentation.

    Raises:
        ValueError: If two cases have one name, or a name cannot be a file's.
    """
    checked = check_cases(Source(_ANY_TASK, list(cases)))
    if checked.faults:
        raise ValueError("\n".join(map(str, checked.faults)))
    return {case.name: output / f"{case.name}{_ending(case, dicom=dicom)}" for case in cases}


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
        found += [*case.images, *([] if case.label is None else [case.label])]
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


def check_report(report: str | PathLike[str] | None, inputs: Sequence[Path]) -> None:
    """Refuse to write a report or a plan over a file that is read, an image or a data set's description.

    Args:
        report: File that will be written, if any; a device such as ``/dev/null`` takes it.
        inputs: Files that are read.

    Raises:
        OutputError: If it is one of them, or a file of a data set.
    """
    if report is None or is_special(Path(report)):
        return
    target = Path(report)
    if target.is_dir() or target.resolve() in {path.resolve() for path in inputs}:
        raise OutputError(f"{target} is read, or is a folder: nothing is written over it. Name another file.")
    taken = target.exists() and (formats.ending(target) or target.name in (DESCRIPTION, "case.json"))
    if taken or target.suffix in (".npz", ".pkl", ".ckpt", ".pth"):
        raise OutputError(f"{target} is a file of a data set or a model, no report. Name another file.")
