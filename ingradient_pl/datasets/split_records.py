"""A division of cases into those that train and those that validate, and what is asked of a case for it."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol, runtime_checkable

from ingradient_pl.phrases import name_some
from ingradient_pl.short_repr import short_repr


class Split(NamedTuple):
    """One fold.

    Args:
        train: Names of the cases to train on, sorted.
        validation: Names of the cases to validate on, sorted.
    """

    train: tuple[str, ...]
    validation: tuple[str, ...]

    def __repr__(self) -> str:
        return short_repr(self)

    @property
    def kept(self) -> tuple[str, ...]:
        """Held-out cases: those that validate and do not train."""
        return tuple(name for name in self.validation if name not in set(self.train))


@runtime_checkable
class Divisible(Protocol):
    """What a division into folds asks of a case."""

    @property
    def labelled(self) -> bool:
        """Whether there is a label."""

    @property
    def group(self) -> str:
        """The patient."""

    @property
    def split(self) -> str | None:
        """What the source's table says, e.g. ``train``; None or empty where it says nothing."""

    @property
    def store(self) -> str:
        """Which of several stores it is in; empty of one."""


def find_strata(cases: Mapping[str, Divisible]) -> dict[str, str]:
    """Give the store of each patient; of one who is in several, the first by name.

    Args:
        cases: By name.
    """
    return dict(sorted(((case.group, case.store) for case in cases.values()), reverse=True))


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
            raise ValueError(
                f"{where}, fold {number}: it needs cases on both sides; got {count_sides(split)}. "
                "Move patients from one to the other, or number two folds or more."
            )
        both = {groups[name] for name in split.train} & {groups[name] for name in split.validation}
        if both:
            raise ValueError(
                f"{where}, fold {number}: {len(both)} patients are on both sides, so the validation would "
                f"flatter: {name_some(sorted(both))}. Move all cases of a patient to one side, or say that "
                "they are different patients (group column of a table, group pattern)."
            )
    return list(splits)


def check_division(cases: Mapping[str, Divisible], train: Sequence[str]) -> None:
    """Refuse a division that trains on no case of some store.

    Args:
        cases: All cases, of one store or several.
        train: Names of the cases that train.

    Raises:
        ValueError: If a store has none of them.
    """
    busy = {cases[name].store for name in train}
    idle = [store for store in dict.fromkeys(case.store for case in cases.values()) if store not in busy]
    if not busy or not idle:
        return
    bare = [
        store for store in idle if not any(case.labelled for case in cases.values() if case.store == store)
    ]
    if bare:
        raise ValueError(
            f"No case of the store {', '.join(bare)} trains: none of them has a label. Leave the store out, "
            "or label some and prepare it again."
        )
    raise ValueError(
        f"No case of the store {', '.join(idle)} trains: it has too few patients for so many folds, or its "
        "table's column 'split' has none of them train. Ask for other folds (data.split.count=N), divide "
        "with data.split.file=FILE, change that column, or leave the store out."
    )


def count_sides(split: Split) -> str:
    """Say how many cases are on each side.

    Args:
        split: One fold.
    """
    return f"{len(split.train)} to train on, {len(split.validation)} to validate on"
