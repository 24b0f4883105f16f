"""``StoreUnion``: several case stores read as one, labels united by name, cases named after their store."""

import hashlib
from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Integer

from ingradient_pl.geometry import AXES, Box
from ingradient_pl.phrases import name_some, say_count
from ingradient_pl.store.case_store import CaseStore
from ingradient_pl.store.metadata import StoreError
from ingradient_pl.store.records import StoredCase, Voxels
from ingradient_pl.store.statistics import ChannelStatistics
from ingradient_pl.store.unite_tasks import unite_tasks

BETWEEN = "@"
"""Between the name of a case and that of its store."""


class StoreUnion:
    """The cases of several stores as one store gives them, each named ``CASE@STORE``.

    Labels of one name are one label; those that a store does not know were not annotated in its cases.
    Channels go by name, in the order of the first store. Patients of one name are one patient, whichever
    stores they are in.

    Args:
        stores: At least two, opened with the same order of axes.

    Raises:
        StoreError: If a store is there twice, or channels, orientation or the meaning of a label differ.
    """

    def __init__(self, stores: Sequence[CaseStore]) -> None:
        paths = [store.path.resolve() for store in stores]
        twice = [str(path) for path in paths if paths.count(path) > 1]
        if twice:
            raise StoreError(f"The store {twice[0]} is named twice. Name it once; data.shares weighs it.")
        self.stores = dict(zip(name_stores(paths), stores, strict=True))
        first = stores[0]
        self.transpose, self.orientation = first.transpose, first.orientation
        for name, store in self.stores.items():
            if store.orientation != self.orientation:
                raise StoreError(
                    f"Stores that train together hold cases in one orientation: {next(iter(self.stores))} "
                    f"has {self.orientation}, {name} has {store.orientation}. Prepare one of them again with "
                    f"--orientation {self.orientation}."
                )
        self.task, self._integers, self._channels = unite_tasks(
            {name: store.task for name, store in self.stores.items()}
        )
        self._places = {
            f"{case}{BETWEEN}{name}": (name, case)
            for name, store in self.stores.items()
            for case in store.cases
        }
        self.cases = {united: self._unite(united, *place) for united, place in self._places.items()}

    def __repr__(self) -> str:
        counts = {"case": self.cases, "channel": self.task.channels, "label": self.task.foreground}
        text = ", ".join(say_count(len(entries), noun) for noun, entries in counts.items())
        return f"StoreUnion({', '.join(self.stores)}: {text})"

    @property
    def paths(self) -> list[Path]:
        """Folder of each store."""
        return [store.path for store in self.stores.values()]

    def store_of(self, name: str) -> str:
        """Give the name of the store that a case is in.

        Args:
            name: Of the case.
        """
        return self._place(name)[0]

    def names_in(self, store: str, names: Sequence[str]) -> tuple[str, ...]:
        """Give the cases of one store by the names that they have there.

        Args:
            store: Its name.
            names: Of cases of any of the stores.
        """
        places = [self._place(name) for name in names]
        return tuple(case for where, case in places if where == store)

    def read(self, name: str, box: Box, *, label: Box | None = None, body: bool = True) -> Voxels:
        """Read a box of a case, as :meth:`CaseStore.read` does.

        Args:
            name: Of the case.
            box: Voxels of ``cases[name].grid``; it must lie inside.
            label: Another box, for the label; None reads the same.
            body: Whether the body is wanted.

        Raises:
            StoreError: If there is no such case, the box leaves it or a file is damaged.
        """
        store, case = self._place(name)
        found = self.stores[store].read(case, box, label=label, body=body)
        channels = self._channels[store]
        ordered = list(channels) == sorted(channels)
        image = found.image if ordered else found.image[list(channels)]
        return Voxels(image, self._integers[store][found.label], found.body)

    def statistics(self, name: str) -> tuple[ChannelStatistics, ...]:
        """Give the intensities of each channel of a case.

        Args:
            name: Of the case.
        """
        store, case = self._place(name)
        found = self.stores[store].statistics(case)
        return tuple(found[channel] for channel in self._channels[store])

    def foreground(self, name: str, value: int) -> Integer[np.ndarray, "n 3"]:
        """Give sampled voxels (z, y, x) of a foreground integer of the union's task.

        Args:
            name: Of the case.
            value: The integer.
        """
        store, case = self._place(name)
        own = np.flatnonzero(self._integers[store] == value)
        if not value or not len(own):
            return np.zeros((0, AXES), np.int32)
        return self.stores[store].foreground(case, int(own[0]))

    def annotated_voxels(self, name: str) -> Integer[np.ndarray, "n 3"] | None:
        """Give sampled voxels (z, y, x) that somebody annotated; None where the case's store ignores none.

        Args:
            name: Of the case.
        """
        store, case = self._place(name)
        return self.stores[store].annotated_voxels(case)

    def describe(self, name: str) -> dict[str, Any]:
        """Give all that its store has written about a case.

        Args:
            name: Of the case.
        """
        store, case = self._place(name)
        return self.stores[store].describe(case)

    def locate(self, name: str) -> tuple[Path, str, list[int]]:
        """Say where a case is: its store's folder, its name there, and which channel is each of ours.

        Args:
            name: Of the case.
        """
        store, case = self._place(name)
        return self.stores[store].path, case, list(self._channels[store])

    def check_sum(self) -> str:
        """Give a SHA-256 of all descriptions of all stores, and of the stores' names."""
        sums = {name: store.check_sum() for name, store in self.stores.items()}
        return hashlib.sha256(repr(sums).encode()).hexdigest()

    def _place(self, name: str) -> tuple[str, str]:
        if name not in self._places:
            held = f"{len(self._places)}: {name_some(self._places)}"
            raise StoreError(f"No case '{name}' in the stores {', '.join(self.stores)}; they hold {held}.")
        return self._places[name]

    def _unite(self, united: str, store: str, name: str) -> StoredCase:
        """Give a case with the integers and labels of the union."""
        case, own = self.stores[store].cases[name], self.stores[store].task
        told = case.annotated if case.annotated is not None else tuple(own.foreground)
        annotated = tuple(label for label in self.task.foreground if label in told)
        table = self._integers[store]
        return case._replace(
            name=united,
            classes=tuple(sorted(int(table[value]) for value in case.classes)),
            voxels={int(table[value]): count for value, count in case.voxels.items()},
            annotated=None if len(annotated) == len(self.task.foreground) else annotated,
            store=store,
        )


