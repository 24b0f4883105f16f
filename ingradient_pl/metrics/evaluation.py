"""Scores of predictions against labels, case by case and class by class, with nnU-Net's names and numbers."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ingradient_pl.datasets.near_names import find_near
from ingradient_pl.images import formats
from ingradient_pl.images.formats import Volume
from ingradient_pl.images.mask_files import MaskFile
from ingradient_pl.images.raw_image import describe_difference
from ingradient_pl.metrics.agreement import Label, count_agreement
from ingradient_pl.metrics.evaluation_annotated import leave_unannotated
from ingradient_pl.metrics.evaluation_boxes import NOWHERE, box_of, shared_boxes, widen_thin
from ingradient_pl.metrics.evaluation_masks import Mask, score_masks
from ingradient_pl.metrics.evaluation_masks import Measure as Measure
from ingradient_pl.metrics.evaluation_oddities import (
    Scored,
    describe_empty,
    describe_masks,
    describe_prediction,
)
from ingradient_pl.metrics.evaluation_unnamed import Unnamed, describe_unnamed, unnamed_values
from ingradient_pl.metrics.label_translation import LabelTranslation
from ingradient_pl.metrics.patients import label_groups
from ingradient_pl.short_repr import short_repr
from ingradient_pl.store.label_maps import LabelError, LabelMap, find_answers, find_labels
from ingradient_pl.task import Task
from ingradient_pl.workers.threads import Threads, Workers

Change = Callable[[NDArray[np.integer], Sequence[float]], NDArray[np.integer]]
"""What is done to a segmentation (z, y, x) whose voxels have this size in mm."""

FAULTS = (ValueError, OSError, ArithmeticError, MemoryError, RuntimeError)
"""What reading one case may raise."""

TWO_AT_A_TIME = Threads(2)


class EvaluationError(ValueError):
    """Predictions and labels that cannot be compared; the message lists every fault."""


class CaseScores(NamedTuple):
    """The scores of one case.

    Args:
        name: Of the case.
        prediction: Its file.
        reference: The file it was held against.
        scores: For each label, numbers by name.
        unnamed: Integers of the prediction, and of the reference, that the task does not name.
        remarks: What a user should know of its files, a sentence each.
        masks: Where labels may overlap: the files of the prediction, and of the reference.
    """

    name: str
    prediction: Path
    reference: Path
    scores: dict[Label, dict[str, float]]
    unnamed: Unnamed = ((), ())
    remarks: tuple[str, ...] = ()
    masks: tuple[tuple[MaskFile, ...], tuple[MaskFile, ...]] = ((), ())

    def __repr__(self) -> str:
        return short_repr(self)


class Evaluation(NamedTuple):
    """What a comparison of two folders found.

    Args:
        labels: Name of each label or region that was scored.
        cases: Scores of each case, by name.
        skipped: Names of labels in the reference folder that have no prediction.
        groups: Patient of each case; one that is not named is a patient of its own.
    """

    labels: dict[Label, str]
    cases: list[CaseScores]
    skipped: list[str]
    groups: Mapping[str, str] = {}

    def __repr__(self) -> str:
        return short_repr(self)

    @property
    def patients(self) -> dict[str, str]:
        """The patient of each case, in the order of the cases."""
        return {case.name: self.groups.get(case.name, case.name) for case in self.cases}

    @property
    def entries(self) -> list[Scored]:
        """Name, prediction, reference and scores of each case."""
        return [(case.name, case.prediction, case.reference, case.scores) for case in self.cases]

    @property
    def remarks(self) -> list[str]:
        """What makes the scores mean less than they seem: unnamed integers, empty or mirrored predictions."""
        unnamed = describe_unnamed([(case.name, case.unnamed) for case in self.cases])
        of_cases = (remark for case in self.cases for remark in case.remarks)
        return list(dict.fromkeys([*unnamed, *describe_empty(self.entries), *of_cases]))


def evaluate(
    predictions: Path,
    labels: Path | Sequence[Path],
    task: Task,
    *,
    measures: Sequence[Measure] = (),
    before: Change | None = None,
    complete: bool = False,
    same_space: bool = True,
    pool: Workers = TWO_AT_A_TIME,
) -> Evaluation:
    """Hold every file of one folder against the file of the same name in another.

    Voxels that carry the task's ignore label in the reference count nowhere; a label that a case does not
    name as annotated has no score (NaN) there. References whose source numbers labels in another way are read
    by the labels' names. Both files are brought to one
    orientation first, so that it does not matter how either was stored. Labels that may overlap are scored
    mask by mask, whichever of the two has them as masks.

    Args:
        predictions: Folder of segmentations.
        labels: References: a folder of label files, a data set, npz + pkl pairs, a table, a case store, or
            several stores; those without a prediction are named in the answer.
        task: What the integers mean.
        measures: Further scores, such as surface distances.
        before: What is done to each prediction before it is scored, such as post-processing.
        complete: Whether a label without a prediction is a fault.
        same_space: Whether files must lie in the same place in mm, and not only have the same shape.
        pool: Who scores cases: threads of this process, or the workers of a cluster.

    Raises:
        EvaluationError: If folders are empty, counterparts are missing or files do not fit each other.
    """
    scored = scored_labels(task)
    pairs, skipped, groups = _pairs(Path(predictions), labels, task, complete=complete)
    rules = _Rules(scored, task, list(measures), same_space, before)
    scores = dict(pool.map(partial(_score_case, rules), pairs))
    answers = [scores[number] for number in range(len(pairs))]
    faults = [answer for answer in answers if isinstance(answer, str)]
    if faults:
        raise EvaluationError(_list_faults(f"{len(faults)} of {len(pairs)} cases cannot be scored", faults))
    return Evaluation(scored, [answer for answer in answers if not isinstance(answer, str)], skipped, groups)


def scored_labels(task: Task) -> dict[Label, str]:
    """Give the labels (regions, where the task has some) that are scored, and their names.

    Args:
        task: Numbered as the maps that are scored.

    >>> scored_labels(Task(("MR",), {"background": 0, "edema": 2, "tumour": 1}))
    {1: 'tumour', 2: 'edema'}
    """
    named: dict[Label, str] = {
        value: name
        for name, value in task.labels.items()
        if name in task.foreground and (task.has_regions or isinstance(value, int))
    }
    if task.overlap is not None:
        return dict(enumerate(task.foreground, 1))
    if task.has_regions:
        return named
    return dict(
        sorted(named.items(), key=lambda entry: entry[0] if isinstance(entry[0], int) else entry[0][0])
    )


def case_name(path: Path) -> str:
    """Give the name of the case that a file belongs to: its own, without the ending.

    Args:
        path: Of a segmentation or a reference.
    """
    return path.name[: len(path.name) - len(formats.ending(path))]


def _pairs(
    predictions: Path, labels: Path | Sequence[Path], task: Task, *, complete: bool
) -> tuple[list[tuple[str, LabelMap, LabelMap]], list[str], dict[str, str]]:
    try:
        ours, theirs = find_answers(predictions, task), find_labels(labels, task)
    except LabelError as error:
        raise EvaluationError(str(error)) from error
    missing = sorted(ours.keys() - theirs.keys())
    skipped = sorted(theirs.keys() - ours.keys())
    place = labels if isinstance(labels, (str, Path)) else ", ".join(map(str, labels))
    faults = [f"{ours[name].path} has no label in {place}.{find_near(name, skipped)}" for name in missing]
    faults += [f"{theirs[name].path} has no prediction in {predictions}." for name in skipped if complete]
    if faults:
        raise EvaluationError(_list_faults("Predictions and labels do not go together by name", faults))
    return [(name, ours[name], theirs[name]) for name in sorted(ours)], skipped, label_groups(theirs)


class _Rules(NamedTuple):
    labels: dict[Label, str]
    task: Task
    measures: list[Measure]
    same_space: bool
    before: Change | None


def _score_case(rules: _Rules, files: tuple[str, LabelMap, LabelMap]) -> CaseScores | str:
    """Score one case, or say why it cannot be scored."""
    if rules.task.overlap is not None or files[2].overlaps:
        return _score_masks(rules, files)
    name, prediction, reference = files[0], files[1].path, files[2].path
    try:
        ours, theirs = files[1].read(), files[2].read()
        meaning = LabelTranslation.between(files[2].task, rules.task)
    except FAULTS as error:
        return _describe_fault(name, error, (prediction, reference))
    if apart := _describe_apart(rules, ours, theirs):
        return apart
    found, truth = ours.voxels[0], meaning.apply(theirs.voxels[0])
    found = found if rules.before is None else rules.before(found, ours.frame.spacing)
    ignore = rules.task.ignore
    agreement = count_agreement(found, truth, list(rules.labels), ignore)
    scores = {label: counts.as_metrics() for label, counts in agreement.items()}
    if rules.measures:
        boxes = shared_boxes(found, truth)
        for label in rules.labels:
            tight = box_of(label if isinstance(label, tuple) else (label,), boxes)
            box = tight if tight is NOWHERE else widen_thin(tight, truth.shape)
            seen = np.isin(truth[box], [] if ignore is None else [ignore], invert=True)
            masks = [np.isin(array[box], label) & seen for array in (found, truth)]
            for measure in rules.measures:
                scores[label].update(_measure(measure, name, masks, theirs.frame.spacing))
    scores = leave_unannotated(scores, rules.labels, meaning.translate_annotated(files[2].annotated))
    odd = describe_prediction(prediction, found, truth, ignore)
    remarks = tuple(dict.fromkeys((*meaning.remarks, *ours.remarks, *theirs.remarks, *odd)))
    return CaseScores(name, prediction, reference, scores, unnamed_values(found, truth, rules.task), remarks)


def _measure(measure: Measure, case: str, masks: list[Mask], spacing: Sequence[float]) -> dict[str, float]:
    """Give the scores of a measure, which may be anybody's; what goes wrong in it is its own fault."""
    try:
        return dict(measure(masks[0], masks[1], spacing))
    except Exception as error:
        name, wrong = getattr(measure, "__name__", type(measure).__name__), type(error).__name__
        told = (
            "It takes prediction, reference (z, y, x) and the voxels' size in mm, and gives numbers by name."
        )
        raise EvaluationError(f"The measure {name} failed on {case} ({wrong}: {error}). {told}") from error


