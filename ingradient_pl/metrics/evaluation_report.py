"""An evaluation as files and as text: nnU-Net's summary.json, a CSV, and a table to read."""

import csv
import json
import math
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ingradient_pl.metrics.evaluation import Evaluation, Label

HEADLINE = "Dice"
SPREAD = (np.mean, np.median, np.std, np.min, np.max)


def summary(evaluation: Evaluation) -> dict[str, Any]:
    """Give the evaluation with nnU-Net's keys; a region is named by its integers, as ``(1, 2)``.

    Means leave out cases where a score does not exist (NaN); the mean over labels does not.
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
        }
        for case in evaluation.cases
    ]
    return {"foreground_mean": foreground, "mean": mean, "metric_per_case": per_case}


def write_summary(evaluation: Evaluation, path: Path) -> None:
    """Write nnU-Net's ``summary.json``; it appears whole or not at all."""
    _write(path, json.dumps(summary(evaluation), indent=4, sort_keys=True))


def write_csv(evaluation: Evaluation, path: Path) -> None:
    """Write one line for each case and label; a score that does not exist is empty."""
    names = list(evaluation.cases[0].scores[next(iter(evaluation.labels))])
    rows = [["case", "label", "name", *names]]
    for case in evaluation.cases:
        for label, numbers in case.scores.items():
            values = ["" if math.isnan(numbers[name]) else repr(numbers[name]) for name in names]
            rows.append([case.name, str(label), evaluation.labels[label], *values])
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = _temporary(path)
    with temporary.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)
    temporary.replace(path)


def table(evaluation: Evaluation, name: str = HEADLINE, *, cases: bool = True) -> str:
    """Give one score as text: by label its mean, median and spread, and by case.

    Args:
        evaluation: What was found.
        name: Of the score.
        cases: Whether each case gets a line.
    """
    heads = ["label", "cases", "mean", "median", "std", "min", "max"]
    rows = []
    for label, title in evaluation.labels.items():
        values = [value for value in scores(evaluation, label, name) if not math.isnan(value)]
        spread = [float(measure(values)) if values else math.nan for measure in SPREAD]
        rows.append([f"{title} ({_short(label)})", str(len(values)), *_cells(spread)])
    means = [mean_of(scores(evaluation, label, name)) for label in evaluation.labels]
    rows.append(["mean of labels", str(len(evaluation.cases)), *_cells([float(np.mean(means))]), *[""] * 4])
    text = f"{name}\n{_columns([heads, *rows])}"
    if cases:
        heads = ["case", *evaluation.labels.values()]
        rows = [
            [case.name, *_cells(case.scores[label][name] for label in evaluation.labels)]
            for case in evaluation.cases
        ]
        text += f"\n\n{_columns([heads, *rows])}"
    if evaluation.skipped:
        text += f"\n\n{len(evaluation.skipped)} labels without a prediction: {_few(evaluation.skipped)}"
    return text


def scores(evaluation: Evaluation, label: Label, name: str) -> list[float]:
    """Give one score of one label for each case, in the order of the cases."""
    return [case.scores[label][name] for case in evaluation.cases]


def mean_of(values: Iterable[float]) -> float:
    """Give the mean of what exists (is not NaN); NaN where nothing does."""
    known = [value for value in values if not math.isnan(value)]
    return float(np.mean(known)) if known else math.nan


def _short(label: Label) -> str:
    return "+".join(map(str, label)) if isinstance(label, tuple) else str(label)


def _cells(values: Iterable[float]) -> list[str]:
    return ["-" if math.isnan(value) else f"{value:.4f}" for value in values]


def _columns(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [
            row[0].ljust(widths[0]),
            *(cell.rjust(w) for cell, w in zip(row[1:], widths[1:], strict=True)),
        ]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def _few(names: Sequence[str], most: int = 8) -> str:
    return ", ".join(names[:most]) + (", ..." if len(names) > most else "")


def _temporary(path: Path) -> Path:
    return path.with_name(f".{os.getpid()}-unfinished-{path.name}")


def _write(path: Path, text: str) -> None:
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = _temporary(path)
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)
