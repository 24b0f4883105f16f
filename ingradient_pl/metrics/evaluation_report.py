"""An evaluation as files and as text: nnU-Net's summary.json, a CSV, and a table to read."""

import csv
import io
import json
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ingradient_pl.files import replace_file
from ingradient_pl.messages import as_cell
from ingradient_pl.metrics.agreement import Label
from ingradient_pl.metrics.evaluation import CaseScores, Evaluation
from ingradient_pl.metrics.evaluation_interval import LEVEL, RESAMPLES, Bootstrap, interval
from ingradient_pl.phrases import align_columns, name_some, say_count

HEADLINE = "Dice"
UNITS = {"HD95": "mm", "ASSD": "mm"}
"""Of scores that have one."""

NAMES = "labels"
"""Key of a summary that says what its labels are called; nnU-Net's has none."""


def summary(evaluation: Evaluation, rng: np.random.Generator | None = None) -> dict[str, Any]:
    """Give the evaluation with nnU-Net's keys; a region is named by its integers, as ``(1, 2)``.

    Means leave out cases where a score does not exist (NaN); the mean over labels does not. A list
    ``remarks`` stands beside nnU-Net's keys where something makes the scores mean less than they seem.

    Args:
        evaluation: What was found.
        rng: Where chance comes from for the bootstrap interval of each mean over cases; with it a key
            ``spread`` stands beside nnU-Net's, with median, standard deviation and the interval, and the
            patients that it is over; and a key ``labels``, the name of each.
    """
    names = list(evaluation.cases[0].scores[next(iter(evaluation.labels))])
    mean = {
        str(label): {name: mean_of(scores(evaluation, label, name)) for name in names}
        for label in evaluation.labels
    }
    foreground = {name: float(np.mean([entry[name] for entry in mean.values()])) for name in names}
    per_case = [
        {
            "metrics": {str(label): dict(numbers) for label, numbers in case.scores.items()},
            "prediction_file": str(case.prediction),
            "reference_file": str(case.reference),
            **_list_masks(case),
        }
        for case in evaluation.cases
    ]
    whole = {"foreground_mean": foreground, "mean": mean, "metric_per_case": per_case}
    remarks = [*evaluation.remarks, *_describe_skipped(evaluation)]
    whole |= {"remarks": remarks} if remarks else {}
    if rng is None:
        return whole
    called = {str(label): name for label, name in evaluation.labels.items()}
    return {**whole, NAMES: called, "spread": _measure_spread(evaluation, names, rng)}


def _list_masks(case: CaseScores) -> dict[str, Any]:
    """Name a case and its files where those are masks, none of which is named after the case alone."""
    if not any(case.masks):
        return {}
    files = ([{**mask._asdict(), "path": str(mask.path)} for mask in masks] for masks in case.masks)
    return {"case": case.name, "masks": dict(zip(("prediction", "reference"), files, strict=True))}


def write_summary(evaluation: Evaluation, path: Path, rng: np.random.Generator | None = None) -> None:
    """Write nnU-Net's ``summary.json``, with intervals given ``rng``; it appears whole or not at all.

    Args:
        evaluation: Of at least one case.
        path: Replaced where it exists.
        rng: Draws the sets of cases for the intervals; None leaves intervals out.
    """
    text = json.dumps(summary(evaluation, rng), indent=4, sort_keys=True)
    replace_file(Path(path), text.encode())


def write_csv(evaluation: Evaluation, path: Path) -> None:
    """Write one line for each case and label; a score that does not exist is empty.

    Args:
        evaluation: Of at least one case.
        path: Replaced where it exists.
    """
    names = list(evaluation.cases[0].scores[next(iter(evaluation.labels))])
    rows = [["case", "label", "name", *names]]
    for case in evaluation.cases:
        for label, numbers in case.scores.items():
            values = ["" if math.isnan(numbers[name]) else repr(numbers[name]) for name in names]
            rows.append([as_cell(case.name), str(label), as_cell(evaluation.labels[label]), *values])
    lines = io.StringIO(newline="")
    csv.writer(lines).writerows(rows)
    replace_file(Path(path), lines.getvalue().encode())


def table(
    evaluation: Evaluation,
    name: str = HEADLINE,
    *,
    cases: bool = True,
    rng: np.random.Generator | None = None,
) -> str:
    """Give one score as text: by label its mean, median and spread, and by case.

    Args:
        evaluation: What was found.
        name: Of the score.
        cases: Whether each case gets a line.
        rng: Where chance comes from for the interval of each mean; without it there is none.
    """
    unit = f", {UNITS[name]}" if name in UNITS else ""
    text = f"{name}{unit}\n{align_columns(_by_label(evaluation, name, rng), numbers=True)}"
    if cases:
        heads = ["case", *evaluation.labels.values()]
        rows = [
            [case.name, *_cells(case.scores[label][name] for label in evaluation.labels)]
            for case in evaluation.cases
        ]
        text += f"\n\n{align_columns([heads, *rows], numbers=True)}"
    if cases and evaluation.skipped:
        text += f"\n\n{_describe_skipped(evaluation)[0]}"
    return text


