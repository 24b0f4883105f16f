"""Which cases train and which validate, in which fold: no patient on both sides."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ingradient_pl.datasets.split_records import Divisible, Split, find_strata
from ingradient_pl.phrases import name_some
from ingradient_pl.plain_values import read_json

TRAIN, VALIDATION, TEST = ("train", "training", "tr"), ("val", "validation", "valid", "va"), "test"
NONE: Mapping[str, str] = {}


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
        """Divide the labelled cases: by ``file``, else by the source's split column, else into folds.

        Args:
            cases: All cases of a store, by name.

        Raises:
            ValueError: If no case has a label, or there is no such fold.
        """
        labelled = _find_labelled(cases)
        if self.number is None:
            usable = tuple(name for name, case in labelled.items() if not is_test(case.split))
            return Split(usable, usable)
        found = self.splits(cases)
        if not 0 <= self.number < len(found):
            raise ValueError(f"There are folds 0 to {len(found) - 1}, got {self.number}.")
        train, validation = found[self.number]
        if not train or not validation:
            raise ValueError(f"Fold {self.number} has no labelled case to train on, or none to validate on.")
        return found[self.number]

    def splits(self, cases: Mapping[str, Divisible]) -> list[Split]:
        """Give every fold of the division, whatever ``number`` says; cases without a label are left out.

        Args:
            cases: All cases of a store, by name.

        Raises:
            ValueError: If no case has a label, or there are fewer patients than folds.
        """
        labelled = _find_labelled(cases)
        usable = {name: case for name, case in labelled.items() if not is_test(case.split)}
        found = self._given_folds(cases, usable)
        if found is None:
            groups = {name: case.group for name, case in usable.items()}
            found = folds(groups, self.count, self.seed, find_strata(usable))
        return [Split(*(tuple(name for name in side if name in labelled) for side in one)) for one in found]

    def _given_folds(
        self, cases: Mapping[str, Divisible], usable: Mapping[str, Divisible]
    ) -> list[Split] | None:
        """Give the folds that somebody else made, where there are any."""
        if self.file is not None:
            return from_file(Path(self.file), {name: case.group for name, case in cases.items()})
        if any(case.split for case in usable.values()):
            return from_column(
                {name: case.split for name, case in usable.items()},
                {name: case.group for name, case in usable.items()},
            )
        return None


def folds(
    groups: Mapping[str, str], count: int = 5, seed: int = 12345, strata: Mapping[str, str] = NONE
) -> list[Split]:
    """Cut the cases into folds of whole patients.

    Where every case is a patient of its own these are the folds of nnU-Net: scikit-learn's ``KFold`` over
    sorted names with this seed.

    Args:
        groups: The patient of each case.
        count: Folds.
        seed: Of the shuffle.
        strata: The store of each patient, if there are several: each store's are cut by themselves.

    Raises:
        ValueError: If there are fewer patients than folds.
    """
    patients = sorted(set(groups.values()))
    if not 1 < count <= len(patients):
        raise ValueError(
            f"{count} folds cannot be made of {len(patients)} patients ({len(groups)} cases): they are 2 or "
            "more, and each validates on a patient of its own. Take others (data.split.count=N; folds=N of a "
            "cascade), train on all cases (data.split.number=null), or give a split of your own "
            "(data.split.file=FILE)."
        )
    held: list[set[str]] = [set() for _ in range(count)]
    for stratum in sorted({strata.get(patient, "") for patient in patients}):
        inside = [patient for patient in patients if strata.get(patient, "") == stratum]
        order = np.arange(len(inside))
        np.random.RandomState(seed).shuffle(order)  # what scikit-learn does, and with it nnU-Net
        emptiest = sorted(held, key=len)  # the first parts are the larger ones
        for fold, part in zip(emptiest, np.array_split(order, count), strict=True):
            fold |= {inside[number] for number in part}
    return [_split(groups, {name for name, group in groups.items() if group in fold}) for fold in held]


def from_column(splits: Mapping[str, str | None], groups: Mapping[str, str]) -> list[Split] | None:
    """Take the split that a table gave: ``train`` or ``val`` for each case, or the number of its fold.

    Cases of another name (``test``) or of none are left out.

    Args:
        splits: What the table says about each case.
        groups: The patient of each case.

    Returns:
        One split; or one for each fold number; None where the table says nothing.

    Raises:
        ValueError: If a patient would be on both sides, one side is empty, or numbers of folds stand beside
            ``train`` and ``val``.
    """
    said = {name: str(entry).strip().lower() for name, entry in splits.items() if entry not in (None, "")}
    if not said:
        return None
    numbers = sorted({int(entry) for entry in said.values() if entry.isdigit()})
    words = sorted({entry for entry in said.values() if entry in (*TRAIN, *VALIDATION)})
    if numbers and words:
        raise ValueError(
            f"The split column holds folds ({name_some(numbers)}) and '{words[0]}': "
            "the two cannot be meant together. Write train and val, or the number of a fold for each case."
        )
    if numbers:
        inside = [name for name, entry in said.items() if entry.isdigit()]
        cut = [[name for name in inside if int(said[name]) == number] for number in numbers]
        made = [Split(tuple(sorted(set(inside) - set(held))), tuple(sorted(held))) for held in cut]
    else:
        train = tuple(sorted(name for name, entry in said.items() if entry in TRAIN))
        made = [Split(train, tuple(sorted(name for name, entry in said.items() if entry in VALIDATION)))]
    return check_splits(made, groups, "the split column")


def describe_column_faults(splits: Mapping[str, str | None], groups: Mapping[str, str]) -> list[str]:
    """Say what training would refuse about the division that a table gives, and what it leaves out.

    Args:
        splits: What the table says about each case.
        groups: The patient of each case.
    """
    try:
        made = from_column(splits, groups)
    except ValueError as error:
        return [str(error)]
    used = {name for split in made or () for side in split for name in side}
    tested = {groups[name] for name, entry in splits.items() if is_test(entry)}
    both = sorted({groups[name] for name in used} & tested)
    silent = sorted(name for name in splits if name not in used and not is_test(splits[name]))
    told = []
    if both:
        told.append(
            f"{len(both)} patients are in the test cases and in those to train or validate on, so the test "
            f"would flatter: {name_some(both)}. Move all cases of a patient to one side."
        )
    if used and silent:
        told.append(
            f"{len(silent)} cases have no split while others have one: they neither train nor validate: "
            f"{name_some(silent)}."
        )
    return told


def is_test(split: str | None) -> bool:
    """Whether a table keeps a case from training and validation alike.

    Args:
        split: What a table says of a case, in any case of letters; None where it says nothing.
    """
    return split is not None and str(split).strip().lower() == TEST


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


def check_splits(splits: Sequence[Split], groups: Mapping[str, str], where: str) -> list[Split]:
    """Give the splits, or say what is wrong with them.

    Args:
        splits: One for each fold.
        groups: The patient of each case there is.
        where: What the message calls their origin, such as a file.

    Raises:
        ValueError: If they name cases that are not there, a side is empty or a patient is on both.
    """
    if not splits:
        raise ValueError(f"{where} holds no fold. Each needs cases to train on and cases to validate on.")
    for number, split in enumerate(splits):
        unknown = [name for name in (*split.train, *split.validation) if name not in groups]
        if unknown:
            raise ValueError(
                f"{where}, fold {number}: {len(unknown)} of its cases are not in the data set: "
                f"{name_some(unknown)}. Is it the split of another data set, or are cases missing?"
            )
        twice = sorted({name for side in split for name, times in Counter(side).items() if times > 1})
        if twice:
            raise ValueError(
                f"{where}, fold {number}: it names {len(twice)} cases twice on one side, where they would "
                f"count double: {name_some(twice)}. Name each once."
            )
        if not split.train or not split.validation:
            raise ValueError(f"{where}, fold {number}: it needs cases on both sides; got {_counts(split)}.")
        both = {groups[name] for name in split.train} & {groups[name] for name in split.validation}
        if both:
            raise ValueError(
                f"{where}, fold {number}: {len(both)} patients are on both sides, so the validation would "
                f"flatter: {name_some(sorted(both))}. Move all cases of a patient to one side, or say that "
                "they are different patients (group column of a table, group pattern)."
            )
    return list(splits)


def _find_labelled(cases: Mapping[str, Divisible]) -> dict[str, Divisible]:
    labelled = {name: case for name, case in cases.items() if case.labelled}
    if not labelled:
        raise ValueError(
            f"None of the {len(cases)} cases has a label: there is nothing to train on. "
            "Prepare a data set with labels."
        )
    return labelled


def _split(groups: Mapping[str, str], held: set[str]) -> Split:
    return Split(tuple(sorted(set(groups) - held)), tuple(sorted(held)))


def _counts(split: Split) -> str:
    return f"{len(split.train)} to train on, {len(split.validation)} to validate on"
