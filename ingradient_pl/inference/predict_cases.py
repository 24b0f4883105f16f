"""Predict many cases: the next is read and the last is written while the network works on one."""

import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from ingradient_pl.datasets.records import CaseFiles
from ingradient_pl.images import dicom_seg, formats
from ingradient_pl.images.formats import ImageError, Volume
from ingradient_pl.images.mask_files import write_mask_files, write_masks
from ingradient_pl.images.raw_image import describe_difference
from ingradient_pl.inference.answer_files import answer_parts, map_files, mask_targets, target_files
from ingradient_pl.inference.case_pipeline import Beside, Failure, Label, run_cases
from ingradient_pl.inference.dice_estimates import Estimates, add_estimates, read_estimates
from ingradient_pl.inference.model import Model
from ingradient_pl.inference.predictor import Predictor
from ingradient_pl.inference.probabilities import ENDING, unfinished_maps, write_maps
from ingradient_pl.inference.uncertainty import Uncertainty
from ingradient_pl.inference.uncertainty_files import describe_beyond, estimate_dice, write_uncertainty
from ingradient_pl.metrics.agreement import count_agreement
from ingradient_pl.metrics.evaluation import CaseScores, Change, Evaluation, scored_labels
from ingradient_pl.metrics.evaluation_annotated import leave_unannotated
from ingradient_pl.metrics.evaluation_masks import score_masks
from ingradient_pl.metrics.evaluation_unnamed import Unnamed, unnamed_values
from ingradient_pl.metrics.label_translation import LabelTranslation
from ingradient_pl.short_repr import short_repr
from ingradient_pl.store.case_store import CaseStore
from ingradient_pl.store.label_maps import LabelMap
from ingradient_pl.store.metadata import is_stored
from ingradient_pl.store.stored_cases import stored_volume
from ingradient_pl.task import Task
from ingradient_pl.unfinished import remove_leftovers


class SaveReport(NamedTuple):
    """What a run over cases wrote.

    Args:
        written: Files, in the order of the cases.
        skipped: Names of cases whose file was there already.
        failures: Cases that could not be done; all others are.
        seconds: How long the run took.
        estimates: The Dice to be expected by case and label, where uncertainty was asked for.
    """

    written: list[Path]
    skipped: list[str]
    failures: list[Failure]
    seconds: float
    estimates: Estimates

    def __repr__(self) -> str:
        return short_repr(self)


class ScoreReport(NamedTuple):
    """What a run over cases scored.

    Args:
        evaluation: Scores by case and label.
        failures: Cases that could not be done; all others are.
        seconds: How long the run took.
    """

    evaluation: Evaluation
    failures: list[Failure]
    seconds: float

    def __repr__(self) -> str:
        return short_repr(self)


def save_cases(  # noqa: PLR0913 - one argument an option of the run
    predictor: Predictor,
    cases: Sequence[CaseFiles],
    output: Path,
    *,
    resume: bool = False,
    after: Change | None = None,
    probabilities: bool = False,
    uncertainty: bool = False,
    dicom: bool = False,
    progress: bool = False,
    say: Callable[[str], None] = print,
) -> SaveReport:
    """Segment cases and write each answer on the grid, in the orientation and format of its source.

    Files appear whole or not at all, so a run that was killed loses the case in hand.

    Args:
        predictor: The model.
        cases: What to segment.
        output: Folder for ``CASE.ext``.
        resume: Leave out cases whose file is there already.
        after: What is done to each answer before it is written, such as post-processing.
        probabilities: Whether to write ``CASE.npz`` beside it, a map for each output in half precision.
        uncertainty: Whether to write maps of it into folders beside it, and to estimate Dice.
        dicom: Whether the answer to a DICOM series is a DICOM segmentation; else it is a NIfTI.
        progress: Whether to show a bar with the time left.
        say: Where remarks go (a fault, a smaller batch), a line each.
    """
    started, output = time.monotonic(), Path(output)
    output.mkdir(parents=True, exist_ok=True)
    remove_leftovers(output)
    model = predictor.model
    targets = target_files(cases, output, model.task, dicom=dicom)
    maps = {case.name: output / f"{case.name}{ENDING}" for case in cases}
    parts = {name: answer_parts(target, model.task) for name, target in targets.items()}
    estimated = read_estimates(output) if resume and uncertainty else {}
    whole = [case for case in cases if all(map(Path.is_file, parts[case.name]))] if resume else []
    skipped = [
        case.name
        for case in whole
        if (not probabilities or maps[case.name].is_file())
        and (not uncertainty or all(map(Path.is_file, map_files(targets[case.name]))))
        and (not uncertainty or case.name in estimated)
    ]
    wanted = [case for case in cases if case.name not in set(skipped)]
    estimates: dict[str, dict[str, float | None]] = {}

    def scratch(volume: Volume) -> Beside:
        outputs, shape = model.plan.outputs, volume.voxels.shape[1:]
        return Beside(
            unfinished_maps(output, outputs, volume) if probabilities else None,
            Uncertainty.empty(shape, outputs) if uncertainty else None,
        )

    def write(case: CaseFiles, volume: Volume, label: Label, found: Beside) -> Path:
        target = targets[case.name]
        if found.maps is not None:
            write_maps(maps[case.name], found.maps, volume)
        if found.uncertainty is not None:
            write_uncertainty(found.uncertainty, target, volume)
            estimates[case.name] = estimate_dice(found.uncertainty, model.task, model.calibration)
            add_estimates(output, {case.name: estimates[case.name]})  # a killed run keeps them
            beyond = describe_beyond(found.uncertainty, model.task, model.calibration)
            if beyond:
                say(f"{case.name}: {beyond}")
        if after is not None:
            label = after(label, volume.frame.spacing)
        write_answer(target, label, volume, model.task)
        return parts[case.name][0]

    answers, failures = run_cases(predictor, wanted, write, say, scratch, progress=progress)
    return SaveReport(answers, skipped, failures, time.monotonic() - started, estimates)


