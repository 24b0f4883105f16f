"""Which cases are of one patient: what a file's name tells where no table does."""

import re
from collections.abc import Mapping, Sequence

from ingradient_pl.phrases import say_count

VISIT = (
    r"frame|visit|session|ses|timepoint|time|tp|phase|scan|study|series|acq|run|rep|"
    r"baseline|followup|fu|pre|post"
)
PATTERN = (
    r"^(?P<group>sub-[a-z0-9]+(?=_)|brats-[a-z]+-\d+(?=-\d{3}$)"
    rf"|.+?(?=[-_. ]+(?:{VISIT})[-_. ]?\d*(?:[-_. ].*)?$)|.*\d(?=[-_. ]?[tv]\d{{1,2}}$))"
)
"""The patient stands before ``_frame01``, ``_visit2``, ``_tp1``, ``_t0``; in BIDS it is the subject.

A number alone is not a visit: ``hippocampus_001`` is a patient.
"""


class GroupError(ValueError):
    """A pattern that cannot be used."""


def group_cases(names: Sequence[str], pattern: str = PATTERN) -> dict[str, str]:
    """Find the patient of each case by name.

    Taking two patients for one harms the balance of folds only; taking one for two would let a patient train
    and validate. So the pattern is generous, and a table's ``group`` column wins over it.

    Args:
        names: Of the cases.
        pattern: A regular expression with a group ``group`` (or one group): the patient. Cases that it does
            not match are patients of their own.

    Raises:
        GroupError: If the pattern is not a regular expression with a group.

    >>> group_cases(["patient4_frame01", "patient4_frame15", "liver_7"])
    {'patient4_frame01': 'patient4', 'patient4_frame15': 'patient4', 'liver_7': 'liver_7'}
    """
    try:
        compiled = re.compile(pattern, re.IGNORECASE)
    except re.error as error:
        raise GroupError(f"group pattern '{pattern}' is not a regular expression: {error}.") from error
    if not compiled.groups:
        raise GroupError(
            f"group pattern '{pattern}' has no group: put brackets round the patient, as in '^(.+)_visit'."
        )
    found = {name: compiled.search(name) for name in names}
    key: str | int = "group" if "group" in compiled.groupindex else 1
    groups = {name: (match[key] or name) if match else name for name, match in found.items()}
    # 'ct_scan_1', 'ct_scan_2', ...: a word that all names share is not a patient
    return groups if len(set(groups.values())) > 1 else {name: name for name in names}


def describe_groups(groups: Mapping[str, str]) -> str:
    """Say in a line what was found.

    Args:
        groups: The patient of each case.

    >>> describe_groups({"a_t1": "a", "a_t2": "a", "b": "b"})
    '3 cases of 2 patients; up to 2 cases a patient, e.g. a: a_t1, a_t2'
    """
    members: dict[str, list[str]] = {}
    for name, group in groups.items():
        members.setdefault(group, []).append(name)
    if len(members) == len(groups):
        each = "each " if len(groups) > 1 else ""
        return f"{say_count(len(groups), 'case')}, {each}taken for a patient of its own"
    largest = max(members, key=lambda group: len(members[group]))
    return (
        f"{len(groups)} cases of {say_count(len(members), 'patient')}; up to "
        f"{len(members[largest])} cases a patient, e.g. {largest}: {', '.join(sorted(members[largest])[:3])}"
    )
