"""A division of cases into those that train and those that validate, and what is asked of a case for it."""

from collections.abc import Mapping
from typing import NamedTuple, Protocol, runtime_checkable

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
