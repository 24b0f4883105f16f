"""Which of several configurations, or pair of them, predicts best in cross-validation, by nnU-Net's rule."""

import itertools
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ingradient_pl.datasets.records import CaseFiles
from ingradient_pl.inference.answer_files import answer_parts, answer_task, target_files
from ingradient_pl.inference.answer_folder import AnswerFolder, identify
from ingradient_pl.inference.average import decode_average
from ingradient_pl.inference.predict_cases import write_answer
from ingradient_pl.inference.probabilities import ENDING, read_maps
from ingradient_pl.inference.to_native import LabelDecoder
from ingradient_pl.metrics.comparison import MEAN as MEAN
from ingradient_pl.metrics.evaluation import Change, Evaluation, evaluate
from ingradient_pl.metrics.evaluation_report import HEADLINE, summary, write_summary
from ingradient_pl.phrases import align_columns
from ingradient_pl.short_repr import short_repr
from ingradient_pl.store.label_maps import find_answers
from ingradient_pl.store.store_union import AnyCases, store_paths
from ingradient_pl.store.stored_cases import stored_cases
from ingradient_pl.task import Task

SUMMARY = "summary.json"
TOGETHER = "+"
"""Between the names of two configurations that are averaged."""


class Score(NamedTuple):
    """A mean over cases, and the interval that it lies in where patients are drawn anew.

    Args:
        mean: Over cases in which the score exists.
        low: Lower bound of the 95 % interval over patients; NaN where there is one patient.
        high: Upper bound.
    """

    mean: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.mean:.4f} [{self.low:.4f}, {self.high:.4f}]"


class Candidate(NamedTuple):
    """A configuration, or a pair of which the probabilities are averaged, and what it reaches.

    Args:
        members: Names of the configurations.
        predictions: Folder with a segmentation of each held-out case.
        dice: By label, and last the mean of labels.
        cases: How many were scored.
        patients: Whom they are of.
        stores: Where the cases are of several stores: the same of each store's, by its name.
    """

    members: tuple[str, ...]
    predictions: Path
    dice: dict[str, Score]
    cases: int
    patients: int
    stores: Mapping[str, dict[str, Score]] = {}

    def __repr__(self) -> str:
        return short_repr(self)

    @property
    def name(self) -> str:
        """Of the configuration, or ``ONE+OTHER``."""
        return TOGETHER.join(self.members)

    def describe(self) -> dict[str, Any]:
        """Give it as plain values for JSON."""
        told = {"members": list(self.members), "cases": self.cases, "patients": self.patients}
        stores = {store: {"Dice": _describe_dice(dice)} for store, dice in self.stores.items()}
        return {**told, "Dice": _describe_dice(self.dice), **({"stores": stores} if stores else {})}


def score_candidate(
    members: Sequence[str], predictions: Path, store: AnyCases, after: Change | None = None
) -> Candidate:
    """Score the held-out predictions of a configuration against the store's labels.

    Args:
        members: Names of the configurations that they come from.
        predictions: Their folder; without ``after`` a ``summary.json`` with nnU-Net's keys is left beside it,
            and of several stores a ``summary@STORE.json`` for each.
        store: The cases and their labels.
        after: What is done to each prediction before it is scored.
    """
    found = evaluate(predictions, store_paths(store), store.task.in_files, before=after)
    names = sorted({store.cases[case.name].store for case in found.cases} - {""})
    parts = {name: _part_of(found, name, store) for name in names}
    if after is None:
        files = {SUMMARY: found, **{f"summary@{name}.json": part for name, part in parts.items()}}
        for file, part in files.items():
            write_summary(part, predictions.parent / file, np.random.default_rng(0))
    by_store = {name: read_dice(part) for name, part in parts.items()}
    patients = len(set(found.patients.values()))
    return Candidate(tuple(members), predictions, read_dice(found), len(found.cases), patients, by_store)


def _part_of(found: Evaluation, name: str, store: AnyCases) -> Evaluation:
    """Give the scores of one store's cases, without labels that none of them has a score of."""
    cases = [case for case in found.cases if store.cases[case.name].store == name]
    scored = {label for case in cases for label, one in case.scores.items() if not math.isnan(one[HEADLINE])}
    labels = {label: named for label, named in found.labels.items() if label in scored}
    return found._replace(labels=labels or found.labels, cases=cases)


