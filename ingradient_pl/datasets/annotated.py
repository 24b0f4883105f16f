"""Which labels were annotated in a case: read from descriptions and tables, held against the task."""

import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from ingradient_pl.datasets.records import CaseFiles, Fault, Source, SourceError
from ingradient_pl.messages import nearest
from ingradient_pl.phrases import name_some, say_count

ANNOTATED = "annotated"
"""The key of a description or entry, and the column of a table."""
BETWEEN = re.compile(r"[;|,]")


def read_annotated(told: object) -> tuple[str, ...] | None:
    """Read the names of annotated labels: a list, or text with ``;``, ``,`` or ``|`` between names.

    Args:
        told: What a source says of a case; None or empty text where it says nothing.

    Returns:
        The names; None where all labels were annotated.

    Raises:
        ValueError: If it is something else.

    >>> read_annotated("liver; left kidney")
    ('liver', 'left kidney')
    """
    if told is None or (isinstance(told, str) and not told.strip()):
        return None
    if isinstance(told, str):
        return tuple(dict.fromkeys(name.strip() for name in BETWEEN.split(told) if name.strip()))
    if isinstance(told, list) and all(isinstance(name, str) for name in told):
        return tuple(dict.fromkeys(told))
    raise ValueError(f"'{ANNOTATED}' must be a list of labels' names; got {told!r}")


def annotate_cases(
    cases: list[CaseFiles], told: object, where: Path, faulty: Collection[str] = ()
) -> list[CaseFiles]:
    """Take from a description which labels were annotated in each case.

    Args:
        cases: All cases of a data set; what they say themselves wins.
        told: The description's table of names of labels by name of case; None where it has none.
        where: The description.
        faulty: Names of cases that are there and cannot be read.

    Raises:
        SourceError: If it is no such table, or names cases that are not there.
    """
    if told is None:
        return cases
    if not isinstance(told, Mapping):
        raise SourceError(f'{where}: \'{ANNOTATED}\' must be like {{"case_1": ["liver"]}}; got {told!r}.')
    known = {*(case.name for case in cases), *faulty}
    strange = sorted(set(map(str, told)) - known)
    if strange:
        raise SourceError(
            f"{where}: '{ANNOTATED}' names {say_count(len(strange), 'case')} not there: "
            f"{name_some(strange)}.{nearest(strange[0], known)} Correct their names, or add the cases."
        )
    return [_annotate(case, told.get(case.name), where) for case in cases]


def check_annotated(source: Source, where: Path) -> Source:
    """Make faults of cases that name labels which the task does not have, or none.

    Args:
        source: Cases as their source tells of them.
        where: The file that says what was annotated.
    """
    kept, faults = [], list(source.faults)
    for case in source.cases:
        if case.annotated is None:
            kept.append(case)
            continue
        try:
            source.task.check_annotated(case.annotated)
        except ValueError as error:
            faults.append(Fault(case.name, where, f"{error}."))
            continue
        named = tuple(name for name in source.task.foreground if name in case.annotated)
        everything = len(named) == len(source.task.foreground)
        kept.append(case._replace(annotated=None if everything else named))
    return source._replace(cases=kept, faults=tuple(faults))


def _annotate(case: CaseFiles, told: Any, where: Path) -> CaseFiles:
    if told is None or case.annotated is not None:
        return case
    try:
        return case._replace(annotated=read_annotated(told))
    except ValueError as error:
        raise SourceError(f"{where}: case '{case.name}': {error}.") from error
