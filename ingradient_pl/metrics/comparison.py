"""Two runs on the same cases: how they differ, how sure that is, and whether chance would do it."""

import math
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Integer

from ingradient_pl.datasets.groups import PATTERN, group_cases
from ingradient_pl.metrics.comparison_files import (
    ComparisonError,
    Scores,
    check_same,
    describe_names,
    describe_references,
    number_or_nan,
    read_summary,
)
from ingradient_pl.metrics.evaluation_interval import LEVEL, Bootstrap, interval
from ingradient_pl.metrics.patients import describe_patients, number_groups, unite_groups
from ingradient_pl.phrases import align_columns
from ingradient_pl.short_repr import short_repr

MEAN = "mean of labels"
"""Stands for the mean of each case's labels that have a score in both runs."""


class Difference(NamedTuple):
    """How one score of one label differs from a first run to a second.

    Args:
        label: As the files have it, or ``mean of labels``.
        cases: Those in which both runs have a finite score; the others are left out of all that follows.
        first: Mean of the first run.
        second: Mean of the second.
        difference: Second minus first, in the mean.
        low: Lower bound of the 95 % bootstrap interval of the difference.
        high: Upper bound.
        p: Of Wilcoxon's signed-rank test, two-sided: how often runs that do not differ would look so; NaN
            without a case, 1 where no case differs.
        patients: Those that interval and test are over: all cases of one are drawn together, and the test is
            on the mean of each. NaN bounds where there is one only.
    """

    label: str
    cases: int
    first: float
    second: float
    difference: float
    low: float
    high: float
    p: float
    patients: int


class Comparison(NamedTuple):
    """What two runs have to do with each other.

    Args:
        score: Name of the score.
        rows: One for each label, and one for the mean of each case's labels.
        cases: How many cases the two files hold.
        groups: Patient of each case.
        remarks: What makes the differences mean less than they seem.
        names: Name of each label, where the files tell it.
    """

    score: str
    rows: list[Difference]
    cases: int
    groups: dict[str, str]
    remarks: tuple[str, ...] = ()
    names: Mapping[str, str] = {}

    def __repr__(self) -> str:
        return short_repr(self)


def compare(
    first: Path,
    second: Path,
    rng: np.random.Generator,
    score: str = "Dice",
    group_pattern: str | None = None,
) -> Comparison:
    """Hold two summary.json files, ours or nnU-Net's, against each other case by case.

    Args:
        first: The file of the first run.
        second: That of the second, on the same cases and labels.
        rng: Where chance comes from for the intervals.
        score: Which score.
        group_pattern: Regular expression with a group that finds the patient in a case's name. None: as the
            files tell (cases are together that either has together), by the cases' names where neither does.

    Raises:
        GroupError: If the pattern is not a regular expression with a group.
        ComparisonError: If a file is no such summary, or cases, labels or the score are not the same in both.
    """
    read = [read_summary(Path(file)) for file in (first, second)]
    runs, told = [one.scores for one in read], [one.groups for one in read if one.groups]
    check_same("cases", [set(run) for run in runs], (first, second))
    labels = [[label for case in run.values() for label in case] for run in runs]
    check_same("labels", [set(names) for names in labels], (first, second))
    order = list(dict.fromkeys(labels[0]))
    tables = _with_means(
        [
            _table(run, sorted(runs[0]), order, score, file)
            for run, file in zip(runs, (first, second), strict=True)
        ]
    )
    cases = sorted(runs[0])
    if group_pattern is not None or not told:
        groups = group_cases(cases, PATTERN if group_pattern is None else group_pattern)
    else:
        groups = unite_groups(told, cases)
    patients = number_groups(list(groups.values()))
    bootstrap_seed = int(rng.integers(2**63))
    rows = [
        _difference(
            name, tables[0][:, column], tables[1][:, column], patients, np.random.default_rng(bootstrap_seed)
        )
        for column, name in enumerate([*order, MEAN])
    ]
    remarks = [*describe_names(read), *describe_references(runs)]
    if Path(first).resolve() == Path(second).resolve():
        remarks.append(f"Both runs are the same file, {first}: give the summary of another run.")
    names = {**read[1].names, **read[0].names}
    return Comparison(score, rows, len(runs[0]), groups, tuple(remarks), names)