def read_dice(evaluation: Evaluation) -> dict[str, Score]:
    """Give mean and interval of each label by its name, and last those of the mean of labels.

    Args:
        evaluation: What was found; the bootstrap's draws are the same each time.
    """
    found = summary(evaluation, np.random.default_rng(0))
    spread = found["spread"]
    dice = {
        name: _score(found["mean"][str(label)], spread["mean"][str(label)])
        for label, name in evaluation.labels.items()
    }
    return {**dice, MEAN: _score(found["foreground_mean"], spread["foreground_mean"])}


def average_pairs(
    folders: Mapping[str, Path], checkpoints: Mapping[str, Sequence[Path]], output: Path, store: AnyCases
) -> dict[tuple[str, ...], Path]:
    """Average each pair of configurations, case by case.

    Args:
        folders: Predictions of each configuration with their maps of probabilities.
        checkpoints: What made them; answers of other checkpoints are made again.
        output: ``ONE+OTHER/predictions`` are made in it.
        store: The cases.

    Returns:
        The folder of each pair's segmentations.
    """
    pairs = itertools.combinations(folders, 2)
    return {
        pair: average_folders(
            [folders[name] for name in pair],
            output / TOGETHER.join(pair) / "predictions",
            identify([file for name in pair for file in checkpoints[name]]),
            store,
        )
        for pair in pairs
    }


def average_folders(folders: Sequence[Path], output: Path, model: str, store: AnyCases) -> Path:
    """Average the maps of probabilities of several folders; write what they say together.

    Args:
        folders: Each with ``CASE.npz`` and ``CASE.nii.gz`` of the same cases.
        output: Folder of the answers; what was made of the same models is left as it is.
        model: What names the models.
        store: The cases.

    Returns:
        ``output``.

    Raises:
        ValueError: If a file of maps is damaged.
    """
    names = {file.name.removesuffix(ENDING) for file in folders[0].glob(f"*{ENDING}")}
    cases = [case for case in stored_cases(store_paths(store), store.task).cases if case.name in names]
    answers, targets = AnswerFolder(output, store.task, model), target_files(cases, output, store.task)
    answers.begin(cases, targets, resume=True)
    for case in cases:
        if not all(file.is_file() for file in answer_parts(targets[case.name], store.task)):
            _average_case(case, folders, targets[case.name], store.task)
    answers.finish(targets)
    return output


def choose_best(candidates: Sequence[Candidate]) -> Candidate:
    """Choose the highest mean Dice over labels; of equals a configuration alone, and the first.

    Args:
        candidates: Configurations and pairs, all scored on the same cases.

    Raises:
        ValueError: If they were scored on different numbers of cases, or there are none.
    """
    if len({candidate.cases for candidate in candidates}) != 1:
        counts = {candidate.name: candidate.cases for candidate in candidates}
        raise ValueError(f"Configurations are compared on the same cases; got {counts}.")
    alone_first = sorted(candidates, key=lambda candidate: len(candidate.members))
    return max(alone_first, key=lambda candidate: np.nan_to_num(candidate.dice[MEAN].mean, nan=-1.0))


def candidate_table(candidates: Sequence[Candidate]) -> str:
    """Give what each reaches as text, a column a label.

    Args:
        candidates: Configurations and pairs.
    """
    heads, rows = ["configuration", *candidates[0].dice], list[list[str]]()
    for one in candidates:
        rows.append([one.name, *map(str, one.dice.values())])
        rows += [
            [f"  {store}", *(str(dice.get(label, "")) for label in one.dice)]
            for store, dice in one.stores.items()
        ]
    table = align_columns([heads, *rows], numbers=True)
    return f"{HEADLINE}: mean over cases [95 % interval over patients]\n{table}"


def _average_case(case: CaseFiles, folders: Sequence[Path], target: Path, task: Task) -> None:
    maps = [read_maps(folder / f"{case.name}{ENDING}") for folder in folders]
    label = decode_average(maps, LabelDecoder.of(task))
    volume = find_answers(folders[0], answer_task(task))[case.name].read()
    write_answer(target, volume.source.turn.apply(label), volume, task)


def _describe_dice(dice: Mapping[str, Score]) -> dict[str, Any]:
    return {label: score._asdict() for label, score in dice.items()}


def _score(mean: Mapping[str, float], spread: Mapping[str, Any]) -> Score:
    bounds: Mapping[str, float] = spread[HEADLINE]
    return Score(mean[HEADLINE], bounds["low"], bounds["high"])
