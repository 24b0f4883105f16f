"""Which cases train and which validate, in which fold: no patient on both sides."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ingradient_pl.datasets.split_columns import find_divided, from_column, is_test
from ingradient_pl.datasets.split_records import (
    Divisible,
    Split,
    check_division,
    check_splits,
    count_sides,
    find_strata,
)
from ingradient_pl.phrases import name_some, say_count
from ingradient_pl.plain_values import read_json

NONE: Mapping[str, str] = {}
COUNT = "data.split.count"
"""The key that sets how many folds there are."""


@dataclass(frozen=True)
class Fold:
    """Which cases train and which validate.

    Args:
        number: The fold that validates, from 0; None trains on every labelled case but those that a table
            marks ``test``, and validates on the same.
        count: Folds in all.
        seed: Of the shuffle; 12345 is nnU-Net's.
        file: nnU-Net's ``splits_final.json``, instead of folds made here.
    """

    number: int | None = 0
    count: int = 5
    seed: int = 12345
    file: str | None = None

    def split(self, cases: Mapping[str, Divisible]) -> Split:
        """Divide the labelled cases: by ``file``, else by each source's split column, else into folds.

        Args:
            cases: All cases of a store, by name.

        Raises:
            ValueError: If no case has a label, there is no such fold, or no case of some store trains.
        """
        labelled = _find_labelled(cases)
        if self.number is None:
            usable = tuple(_leave_out_test(labelled))
            check_division(cases, usable)
            return Split(usable, usable)
        found = self.splits(cases)
        if not 0 <= self.number < len(found):
            raise ValueError(
                f"There are folds 0 to {len(found) - 1}; got {self.number}. Choose one of them: "
                "data.split.number=N"
            )
        check_fold(found[self.number], self.number, cases)
        return found[self.number]

    def splits(self, cases: Mapping[str, Divisible]) -> list[Split]:
        """Give every fold of the division, whatever ``number`` says; cases without a label are left out.

        Args:
            cases: All cases of a store, by name.

        Raises:
            ValueError: If no case has a label, or there are fewer patients than folds.
        """
        labelled = _find_labelled(cases)
        if self.file is None:
            return self._divide(_leave_out_test(labelled))
        found = from_file(Path(self.file), {name: case.group for name, case in cases.items()})
        return [Split(*(tuple(name for name in side if name in labelled) for side in one)) for one in found]

    def _divide(self, cases: Mapping[str, Divisible]) -> list[Split]:
        """Divide cases as tables do; all others, store by store, into folds."""
        groups = {name: case.group for name, case in cases.items()}
        splits = {name: case.split for name, case in cases.items()}
        stores = {name: case.store for name, case in cases.items()}
        told = from_column(splits, groups, stores)
        if told is None:
            return folds(groups, self.count, self.seed, find_strata(cases))
        divided = find_divided(splits, stores)
        rest = {name: case for name, case in cases.items() if case.store not in divided}
        return self._add_stores(told, groups, rest) if rest else told

    def _add_stores(
        self, told: Sequence[Split], groups: Mapping[str, str], rest: Mapping[str, Divisible]
    ) -> list[Split]:
        """Add the cases of stores without a column: patients whom a column names stand where it has them."""
        if 1 < len(told) != self.count:
            undivided = name_some(sorted({case.store for case in rest.values()}))
            raise ValueError(
                f"A split column numbers {len(told)} folds, and data.split.count={self.count} divides the "
                f"stores without one ({undivided}). Ask for as many (data.split.count={len(told)}), or give "
                "a split of all stores' cases (data.split.file=FILE)."
            )
        _check_count(groups, self.count)
        held = [{groups[name] for name in split.validation} for split in told]
        known = {groups[name] for split in told for side in split for name in side}
        free = {name: case for name, case in rest.items() if case.group not in known}
        dealt = held if len(told) > 1 else [set() for _ in range(self.count)]  # train and val: the first fold
        _deal(find_strata(free), dealt, self.seed)
        added = [
            _split({name: case.group for name, case in rest.items()}, before | after)
            for before, after in zip(held, dealt, strict=False)
        ]
        return [
            Split(*(tuple(sorted((*old, *new))) for old, new in zip(*pair, strict=True)))
            for pair in zip(told, added, strict=True)
        ]


def check_fold(split: Split, number: int, cases: Mapping[str, Divisible]) -> None:
    """Refuse a fold that has nothing to train on, of all stores or of one, or nothing to validate on.

    Args:
        split: Labelled cases of the fold.
        number: Of the fold, for the message.
        cases: All cases, labelled or not, by name.

    Raises:
        ValueError: If it has not.
    """
    if not split.train or not split.validation:
        raise ValueError(
            f"Fold {number} has {count_sides(split)}, of those with a label, and needs both. Label more "
            "cases, or give another division (data.split.file=FILE, or the column 'split' of a table)."
        )
    check_division(cases, split.train)


def folds(
    groups: Mapping[str, str],
    count: int = 5,
    seed: int = 12345,
    strata: Mapping[str, str] = NONE,
    key: str = COUNT,
) -> list[Split]:
    """Cut the cases into folds of whole patients.

    Where every case is a patient of its own these are the folds of nnU-Net: scikit-learn's ``KFold`` over
    sorted names with this seed.

    Args:
        groups: The patient of each case.
        count: Folds.
        seed: Of the shuffle.
        strata: The store of each patient, if there are several: each store's are cut by themselves.
        key: What sets ``count`` on the command line, for the message.

    Raises:
        ValueError: If there are fewer patients than folds.
    """
    _check_count(groups, count, key)
    held: list[set[str]] = [set() for _ in range(count)]
    _deal({patient: strata.get(patient, "") for patient in groups.values()}, held, seed)
    return [_split(groups, patients) for patients in held]


def _check_count(groups: Mapping[str, str], count: int, key: str = COUNT) -> None:
    """Refuse more folds than patients, and say how many there can be."""
    most = len(set(groups.values()))
    if not 1 < count <= most:
        cure = f"Take at most {most}: {key}={most}." if most > 1 else "There must be 2 patients at least."
        more = (
            " Or give a split of your own (data.split.file=FILE); ingradient-train also trains on all cases "
            "(data.split.number=null)."
        )
        raise ValueError(
            f"{count} folds cannot be made of {say_count(most, 'patient')} ({len(groups)} labelled cases): "
            f"each validates on a patient of its own. {cure}{more if key == COUNT else ''}"
        )


def _deal(strata: Mapping[str, str], held: Sequence[set[str]], seed: int) -> None:
    """Add a share of each store's patients to each fold, larger shares where there are fewest."""
    for stratum in sorted(set(strata.values())):
        inside = sorted(patient for patient, store in strata.items() if store == stratum)
        order = np.arange(len(inside))
        np.random.RandomState(seed).shuffle(order)  # what scikit-learn does, and with it nnU-Net
        emptiest = sorted(held, key=len)  # the first parts are the larger ones
        for fold, part in zip(emptiest, np.array_split(order, len(held)), strict=True):
            fold |= {inside[number] for number in part}