def comparison_table(comparison: Comparison) -> str:
    """Give a comparison as text.

    Args:
        comparison: As :func:`compare` gave it.
    """
    percent = f"{LEVEL:.0%}".replace("%", " %")
    heads = [
        "label",
        "cases",
        "first",
        "second",
        "difference",
        f"{percent} low",
        f"{percent} high",
        "Wilcoxon p",
    ]
    rows = [
        [
            _title(row.label, comparison),
            str(row.cases),
            *("-" if math.isnan(value) else f"{value:.4f}" for value in row[2:4]),
        ]
        + ["-" if math.isnan(value) else f"{value:+.4f}" for value in row[4:7]]
        + ["-" if math.isnan(row.p) else f"{row.p:.3g}"]
        for row in comparison.rows
    ]
    text = f"{comparison.score}, second minus first\n{align_columns([heads, *rows], numbers=True)}"
    text += f"\n\n{describe_patients(comparison.groups)}"
    short = [row for row in comparison.rows if row.cases < comparison.cases]
    if short:
        text += f"\n\nOf {comparison.cases} cases, those without a finite score in both runs are left out."
    return "\n".join([text, *(f"\nNote: {remark}" for remark in comparison.remarks)])


def describe_comparison(comparison: Comparison) -> dict[str, Any]:
    """Give a comparison as plain values for JSON.

    Args:
        comparison: As :func:`compare` gave it.
    """
    return {
        "score": comparison.score,
        "cases": comparison.cases,
        "patients": len(set(comparison.groups.values())),
        "level": LEVEL,
        **({"remarks": list(comparison.remarks)} if comparison.remarks else {}),
        "labels": {
            row.label: {
                **({"name": comparison.names[row.label]} if row.label in comparison.names else {}),
                **{k: v for k, v in row._asdict().items() if k != "label"},
            }
            for row in comparison.rows
        },
    }


def _title(label: str, comparison: Comparison) -> str:
    """Name a label as the table of an evaluation does."""
    name = comparison.names.get(label)
    return label if name is None else f"{name} ({label})"


def _table(
    run: Scores, cases: Sequence[str], labels: Sequence[str], score: str, file: Path
) -> Float[np.ndarray, "case label"]:
    """One row a case, one column a label; NaN where a score does not exist."""
    known: Mapping[str, float] = next(iter(run[cases[0]].values()), {})
    if score not in known:
        raise ComparisonError(f"{file} has no score '{score}'; it has {', '.join(known) or 'none'}.")
    return np.array(
        [[number_or_nan(run[case].get(label, {}).get(score)) for label in labels] for case in cases],
        dtype=np.float64,
    )


def _with_means(
    tables: Sequence[Float[np.ndarray, "case label"]],
) -> list[Float[np.ndarray, "case column"]]:
    """Add the mean of each case's labels, of those that have a score in both runs."""
    both = ~np.isnan(tables[0]) & ~np.isnan(tables[1])
    count = both.sum(axis=1)
    made = []
    for values in tables:
        mean = np.full(len(values), math.nan)
        np.divide(np.where(both, values, 0.0).sum(axis=1), count, out=mean, where=count > 0)
        made.append(np.concatenate([values, mean[:, None]], axis=1))
    return made


def _difference(
    label: str,
    first: Float[np.ndarray, " case"],
    second: Float[np.ndarray, " case"],
    patients: Integer[np.ndarray, " case"],
    rng: np.random.Generator,
) -> Difference:
    both = np.isfinite(first) & np.isfinite(second)
    if not both.any():
        return Difference(label, 0, *(math.nan,) * 6, 0)
    one, two = first[both], second[both]
    apart, groups = two - one, number_groups(patients[both].tolist())
    means = Bootstrap.of(len(apart), rng, groups=groups.tolist()).means(apart[:, None])[:, 0]
    centre = (float(one.mean()), float(two.mean()), float(apart.mean()))
    each = np.bincount(groups, apart) / np.bincount(groups)
    return Difference(label, len(apart), *centre, *interval(means), _wilcoxon(each), len(each))


def _wilcoxon(apart: Float[np.ndarray, " patient"]) -> float:
    if not apart.any():
        return 1.0
    from scipy import stats  # half a second, for those who compare

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a few cases with ties: the normal approximation is coarse
        return float(stats.wilcoxon(apart).pvalue)
