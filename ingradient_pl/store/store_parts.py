"""What each store gives to a training: its share of the patches, its cases, and what is on record of it."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from ingradient_pl.store.case_store import CaseStore
from ingradient_pl.store.store_union import AnyCases, StoreUnion


def read_shares(
    told: Mapping[str, float] | Sequence[float] | None, cases: AnyCases
) -> dict[str, float] | None:
    """Read which share of the training patches each store gives.

    Args:
        told: By the store's name, or in the order of the stores; any positive numbers.
        cases: The stores.

    Returns:
        By the store's name, summing to one; None where nothing is told, or one store gives all.

    Raises:
        ValueError: If they are not one positive number for each store.
    """
    if told is None:
        return None
    names = list(cases.stores) if isinstance(cases, StoreUnion) else [cases.path.name]
    named = dict(told) if isinstance(told, Mapping) else dict(zip(names, told, strict=False))
    count = len(told)
    good = all(isinstance(one, (int, float)) and 0 < one < float("inf") for one in named.values())
    if set(named) != set(names) or count != len(names) or not good:
        raise ValueError(
            f"data.shares gives a number above 0 for each store ({', '.join(names)}), by its name or in this "
            f"order; got {told}."
        )
    if not isinstance(cases, StoreUnion):
        return None
    total = sum(named.values())
    return {name: named[name] / total for name in names}


class StorePart(NamedTuple):
    """What one store holds of some cases.

    Args:
        name: Of the store.
        path: Its folder, whole.
        sha256: Of its descriptions.
        data: Name of its data set.
        cases: Names of the cases in that store.
        patients: Patient of every case of the store.
    """

    name: str
    path: str
    sha256: str
    data: str
    cases: tuple[str, ...]
    patients: dict[str, str]


def divide_by_store(cases: AnyCases, names: Sequence[str]) -> list[StorePart]:
    """Say which store each case is in, and what it is called there.

    Args:
        cases: One store or several.
        names: Of some of the cases.
    """
    if isinstance(cases, CaseStore):
        path = str(cases.path.absolute())
        patients = {name: case.group for name, case in cases.cases.items()}
        told = cases.path.name, path, cases.check_sum(), cases.task.name
        return [StorePart(*told, tuple(names), patients)]
    return [
        part._replace(name=store)
        for store, one in cases.stores.items()
        for part in divide_by_store(one, cases.names_in(store, names))
    ]
