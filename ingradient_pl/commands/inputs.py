"""Arguments that may be files or objects: a store or its folder, a plan or its YAML file, paths."""

from collections.abc import Sequence
from os import PathLike
from pathlib import Path

from ingradient_pl.messages import UsageError
from ingradient_pl.planning.plan import Plan
from ingradient_pl.planning.plan_yaml import open_plan as open_plan
from ingradient_pl.store.case_store import CaseStore
from ingradient_pl.store.store_union import AnyCases, StoreUnion, open_stores

AnyPath = str | Path | PathLike[str]
"""A store and a run are the path of their folder, too."""
AnyStore = str | Path | CaseStore
AnyStores = str | list[str | Path] | Path | CaseStore | StoreUnion
AnyPlan = str | Path | Plan


def open_store(store: AnyStore) -> CaseStore:
    """Open the store of a folder; a store that is open already is given back.

    Args:
        store: Folder written by ``prepare``, or the store itself.

    Raises:
        StoreError: If there is no store of this version.
        UsageError: If several are named.
    """
    if not isinstance(store, (str, Path, CaseStore)):
        raise UsageError(f"One store is wanted here; got {store}. plan and train take several.")
    return store if isinstance(store, CaseStore) else CaseStore(Path(store))


def open_cases(store: AnyStores) -> AnyCases:
    """Open one store, or several as one; what is open already is given back.

    Args:
        store: Folder written by ``prepare``, or the store itself; or a list of several folders.

    Raises:
        StoreError: If one is not there, or they do not go together.
    """
    return store if isinstance(store, (CaseStore, StoreUnion)) else open_stores(store)


def to_paths(files: AnyPath | Sequence[AnyPath]) -> list[Path]:
    """Give a list of paths for one path or several.

    Args:
        files: One path, or a sequence of them.

    Raises:
        UsageError: If the sequence is empty.

    >>> [path.name for path in to_paths("a.ckpt")]
    ['a.ckpt']
    """
    if isinstance(files, (str, PathLike)):
        return [Path(files)]
    if not files:
        raise UsageError("A list of paths is empty: name one file or folder, or several.")
    return [Path(file) for file in files]