def write_answer(target: Path, label: Label, volume: Volume, task: Task) -> None:
    """Write a segmentation in the form that its task and the ending ask for.

    Args:
        target: Of the case's answer, ``CASE.ext``.
        label: Integers, or packed masks where labels may overlap, on the axes of ``volume``.
        volume: What was segmented.
        task: Of the model.

    Raises:
        ImageError: If it cannot be written so.
        OSError: If the disk does not take it.
    """
    if target.suffix == dicom_seg.ENDING:
        dicom_seg.write_segmentation(target, label, volume, task.in_files)
    elif task.overlap is None:
        formats.write_label(target, label, volume)
    elif files := mask_targets(target, task):
        write_mask_files(files, label, volume)
    else:
        write_masks(target, label, task.outputs, volume)


def score_cases(
    predictor: Predictor,
    cases: Sequence[CaseFiles],
    *,
    after: Change | None = None,
    progress: bool = False,
    say: Callable[[str], None] = print,
    told: Task | None = None,
) -> ScoreReport:
    """Segment cases and hold each answer against the case's label; nothing is written.

    Args:
        predictor: The model.
        cases: What to segment; each names its label.
        after: What is done to each answer before it is scored, such as post-processing.
        progress: Whether to show a bar with the time left.
        say: Where remarks go (a score, a fault, a smaller batch), a line each.
        told: What the integers of the cases' labels mean; where it is not given, as the store or data set of
            each case tells.
    """
    started, task = time.monotonic(), predictor.model.task.in_files
    labels = scored_labels(task)

    def score(case: CaseFiles, volume: Volume, label: Label, found: Beside) -> CaseScores:
        if after is not None:
            label = after(label, volume.frame.spacing)
        unnamed: Unnamed = ((), ())
        remarks: tuple[str, ...] = ()
        if task.overlap is None:
            meaning = find_meaning(case, task, told)
            truth = meaning.apply(read_truth(case, volume, predictor.model.plan.orientation))
            agreement = count_agreement(label, truth, list(labels), task.ignore)
            named = {one: counts.as_metrics() for one, counts in agreement.items()}
            annotated, remarks = meaning.translate_annotated(case.annotated), meaning.remarks
            unnamed = unnamed_values(label, truth, task)
        else:
            masks = read_true_masks(case, volume, predictor.model, told)
            named, annotated = score_masks(label, masks.packed, list(labels)), tuple(masks.known)
        scores = leave_unannotated(named, labels, annotated)
        dice = ", ".join(f"{labels[one]} {_format_dice(numbers['Dice'])}" for one, numbers in scores.items())
        say(f"{case.name}: Dice {dice}")
        return CaseScores(case.name, case.images[0], Path(case.label or ""), scores, unnamed, remarks)

    answers, failures = run_cases(predictor, cases, score, say, progress=progress)
    groups = {case.name: case.group for case in cases}
    return ScoreReport(Evaluation(labels, answers, [], groups), failures, time.monotonic() - started)


def find_meaning(case: CaseFiles, task: Task, told: Task | None = None) -> LabelTranslation:
    """Find the way from the integers of a case's label to those of a task, by the labels' names.

    Args:
        case: Its files, or a case of a store.
        task: Of the model.
        told: What its label holds; where it is not given, as its store or data set tells.

    Raises:
        ValueError: If an integer of it lies in labels that none of the task's lies in.
    """
    reference = LabelMap.of(case, told)
    return LabelTranslation.between(None if reference is None else reference.find_task(), task.in_files)


def read_truth(case: CaseFiles, volume: Volume, orientation: str) -> Label:
    """Read the label of a case, (z, y, x) with the integers of files.

    Args:
        case: Its files.
        volume: Its image, on whose grid the label must lie.
        orientation: As of the image.

    Raises:
        ImageError: If it has none, or it cannot be read.
    """
    if case.label is None:
        raise ImageError(f"{case.name} has no label to be scored against.")
    if is_stored(case.images[0]):
        kept: Label = stored_volume(case.images[0], orientation, "label").voxels[0]
        return kept
    label: Label = case.read_label(orientation, volume).voxels[0]
    return label


class TrueMasks(NamedTuple):
    """The reference of a case whose labels may overlap.

    Args:
        packed: Masks of the model's labels, ``ignore`` last.
        known: Names of the labels that it tells.
    """

    packed: Label
    known: list[str]


def read_true_masks(case: CaseFiles, volume: Volume, model: Model, told: Task | None = None) -> TrueMasks:
    """Read a mask for each label of a model whose labels may overlap.

    Args:
        case: Its files, or a case of a store.
        volume: Its image, on whose grid they must lie.
        model: Whose labels are wanted.
        told: What the case's label holds, where it may be another task than the model's.

    Raises:
        ImageError: If it has no label, or it cannot be read or lies elsewhere.
    """
    if is_stored(case.images[0]):
        told = CaseStore(case.images[0].parents[1], names=[case.name]).task
    reference, names = LabelMap.of(case, told), list(model.task.foreground)
    if reference is None:
        raise ImageError(f"{case.name} has no label to be scored against.")
    found = reference.read_masks([*names, "ignore"], model.plan.orientation)
    apart = describe_difference(volume, found)
    if apart:
        raise ImageError(f"{found.source.path}: {apart} its image {case.images[0]}. Resample one of them.")
    return TrueMasks(found.voxels, reference.knows(names))


def _format_dice(dice: float) -> str:
    return "-" if math.isnan(dice) else f"{dice:.4f}"