AnyCases = CaseStore | StoreUnion
"""One store or several: what training and planning read."""


def open_stores(
    paths: str | PathLike[str] | Sequence[str | Path], transpose: Sequence[int] = (0, 1, 2)
) -> CaseStore | StoreUnion:
    """Open one store, or several as one.

    Args:
        paths: Folder of a store, an open one, or a list of folders.
        transpose: As for :class:`CaseStore`.

    Raises:
        StoreError: If there is none, or the stores do not go together; every one that is missing is named.
    """
    if isinstance(paths, CaseStore):
        return CaseStore(paths.path, transpose, list(paths.cases) if paths.named else None)
    if isinstance(paths, (str, PathLike)):
        return CaseStore(Path(paths), transpose)
    opened, faults = [], []
    for number, path in enumerate(paths, 1):
        try:
            opened.append(CaseStore(Path(path), transpose))
        except StoreError as error:
            faults.append(f"store {number} of {len(paths)}: {error}")
    if faults or not opened:
        raise StoreError("\n".join(faults) or "The list of stores is empty: name one folder or several.")
    return opened[0] if len(opened) == 1 else StoreUnion(opened)


def store_paths(cases: CaseStore | StoreUnion) -> list[Path]:
    """Give the folder of each store.

    Args:
        cases: One store or several.
    """
    return [cases.path] if isinstance(cases, CaseStore) else cases.paths


def locate_case(cases: CaseStore | StoreUnion, name: str) -> tuple[Path, str, list[int]]:
    """Say where a case is: its store's folder, its name there, and which of its channels is each of ours.

    Args:
        cases: One store or several.
        name: Of the case.
    """
    if isinstance(cases, CaseStore):
        return cases.path, name, list(range(len(cases.task.channels)))
    return cases.locate(name)


def case_endings(folders: Sequence[Path]) -> dict[Path, str]:
    """Give what stands behind the names of each store's cases: nothing where there is one, else its name.

    Args:
        folders: Of the stores.

    >>> list(case_endings([Path("/stores/liver"), Path("/stores/spleen")]).values())
    ['@liver', '@spleen']
    """
    if len(folders) == 1:
        return {folders[0]: ""}
    names = name_stores([folder.resolve() for folder in folders])
    return {folder: BETWEEN + name for folder, name in zip(folders, names, strict=True)}


def names_in_folder(names: Sequence[str], folder: Path) -> list[str]:
    """Give the cases of several stores that one of them holds, by the names that they have there.

    Args:
        names: ``CASE@STORE`` each; others are left out.
        folder: Of the store.

    >>> names_in_folder(["a@liver", "b@spleen"], Path("/stores/liver"))
    ['a']
    """
    place = _join(folder.resolve().parts[1:])
    parts = [name.rpartition(BETWEEN) for name in names]
    return [case for case, between, store in parts if between and f"_{place}".endswith(f"_{store}")]


def name_stores(paths: Sequence[Path]) -> list[str]:
    """Name stores after their folders, and after the folders above where two share a name.

    Args:
        paths: Of the stores, whole.

    >>> name_stores([Path("/a/liver"), Path("/b/spleen")]), name_stores([Path("/a/store"), Path("/b/store")])
    (['liver', 'spleen'], ['a_store', 'b_store'])
    """
    for depth in range(1, max(len(path.parts) for path in paths)):
        names = [_join(path.parts[-depth:]) for path in paths]
        if len(set(names)) == len(names):
            return names
    return [f"store_{number}" for number, _ in enumerate(paths, 1)]


def _join(parts: Sequence[str]) -> str:
    return "_".join(parts).replace(BETWEEN, "_")  # what stands behind the last one is a store's name
