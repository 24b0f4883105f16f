"""Which labels of stored cases were annotated."""

from collections.abc import Collection, Iterable
from typing import Protocol, runtime_checkable


@runtime_checkable
class Annotated(Protocol):
    """What is asked of a case."""

    @property
    def labelled(self) -> bool:
        """Whether there is a label."""

    @property
    def annotated(self) -> Collection[str] | None:
        """Names of the labels that were annotated; None where all were."""


def is_partly_annotated(cases: Iterable[Annotated]) -> bool:
    """Whether some case says that not all labels were annotated in it.

    Args:
        cases: Of a store.
    """
    return any(case.labelled and case.annotated is not None for case in cases)


def annotates(case: Annotated, name: str) -> bool:
    """Whether a label is known in a case: elsewhere its integers may lie there for others that hold them.

    Args:
        case: With a label.
        name: Of a label or region.
    """
    return case.annotated is None or name in case.annotated
