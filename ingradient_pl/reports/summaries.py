"""Scores of a summary.json, of this package or of nnU-Net, as a report needs them."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ingradient_pl.datasets.descriptions import read_task
from ingradient_pl.datasets.groups import group_cases
from ingradient_pl.datasets.layouts import DESCRIPTION
from ingradient_pl.images.mask_files import MaskFile
from ingradient_pl.metrics.comparison_files import Scores, name_entry, parse_summary
from ingradient_pl.phrases import one_line
from ingradient_pl.plain_values import PlainValueError, read_json
from ingradient_pl.reports.page import ReportError
from ingradient_pl.short_repr import short_repr
from ingradient_pl.store.case_store import CaseStore
from ingradient_pl.store.metadata import is_store, is_stored
from ingradient_pl.task import Task

FAULTS = (ValueError, OSError, KeyError, MemoryError, RuntimeError)
SUMMARY = "summary.json"


class Summary(NamedTuple):
    """What a summary.json tells.

    Args:
        file: The file.
        cases: Scores by case, by label, by name.
        files: Prediction and reference of each case.
        groups: Patient of each case.
        names: Name of each label.
        task: What the integers mean; None where nothing tells.
        masks: Where labels may overlap: the files of prediction and reference, by case.
    """

    file: Path
    cases: Scores
    files: dict[str, tuple[Path, Path]]
    groups: dict[str, str]
    names: dict[str, str]
    task: Task | None
    masks: Mapping[str, tuple[tuple[MaskFile, ...], tuple[MaskFile, ...]]] = {}

    def __repr__(self) -> str:
        return short_repr(self)

    def values(self, label: str, score: str) -> list[float]:
        """Give a score of a label for each case; NaN where there is none.

        Args:
            label: As the file has it.
            score: Its name.
        """
        return [scores.get(label, {}).get(score, math.nan) for scores in self.cases.values()]


def read_summary(path: Path) -> Summary:
    """Read what ``ingradient evaluate`` (or nnU-Net) wrote.

    Args:
        path: The file, or the folder it is in.

    Raises:
        ReportError: If there is none, it is something else, or it holds no case.
    """
    file = path / SUMMARY if path.is_dir() else path
    try:
        plain = read_json(file)
        cases, groups, names = parse_summary(plain)
        files, masks = {}, {}
        for entry in plain["metric_per_case"]:
            name = name_entry(entry)
            prediction, reference = (
                _found(Path(str(entry[key])), file) for key in ("prediction_file", "reference_file")
            )
            files[name] = prediction, reference
            if "masks" in entry:
                ours, theirs = (_read_masks(entry["masks"][key], file) for key in ("prediction", "reference"))
                masks[name] = ours, theirs
        groups = groups or group_cases(list(cases))
        groups = {name: groups.get(name, name) for name in cases}
    except (OSError, PlainValueError, LookupError, TypeError, AttributeError, ValueError) as error:
        raise ReportError(
            f"{file} is not the summary of an evaluation ({one_line(error)}). Make one: ingradient evaluate "
            "--predictions DIR --labels DIR --output summary.json"
        ) from error
    if not cases:
        raise ReportError(f"{file} holds no case: there is nothing to report. Evaluate predictions first.")
    task = _find_task(file, files)
    labels = list(dict.fromkeys(label for scores in cases.values() for label in scores))
    return Summary(file, cases, files, groups, _name_labels(labels, task, names), task, masks)


def _find_task(file: Path, files: Mapping[str, tuple[Path, Path]]) -> Task | None:
    prediction, reference = next(iter(files.values()))
    for folder in (prediction.parent, file.parent, reference.parent, reference.parent.parent):
        if (folder / DESCRIPTION).is_file() and not is_store(folder):
            try:
                return read_task(folder / DESCRIPTION)
            except FAULTS:
                continue
    if is_stored(reference.parent):
        return CaseStore(reference.parents[2], names=[reference.parent.name]).task.in_files
    return None


def _name_labels(labels: Sequence[str], task: Task | None, told: Mapping[str, str]) -> dict[str, str]:
    """Name the labels as the summary does, else (nnU-Net's, older ones) as the description beside it."""
    known = dict(told)
    if task is not None and task.overlap is not None:
        known = {str(number): name for number, name in enumerate(task.foreground, 1)} | known
    for name, value in (task.labels if task is not None else {}).items():
        known.setdefault(str(value), name)
    return {label: known.get(label, f"label {label}") for label in labels}


def _read_masks(told: Any, summary: Path) -> tuple[MaskFile, ...]:
    """Read the files of masks that a summary names."""
    masks = [MaskFile(**{**mask, "path": _found(Path(str(mask["path"])), summary)}) for mask in told]
    return tuple(one._replace(values=None if one.values is None else tuple(one.values)) for one in masks)


def _found(file: Path, summary: Path) -> Path:
    """Give a file of a summary, which may have been written from another folder."""
    return (
        file
        if file.is_absolute() or file.exists()
        else next(
            (place for place in (summary.parent / file, summary.parent / file.name) if place.exists()), file
        )
    )