def from_file(path: Path, groups: Mapping[str, str]) -> list[Split]:
    """Read nnU-Net's ``splits_final.json``: a list of ``{"train": [names], "val": [names]}``.

    Args:
        path: The file.
        groups: The patient of each case that there is.

    Raises:
        ValueError: If it is no such file, names cases that are not there, or has a patient on both sides.
    """
    return check_splits(read_splits(path), groups, str(path))


def read_splits(path: Path) -> list[Split]:
    """Read what a ``splits_final.json`` says, of whichever data set.

    Args:
        path: The file.

    Raises:
        ValueError: If it is no such file.
    """
    try:
        plain = read_json(path)
        return [Split(_names(fold["train"]), _names(fold["val"])) for fold in plain]
    except FileNotFoundError as error:
        raise ValueError(f"{path}: no such file. Give a splits_final.json, or leave it out.") from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"{path}: not a list of folds, each with 'train' and 'val' ({type(error).__name__}: {error})."
        ) from error


def _names(side: object) -> tuple[str, ...]:
    if not isinstance(side, list) or not all(isinstance(name, str) for name in side):
        raise TypeError(f"names of cases are a list of texts, got {str(side)[:100]!r}")
    return tuple(sorted(side))


def _find_labelled(cases: Mapping[str, Divisible]) -> dict[str, Divisible]:
    labelled = {name: case for name, case in cases.items() if case.labelled}
    if not labelled:
        raise ValueError(
            f"None of the {len(cases)} cases has a label: there is nothing to train on. "
            "Prepare a data set with labels."
        )
    return labelled


def _leave_out_test(cases: Mapping[str, Divisible]) -> dict[str, Divisible]:
    """Leave out what tables keep for the test, and other cases of these patients that no table places."""
    tested = {case.group for case in cases.values() if is_test(case.split)}
    rest = {
        name: case
        for name, case in cases.items()
        if not is_test(case.split) and (case.split or case.group not in tested)
    }
    if not rest:
        raise ValueError(
            f"The column 'split' keeps all {len(cases)} labelled cases for the test: there is nothing to "
            "train on. Mark others train and val, or leave the column empty."
        )
    return rest


def _split(groups: Mapping[str, str], held: set[str]) -> Split:
    """Give the cases of the patients that validate, and all others."""
    validation = {name for name, group in groups.items() if group in held}
    return Split(tuple(sorted(set(groups) - validation)), tuple(sorted(validation)))