def scores(evaluation: Evaluation, label: Label, name: str) -> list[float]:
    """Give one score of one label for each case, in the order of the cases.

    Args:
        evaluation: Of at least one case.
        label: A key of ``evaluation.labels``.
        name: Of the score, such as ``Dice``.
    """
    return [case.scores[label][name] for case in evaluation.cases]


def mean_of(values: Iterable[float]) -> float:
    """Give the mean of what exists (is not NaN); NaN where nothing does.

    Args:
        values: NaN where one does not exist.
    """
    known = [value for value in values if not math.isnan(value)]
    return float(np.mean(known)) if known else math.nan


def _by_label(evaluation: Evaluation, name: str, rng: np.random.Generator | None) -> list[list[str]]:
    bounds = {} if rng is None else _bounds(evaluation, name, _draw_patients(evaluation, rng))
    percent = f"{LEVEL:.0%}".replace("%", " %")
    heads = ["label", "cases", "mean", "median", "std", "min", "max"]
    rows = [heads + ([f"{percent} low", f"{percent} high"] if bounds else [])]
    for label, title in evaluation.labels.items():
        values = [value for value in scores(evaluation, label, name) if not math.isnan(value)]
        spread = [mean_of(values), *_middle(values).values()]
        spread += [min(values), max(values)] if values else [math.nan] * 2
        rows.append(
            [f"{title} ({_short(label)})", str(len(values)), *_cells([*spread, *bounds.get(label, ())])]
        )
    means = [mean_of(scores(evaluation, label, name)) for label in evaluation.labels]
    whole = [*_cells([float(np.mean(means))]), *[""] * 4, *_cells(bounds.get(None, ()))]
    return [*rows, ["mean of labels", str(len(evaluation.cases)), *whole]]


def _describe_skipped(evaluation: Evaluation) -> list[str]:
    count = len(evaluation.skipped)
    return (
        [f"{say_count(count, 'label')} without a prediction: {name_some(evaluation.skipped, 8)}"]
        if count
        else []
    )


def _draw_patients(evaluation: Evaluation, rng: np.random.Generator) -> Bootstrap:
    return Bootstrap.of(len(evaluation.cases), rng, groups=list(evaluation.patients.values()))


def _bounds(
    evaluation: Evaluation, name: str, bootstrap: Bootstrap
) -> dict[Label | None, tuple[float, float]]:
    """The interval of each label's mean, and (None) of the mean of these."""
    values = np.array([scores(evaluation, label, name) for label in evaluation.labels], dtype=np.float64).T
    means = bootstrap.means(values)
    bounds: dict[Label | None, tuple[float, float]] = {
        label: interval(means[:, column]) for column, label in enumerate(evaluation.labels)
    }
    bounds[None] = interval(means.mean(axis=1))
    return bounds


def _measure_spread(evaluation: Evaluation, names: Sequence[str], rng: np.random.Generator) -> dict[str, Any]:
    bootstrap, groups = _draw_patients(evaluation, rng), evaluation.patients
    bounds = {name: _bounds(evaluation, name, bootstrap) for name in names}
    return {
        "level": LEVEL,
        "resamples": RESAMPLES,
        "patients": len(set(groups.values())),
        "groups": groups,
        "foreground_mean": {name: _low_high(bounds[name][None]) for name in names},
        "mean": {
            str(label): {
                name: {**_middle(scores(evaluation, label, name)), **_low_high(bounds[name][label])}
                for name in names
            }
            for label in evaluation.labels
        },
    }


def _low_high(bounds: tuple[float, float]) -> dict[str, float]:
    return dict(zip(("low", "high"), bounds, strict=True))


def _middle(values: Sequence[float]) -> dict[str, float]:
    """Median and standard deviation of what exists; an infinite score leaves no deviation."""
    known = [value for value in values if not math.isnan(value)]
    return {
        "median": float(np.median(known)) if known else math.nan,
        "std": float(np.std(known)) if known and all(map(math.isfinite, known)) else math.nan,
    }


def _short(label: Label) -> str:
    return "+".join(map(str, label)) if isinstance(label, tuple) else str(label)


def _cells(values: Iterable[float]) -> list[str]:
    return ["-" if math.isnan(value) else f"{value:.4f}" for value in values]
