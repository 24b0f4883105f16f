"""Summaries of evaluations as files, read; and whether two of them go together in a comparison."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

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


class Scored(NamedTuple):
    """What a summary says of its cases.

    Args:
        scores: By case, by label, by name of the score; NaN where there is none.
        groups: Patient of each case; nnU-Net's summaries tell none.
        names: Name of each label; nnU-Net's summaries tell none.
    """

    scores: Scores
    groups: dict[str, str]
    names: dict[str, str]


class _Case:
    """Types of what a summary says of a case, for :func:`check_types`."""

    def __init__(self, metrics: Mapping[str, Mapping[str, float | None]]) -> None: ...


def parse_summary(plain: Mapping[str, Any]) -> Scored:
    """Take the scores, patients and names of labels out of a summary, ours or nnU-Net's.

    Args:
        plain: As the file has it.

    Raises:
        LookupError: If an entry is missing.
        TypeError: If one is of another kind.
        ValueError: If one is of another kind.
        AttributeError: If one is of another kind.
    """
    scores = {}
    for entry in plain["metric_per_case"]:
        check_types(_Case, {"metrics": entry["metrics"]})
        scores[name_entry(entry)] = {
            str(label): {str(name): number_or_nan(value) for name, value in numbers.items()}
            for label, numbers in entry["metrics"].items()
        }
    groups = {
        str(name): str(group) for name, group in dict(plain.get("spread", {}).get("groups", {})).items()
    }
    names = {str(label): str(name) for label, name in dict(plain.get(NAMES, {})).items()}
    return Scored(scores, groups, names)


def name_entry(entry: Mapping[str, Any]) -> str:
    """Give the name of the case that an entry of a summary is of.

    Args:
        entry: As the file has it.
    """
    return str(entry.get("case") or case_name(Path(entry["prediction_file"])))


def number_or_nan(value: float | None) -> float:
    """Give a score as a number; NaN where there is none.

    Args:
        value: As a file has it.
    """
    return math.nan if value is None else float(value)


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
        found, entries = parse_summary(plain), plain["metric_per_case"]
        for name, metrics in found.scores.items():
            _check_shares(name, metrics)
    except LookupError as error:
        raise ComparisonError(f"{path} is no summary of an evaluation: {error} is missing. {cure}") from error
    except (ValueError, TypeError, AttributeError) as error:
        raise ComparisonError(f"{path} is no summary of an evaluation ({error}). {cure}") from error
    if not entries or len(found.scores) < len(entries):
        raise ComparisonError(
            f"{path} holds {'a case twice' if entries else 'no case'}: nothing to compare by case."
        )
    return found


def _check_shares(case: str, metrics: Mapping[str, Mapping[str, float]]) -> None:
    """Refuse percentages, and what else cannot be a share."""
    for label, scores in metrics.items():
        for name in SHARES & set(scores):
            if not 0 <= scores[name] <= 1 and not math.isnan(scores[name]):
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
