"""Predict many cases: the next is read and the last is written while the network works on one."""

import dataclasses
import math
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import UInt
from numpy.typing import NDArray
from tqdm import tqdm

from ingradient_pl.datasets.records import CaseFiles, check_channels
from ingradient_pl.files import remove_leftovers
from ingradient_pl.images import dicom_seg, formats
from ingradient_pl.images.formats import ImageError, Volume
from ingradient_pl.inference.answer_files import target_files
from ingradient_pl.inference.predictor import Predictor
from ingradient_pl.inference.probabilities import ENDING, unfinished_maps, write_maps
from ingradient_pl.machine import is_out_of_memory
from ingradient_pl.metrics.agreement import count_agreement
from ingradient_pl.metrics.evaluation import CaseScores, Change, Evaluation, scored_labels
from ingradient_pl.metrics.evaluation_annotated import leave_unannotated
from ingradient_pl.metrics.evaluation_unnamed import unnamed_values
from ingradient_pl.metrics.label_translation import LabelTranslation
from ingradient_pl.short_repr import short_repr
from ingradient_pl.store.stored_cases import is_stored, stored_volume
from ingradient_pl.task import Task

FAULTS = (ValueError, OSError, ArithmeticError, MemoryError, RuntimeError)
"""What one case may raise without stopping the others."""

Label = NDArray[Any]
Maps = NDArray[np.float16] | None
Finish = Callable[[CaseFiles, Volume, Label, Maps], Any]
"""What is done with a case's answer."""


class Failure(NamedTuple):
    """A case that could not be done, and why."""

    case: str
    reason: str

    def __str__(self) -> str:
        return f"{self.case}: {self.reason}"


class SaveReport(NamedTuple):
    """What a run over cases wrote.

    Args:
        written: Files, in the order of the cases.
        skipped: Names of cases whose file was there already.
        failures: Cases that could not be done; all others are.
        seconds: How long the run took.
    """

    written: list[Path]
    skipped: list[str]
    failures: list[Failure]
    seconds: float

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
        dicom: Whether the answer to a DICOM series is a DICOM segmentation; else it is a NIfTI.
        progress: Whether to show a bar with the time left.
        say: Where remarks go (a fault, a smaller batch), a line each.
    """
    started, output = time.monotonic(), Path(output)
    output.mkdir(parents=True, exist_ok=True)
    remove_leftovers(output)
    targets = target_files(cases, output, dicom=dicom)
    maps = {case.name: output / f"{case.name}{ENDING}" for case in cases}
    whole = [case for case in cases if targets[case.name].is_file()] if resume else []
    skipped = [case.name for case in whole if not probabilities or maps[case.name].is_file()]
    wanted = [case for case in cases if case.name not in set(skipped)]

    def scratch(volume: Volume) -> Maps:
        return unfinished_maps(output, predictor.model.plan.outputs, volume) if probabilities else None

    def write(case: CaseFiles, volume: Volume, label: Label, found: Maps) -> Path:
        if found is not None:
            write_maps(maps[case.name], found, volume)
        if after is not None:
            label = after(label, volume.frame.spacing)
        target = targets[case.name]
        if target.suffix == dicom_seg.ENDING:
            dicom_seg.write_segmentation(target, label, volume, predictor.model.task.in_files)
        else:
            formats.write_label(target, label, volume)
        return target

    answers, failures = _run(predictor, wanted, write, say, scratch, progress=progress)
    return SaveReport(answers, skipped, failures, time.monotonic() - started)


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
        told: What the integers of the cases' labels mean, where it may be another task than the model's.
    """
    started, task = time.monotonic(), predictor.model.task.in_files
    labels, meaning = scored_labels(task), LabelTranslation.between(told, task)

    def score(case: CaseFiles, volume: Volume, label: Label, found: Maps) -> CaseScores:
        truth = meaning.apply(_truth(case, volume, predictor.model.plan.orientation))
        if after is not None:
            label = after(label, volume.frame.spacing)
        agreement = count_agreement(label, truth, list(labels), task.ignore)
        named = {one: counts.as_metrics() for one, counts in agreement.items()}
        scores = leave_unannotated(named, labels, meaning.translate_annotated(case.annotated))
        dice = ", ".join(f"{labels[one]} {_format_dice(numbers['Dice'])}" for one, numbers in scores.items())
        say(f"{case.name}: Dice {dice}")
        unnamed = unnamed_values(label, truth, task)
        return CaseScores(case.name, case.images[0], Path(case.label or ""), scores, unnamed)

    answers, failures = _run(predictor, cases, score, say, progress=progress)
    groups = {case.name: case.group for case in cases}
    return ScoreReport(Evaluation(labels, answers, [], groups), failures, time.monotonic() - started)


