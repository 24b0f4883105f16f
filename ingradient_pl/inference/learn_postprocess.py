"""Post-processing learned from segmentations of validation cases, by nnU-Net's rule."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from ingradient_pl.inference.postprocess import LargestComponent, Step, Steps
from ingradient_pl.metrics.agreement import Label
from ingradient_pl.metrics.evaluation import evaluate, scored_labels
from ingradient_pl.metrics.evaluation_report import mean_of, scores
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
