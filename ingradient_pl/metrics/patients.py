"""Which scored cases are of one patient: what intervals and tests count as one."""

from collections.abc import Hashable, Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Integer
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from ingradient_pl.datasets.groups import describe_groups, group_cases
from ingradient_pl.phrases import say_count
from ingradient_pl.store.case_store import CaseStore
from ingradient_pl.store.label_maps import LabelMap
from ingradient_pl.store.metadata import is_store


def label_groups(labels: Mapping[str, LabelMap]) -> dict[str, str]:
    """Give the patient of each case: as the labels' source tells, by the cases' names where it tells none.

    Args:
        labels: Label map of each case.

    >>> names = ["anna_visit1", "anna_visit2", "bert_visit1"]
    >>> label_groups({name: LabelMap(Path(f"{name}.nii")) for name in names})
    {'anna_visit1': 'anna', 'anna_visit2': 'anna', 'bert_visit1': 'bert'}
    """
    named = group_cases(list(labels))
    return {name: label.group or named[name] for name, label in labels.items()}


def store_groups(source: object) -> dict[str, str]:
    """Give the patient of each case of a store or of its folder; nothing where ``source`` is neither.

    Args:
        source: A store, its folder, or anything else.
    """
    if isinstance(source, (str, Path)) and is_store(Path(source)):
        source = CaseStore(Path(source))
    return {name: case.group for name, case in source.cases.items()} if isinstance(source, CaseStore) else {}


def unite_groups(groupings: Sequence[Mapping[str, str]], names: Iterable[str]) -> dict[str, str]:
    """Give groups in which all cases are together that any grouping has together.

    Args:
        groupings: Patient of each case; a case that one does not know is there a patient of its own.
        names: The cases.

    >>> unite_groups([{"x": "1", "y": "1", "z": "2"}, {"y": "a", "z": "a"}], ["x", "y", "z", "w"])
    {'x': '1', 'y': '1', 'z': '1', 'w': 'w'}
    """
    cases = {name: number for number, name in enumerate(names)}
    pairs = [(number, number) for number in cases.values()]
    for grouping in groupings:
        first: dict[str, int] = {}
        known = [(number, grouping[name]) for name, number in cases.items() if name in grouping]
        pairs += [(number, first.setdefault(patient, number)) for number, patient in known]
    one, other = np.array(pairs, dtype=np.int64).reshape(-1, 2).T
    graph = sparse.coo_array((np.ones(len(one)), (one, other)), (len(cases),) * 2)
    _, members = connected_components(graph.tocsr(), directed=False)
    titles: dict[int, str] = {}
    for name, member in zip(cases, members.tolist(), strict=True):
        titles.setdefault(member, next((known[name] for known in groupings if name in known), name))
    return {name: titles[member] for name, member in zip(cases, members.tolist(), strict=True)}


def number_groups(groups: Sequence[Hashable]) -> Integer[np.ndarray, " case"]:
    """Number the patient of each case from 0, in the order in which they come.

    Args:
        groups: The patient of each case.

    >>> number_groups(["b", "a", "b"]).tolist()
    [0, 1, 0]
    """
    numbers: dict[Hashable, int] = {}
    return np.array([numbers.setdefault(group, len(numbers)) for group in groups], dtype=np.int64)


def describe_patients(groups: Mapping[str, str]) -> str:
    """Say in a line over how many patients intervals and tests are.

    Args:
        groups: The patient of each case, by name.

    >>> describe_patients({"a": "a", "b": "b"})
    '95 % intervals over 2 patients (2 cases, each taken for a patient of its own).'
    """
    patients = len(set(groups.values()))
    if patients == 1:
        return f"No interval: there is one patient ({len(groups)} {'case' if len(groups) == 1 else 'cases'})."
    return f"95 % intervals over {say_count(patients, 'patient')} ({describe_groups(groups)})."