def read_case(case: CaseFiles, task: Task, orientation: str) -> Volume:
    """Read the images of a case and hold them against the task's channels.

    Args:
        case: Its files, or a case of a store.
        task: Of the model.
        orientation: The plan's: three letters such as ``LPS``, or ``stored``.

    Raises:
        ImageError: If a file cannot be read or a channel is missing.
    """
    if not is_stored(case.images[0]):
        return case.read_image(orientation, task.channels)
    volume = stored_volume(case.images[0], orientation)
    check_channels(case.images[0], volume, task.channels)
    return volume


def _run(
    predictor: Predictor,
    cases: Sequence[CaseFiles],
    finish: Finish,
    say: Callable[[str], None],
    scratch: Callable[[Volume], Maps] = lambda volume: None,
    *,
    progress: bool,
) -> tuple[list[Any], list[Failure]]:
    """Read, predict and finish every case, three of them at a time, each in another of these steps."""
    answers, failures = [], []
    coming = _answers(predictor, cases, finish, say, scratch)
    bar = tqdm(coming, total=len(cases), unit="case", disable=not progress)
    for case, answer in zip(cases, bar, strict=True):
        try:
            answers.append(answer.result())
        except FAULTS as error:
            failures.append(Failure(case.name, _line(error)))
            say(str(failures[-1]))
    return answers, failures


def _answers(
    predictor: Predictor,
    cases: Sequence[CaseFiles],
    finish: Finish,
    say: Callable[[str], None],
    scratch: Callable[[Volume], Maps],
) -> Iterator[Future[Any]]:
    """Give a promise for each case: its answer, or what went wrong."""
    read = partial(read_case, task=predictor.model.task, orientation=predictor.model.plan.orientation)
    with ThreadPoolExecutor(1) as reader, ThreadPoolExecutor(1) as writer:
        coming: list[Future[Volume]] = [reader.submit(read, case) for case in cases[:1]]
        last: Future[Any] | None = None
        for number, case in enumerate(cases):
            current = coming.pop()
            if number + 1 < len(cases):
                current.exception()  # one case at a time is read ahead
                coming.append(reader.submit(read, cases[number + 1]))
            answer: Future[Any] = Future()
            try:
                volume = current.result()
                for remark in volume.remarks:
                    say(f"{case.name}: {remark}")
                maps = scratch(volume)
                predictor, label = _predict(predictor, volume, maps, say)
                answer = writer.submit(finish, case, volume, label, maps)
            except FAULTS as error:
                answer.set_exception(error)
            if last is not None:
                yield last
            last = answer
        if last is not None:
            yield last


def _predict(
    predictor: Predictor, volume: Volume, maps: Maps, say: Callable[[str], None]
) -> tuple[Predictor, UInt[Any, "z y x"]]:
    """Predict; where memory does not suffice try once more with one window at a time, and stay with it."""
    try:
        return predictor, predictor.predict(volume.voxels, volume.frame.spacing, maps)
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error) or predictor.most_views == 1:
            raise
    say(
        f"There was too little memory for {predictor.most_views} windows at a time; from here on one at a "
        "time (window_batch=1)."
    )
    smaller = dataclasses.replace(predictor, window_batch=1)
    return smaller, smaller.predict(volume.voxels, volume.frame.spacing, maps)


def _truth(case: CaseFiles, volume: Volume, orientation: str) -> Label:
    if case.label is None:
        raise ImageError(f"{case.name} has no label to be scored against.")
    if is_stored(case.images[0]):
        kept: Label = stored_volume(case.images[0], orientation, "label").voxels[0]
        return kept
    label: Label = case.read_label(orientation, volume).voxels[0]
    return label


def _line(error: BaseException) -> str:
    text = str(error).strip().split("\n")[0] or type(error).__name__
    if is_out_of_memory(error):
        return (
            f"there is too little memory ({text}). Give it a machine with more, or the case a smaller crop."
        )
    return text


def _format_dice(dice: float) -> str:
    return "-" if math.isnan(dice) else f"{dice:.4f}"
