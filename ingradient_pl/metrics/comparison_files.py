"""Summaries of evaluations as files, read for a comparison; and whether two of them go together."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from ingradient_pl.json_files import read_object
from ingradient_pl.metrics.evaluation import case_name
from ingradient_pl.metrics.evaluation_report import NAMES
from ingradient_pl.phrases import name_some
from ingradient_pl.spec import check_types

REFERENCE = "n_ref"
"""Voxels of a reference."""


SHARES = {"Dice", "IoU", "NSD"}
"""Scores in [0, 1]."""

Scores = dict[str, dict[str, dict[str, float]]]
"""By case, by label, by name of the score."""


class ComparisonError(ValueError):
    """Two evaluations that cannot be compared; the message says why."""


class _Case:
    """Types of what a summary says of a case, for :func:`check_types`."""

    def __init__(self, metrics: Mapping[str, Mapping[str, float | None]]) -> None: ...


class Scored(NamedTuple):
    """What a summary says of its cases.

    Args:
        scores: By case, by label, by name of the score.
        groups: Patient of each case; nnU-Net's summaries tell none.
        names: Name of each label; nnU-Net's summaries tell none.
    """

    scores: Scores
    groups: dict[str, str]
    names: dict[str, str]


def read_summary(path: Path) -> Scored:
    """Read the scores of a summary, and the patients and names of labels that it tells.

    Args:
        path: A JSON file that ``ingradient evaluate`` or nnU-Net wrote.

    Raises:
        ComparisonError: If it is not one, or holds a case twice.
    """
    cure = "Give the JSON file that ingradient evaluate or nnU-Net wrote."
    if not path.is_file():
        raise ComparisonError(f"There is no file {path}: check the path.")
    plain = read_object(path, cure, ComparisonError)
    try:
        entries = [
            (case.get("case") or case_name(Path(case["prediction_file"])), case["metrics"])
            for case in plain["metric_per_case"]
        ]
        groups = {name: str(group) for name, group in dict(plain.get("spread", {}).get("groups", {})).items()}
        names = {str(label): str(name) for label, name in dict(plain.get(NAMES, {})).items()}
        for name, metrics in entries:
            check_types(_Case, {"metrics": metrics})
            _check_shares(str(name), metrics)
    except LookupError as error:
        raise ComparisonError(f"{path} is no summary of an evaluation: {error} is missing. {cure}") from error
    except (ValueError, TypeError, AttributeError) as error:
        raise ComparisonError(f"{path} is no summary of an evaluation ({error}). {cure}") from error
    if not entries or len(dict(entries)) < len(entries):
        raise ComparisonError(
            f"{path} holds {'a case twice' if entries else 'no case'}: nothing to compare by case."
        )
    return Scored(dict(entries), groups, names)


def _check_shares(case: str, metrics: Mapping[str, Mapping[str, float | None]]) -> None:
    """Refuse percentages, and what else cannot be a share."""
    for label, scores in metrics.items():
        for name in SHARES & set(scores):
            if not 0 <= (scores[name] or 0) <= 1 and not math.isnan(scores[name] or 0):
                raise ValueError(f"{name} of label {label} in {case} is {scores[name]}, not in [0, 1]")


def describe_references(runs: Sequence[Scores]) -> list[str]:
    """Say which cases were scored against another reference in one run than in the other.

    Args:
        runs: Scores of two runs on the same cases and labels.
    """
    one, two = runs
    other = [
        case
        for case, labels in sorted(one.items())
        if any(
            number_or_nan(scores.get(REFERENCE)) != number_or_nan(two[case][label].get(REFERENCE))
            for label, scores in labels.items()
            if REFERENCE in scores and REFERENCE in two[case].get(label, {})
        )
    ]
    if not other:
        return []
    return [
        f"The references of {len(other)} of {len(one)} cases hold another number of voxels in the second run "
        f"({name_some(other)}): the two were not scored against the same labels."
    ]


def describe_names(runs: Sequence[Scored]) -> list[str]:
    """Say which labels have one name in one run and another in the other.

    Args:
        runs: Two runs on the same labels.
    """
    one, two = (run.names for run in runs)
    other = [label for label in one if label in two and one[label] != two[label]]
    if not other:
        return []
    told = name_some([f"{label} is '{one[label]}' and '{two[label]}'" for label in other])
    return [f"Labels have another name in the second run: {told}. Are they the same structures?"]


def check_same(what: str, found: Sequence[set[str]], files: Sequence[Path]) -> None:
    """Refuse two runs that do not have the same cases or labels.

    Args:
        what: ``cases`` or ``labels``, for the message.
        found: Those of each run.
        files: Of each run.

    Raises:
        ComparisonError: If one run has some that the other lacks.
    """
    faults = [
        f"only in {file}: {name_some(sorted(mine - other))} ({len(mine - other)})"
        for file, mine, other in zip(files, found, found[::-1], strict=True)
        if mine - other
    ]
    if faults:
        raise ComparisonError(
            f"The two runs do not have the same {what}, so they cannot be compared in pairs: "
            f"{'; '.join(faults)}. Evaluate both on the same {what}."
        )


def number_or_nan(value: float | None) -> float:
    """Give a score as a number; NaN where the file holds none.

    Args:
        value: As the file has it.
    """
    return math.nan if value is None else float(value)
