"""Two runs on the same cases: how they differ, how sure that is, and whether chance would do it."""

import math
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Integer
from scipy import stats

from ingradient_pl.datasets.groups import PATTERN, group_cases
from ingradient_pl.metrics.evaluation import case_name
from ingradient_pl.metrics.evaluation_interval import LEVEL, Bootstrap, interval
from ingradient_pl.metrics.evaluation_report import columns
from ingradient_pl.metrics.patients import describe_patients, number_groups, unite_groups
from ingradient_pl.plain_values import read_json
from ingradient_pl.short_repr import short_repr
from ingradient_pl.spec import check_types

MEAN = "mean of labels"
"""Stands for the mean of each case's labels."""

FEW = 5

Scores = dict[str, dict[str, dict[str, float]]]
"""By case, by label, by name of the score."""


class ComparisonError(ValueError):
    """Two evaluations that cannot be compared; the message says why."""


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
    """

    score: str
    rows: list[Difference]
    cases: int
    groups: dict[str, str]

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
    read = [_read(Path(file)) for file in (first, second)]
    runs, told = [scores for scores, _ in read], [groups for _, groups in read if groups]
    _check_same("cases", [set(run) for run in runs], (first, second))
    labels = [[label for case in run.values() for label in case] for run in runs]
    _check_same("labels", [set(names) for names in labels], (first, second))
    order = list(dict.fromkeys(labels[0]))
    tables = [
        _table(run, sorted(runs[0]), order, score, file)
        for run, file in zip(runs, (first, second), strict=True)
    ]
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
    return Comparison(score, rows, len(runs[0]), groups)


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
        [row.label, str(row.cases), *("-" if math.isnan(value) else f"{value:.4f}" for value in row[2:4])]
        + ["-" if math.isnan(value) else f"{value:+.4f}" for value in row[4:7]]
        + ["-" if math.isnan(row.p) else f"{row.p:.3g}"]
        for row in comparison.rows
    ]
    text = f"{comparison.score}, second minus first\n{columns([heads, *rows])}"
    text += f"\n\n{describe_patients(comparison.groups)}"
    short = [row for row in comparison.rows if row.cases < comparison.cases]
    if short:
        text += f"\n\nOf {comparison.cases} cases, those without a finite score in both runs are left out."
    return text


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
        "labels": {
            row.label: {k: v for k, v in row._asdict().items() if k != "label"} for row in comparison.rows
        },
    }


class _Case:
    """Types of what a summary says of a case, for :func:`check_types`."""

    def __init__(self, metrics: Mapping[str, Mapping[str, float | None]]) -> None: ...


def _read(path: Path) -> tuple[Scores, dict[str, str]]:
    """Read the scores of a summary, and the patients it tells (nnU-Net's tells none)."""
    try:
        plain = read_json(path)
        entries = [
            (case_name(Path(case["prediction_file"])), case["metrics"]) for case in plain["metric_per_case"]
        ]
        groups = {name: str(group) for name, group in dict(plain.get("spread", {}).get("groups", {})).items()}
        for _, metrics in entries:
            check_types(_Case, {"metrics": metrics})
    except OSError as error:
        raise ComparisonError(f"{path} cannot be read ({error.strerror}): check the path.") from error
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise ComparisonError(
            f"{path} is not a summary with 'metric_per_case' ({type(error).__name__}: {error}). Give the "
            "JSON file that ingradient evaluate or nnU-Net wrote."
        ) from error
    if not entries or len(dict(entries)) < len(entries):
        raise ComparisonError(
            f"{path} holds {'a case twice' if entries else 'no case'}: nothing to compare by case."
        )
    return dict(entries), groups


def _check_same(what: str, found: Sequence[set[str]], files: Sequence[Path]) -> None:
    faults = [
        f"only in {file}: {_few(sorted(mine - other))} ({len(mine - other)})"
        for file, mine, other in zip(files, found, found[::-1], strict=True)
        if mine - other
    ]
    if faults:
        raise ComparisonError(
            f"The two runs do not have the same {what}, so they cannot be compared in pairs: "
            f"{'; '.join(faults)}. Evaluate both on the same {what}."
        )


def _few(names: Sequence[str]) -> str:
    return ", ".join(names[:FEW]) + (", ..." if len(names) > FEW else "")


def _table(
    run: Scores, cases: Sequence[str], labels: Sequence[str], score: str, file: Path
) -> Float[np.ndarray, "case column"]:
    """One row a case, one column a label and a last one for their mean; NaN where a score does not exist."""
    known: Mapping[str, float] = next(iter(run[cases[0]].values()), {})
    if score not in known:
        raise ComparisonError(f"{file} has no score '{score}'; it has {', '.join(known) or 'none'}.")
    values = np.array(
        [[_number(run[case].get(label, {}).get(score)) for label in labels] for case in cases],
        dtype=np.float64,
    )
    count = (~np.isnan(values)).sum(axis=1)
    mean = np.full(len(values), math.nan)
    np.divide(np.nansum(values, axis=1), count, out=mean, where=count > 0)
    return np.concatenate([values, mean[:, None]], axis=1)


def _number(value: float | None) -> float:
    return math.nan if value is None else float(value)


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
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a few cases with ties: the normal approximation is coarse
        return float(stats.wilcoxon(apart).pvalue)
