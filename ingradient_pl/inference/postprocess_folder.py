"""Post-processing of whole folders: applied to finished segmentations, and learned from validation cases."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from ingradient_pl.images import formats
from ingradient_pl.inference.answer_files import answer_parts
from ingradient_pl.inference.case_pipeline import FAULTS, Failure
from ingradient_pl.inference.postprocess import LargestComponent, Step, Steps
from ingradient_pl.inference.predict_cases import write_answer
from ingradient_pl.metrics.agreement import Label
from ingradient_pl.metrics.evaluation import EvaluationError, evaluate, scored_labels
from ingradient_pl.metrics.evaluation_report import mean_of, scores
from ingradient_pl.store.label_maps import LabelError, LabelMap, find_answers
from ingradient_pl.task import Task
from ingradient_pl.workers.threads import Threads

Dice = dict[Label, float]
"""Mean over cases, by label or region."""


class Trial(NamedTuple):
    """What a step did to the mean Dice, and whether it stays.

    Args:
        name: What was tried.
        before: Mean Dice without it.
        after: Mean Dice with it.
        kept: Whether it stays.
    """

    name: str
    before: float
    after: float
    kept: bool

    def __str__(self) -> str:
        verdict = "kept" if self.kept else "not kept"
        return f"largest component of {self.name}: Dice {self.before:.4f} -> {self.after:.4f}, {verdict}"


class Learned(NamedTuple):
    """Steps that help, and everything that was tried.

    Args:
        steps: What to do, in this order.
        trials: What was tried.
    """

    steps: Steps
    trials: list[Trial]


def learn(predictions: Path, labels: Path | Sequence[Path], task: Task, workers: int = 2) -> Learned:
    """Find out where keeping the largest component alone helps, by nnU-Net's rule.

    First for all foreground as one object: it stays if the mean Dice over labels rises and that of no label
    falls. Then for each label, or region in the task's order, on top of it: it stays if the label's own mean
    Dice rises.

    Args:
        predictions: Folder of segmentations of validation cases.
        labels: Their references, as for :func:`ingradient_pl.metrics.evaluation.evaluate`.
        task: What the integers mean.
        workers: Cases read at a time.

    Raises:
        EvaluationError: If the folders do not go together.
    """

    def dice(*steps: Step) -> Dice:
        found = evaluate(predictions, labels, task, before=Steps(steps), pool=Threads(workers))
        return {label: mean_of(scores(found, label, "Dice")) for label in found.labels}

    names = scored_labels(task)
    plain, whole = dice(), LargestComponent(together=True)
    tried = dice(whole)
    means = mean_of(plain.values()), mean_of(tried.values())
    better = means[1] > means[0] and not any(tried[label] < plain[label] for label in names)
    first = Trial("all foreground", *means, better)
    start, current = ((whole,), tried) if better else ((), plain)
    if len(names) == 1:
        return Learned(Steps(start), [first])
    follow = _by_region if task.has_regions else _by_label
    steps, trials = follow(names, start, current, dice)
    return Learned(Steps(steps), [first, *trials])


def process_folder(
    predictions: Path, output: Path, step: Step, task: Task | None = None, workers: int = 2
) -> tuple[list[Path], list[Failure]]:
    """Apply a step to every segmentation of a folder; each answer keeps its file's grid and name.

    Args:
        predictions: Folder of segmentations.
        output: Another folder, for the answers.
        step: What to do.
        task: What the predictions mean; None where their integers are all that is needed.
        workers: Cases at a time.

    Returns:
        The files written, and the cases that could not be done.

    Raises:
        EvaluationError: If there is nothing to read.
        ValueError: If both folders are the same.
    """
    predictions, output = Path(predictions), Path(output)
    if predictions.resolve() == output.resolve():
        raise ValueError(f"{output} holds the predictions themselves. Name another folder for the answers.")
    try:
        answers = sorted(find_answers(predictions, task).items())
    except LabelError as error:
        raise EvaluationError(str(error)) from error

    def process(entry: tuple[str, LabelMap]) -> Path | Failure:
        name, answer = entry
        try:
            volume = answer.read()
            if task is None or task.overlap is None:
                target = output / answer.path.name
                formats.write_label(target, step(volume.voxels[0], volume.frame.spacing), volume)
                return target
            target = output / f"{name}{formats.ending(answer.path)}"
            write_answer(target, Steps((step,))(volume.voxels, volume.frame.spacing), volume, task)
        except FAULTS as error:
            return Failure(name, str(error))
        return answer_parts(target, task)[0]

    with ThreadPoolExecutor(workers) as pool:
        done = list(pool.map(process, answers))
    failures = [one for one in done if isinstance(one, Failure)]
    return [one for one in done if isinstance(one, Path)], failures


def _by_label(
    names: dict[Label, str], start: tuple[Step, ...], current: Dice, dice: Callable[..., Dice]
) -> tuple[tuple[Step, ...], list[Trial]]:
    """Try all labels in one pass: what is removed from one changes no other's score."""
    tried = dice(*start, LargestComponent())
    trials = [Trial(name, current[one], tried[one], tried[one] > current[one]) for one, name in names.items()]
    kept = [one for one, trial in zip(names, trials, strict=True) if trial.kept]
    values = tuple(value for one in kept for value in _integers(one))
    return (*start, LargestComponent(values)) if values else start, trials


def _by_region(
    names: dict[Label, str], start: tuple[Step, ...], current: Dice, dice: Callable[..., Dice]
) -> tuple[tuple[Step, ...], list[Trial]]:
    """Try regions one after the other, each on top of those that stayed: they share voxels."""
    steps, trials = start, []
    for region, name in names.items():
        longer: tuple[Step, ...] = (*steps, LargestComponent(_integers(region), together=True))
        tried = dice(*longer)
        trials.append(Trial(name, current[region], tried[region], tried[region] > current[region]))
        if trials[-1].kept:
            steps, current = longer, tried
    return steps, trials


def _integers(label: Label) -> tuple[int, ...]:
    return label if isinstance(label, tuple) else (label,)