def _score_masks(rules: _Rules, files: tuple[str, LabelMap, LabelMap]) -> CaseScores | str:
    """Score one case label by label: several may lie in one voxel of the prediction or of the reference."""
    name, prediction, reference = files
    names = list(rules.labels.values())
    try:
        ours, theirs = (one.read_masks([*names, "ignore"]) for one in (prediction, reference))
    except FAULTS as error:
        return _describe_fault(name, error, (prediction.path, reference.path))
    if apart := _describe_apart(rules, ours, theirs):
        return apart
    found, spacing = ours.voxels, theirs.frame.spacing
    if rules.before is not None:
        found = rules.before(found, ours.frame.spacing)
    scores = score_masks(found, theirs.voxels, list(rules.labels), rules.measures, spacing)
    scores = leave_unannotated(scores, rules.labels, reference.knows(names))
    odd = describe_masks(prediction.path, found, theirs.voxels, len(names) + 1)
    remarks = tuple(dict.fromkeys((*ours.remarks, *theirs.remarks, *odd)))
    masks = prediction.masks, reference.masks
    return CaseScores(name, prediction.path, reference.path, scores, remarks=remarks, masks=masks)


def _describe_fault(name: str, error: BaseException, files: Sequence[Path]) -> str:
    text = str(error)
    return text if any(str(file) in text for file in files) else f"{name}: {text}"


def _describe_apart(rules: _Rules, ours: Volume, theirs: Volume) -> str:
    """Say in what two grids differ; empty where they are the same."""
    apart = describe_difference(theirs, ours, rules.same_space)
    if not apart:
        return ""
    hint = "" if "shape" in apart else " Compare voxel by voxel all the same with same_space false."
    return f"{ours.source.path}: {apart} {theirs.source.path}.{hint}"


def _list_faults(what: str, faults: Sequence[str]) -> str:
    return "\n".join([f"{what}:", *(f"  - {fault}" for fault in faults)])
