"""What a data set consists of before any voxel is read."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from ingradient_pl.images.formats import ending
from ingradient_pl.task import Task


class SourceError(ValueError):
    """A data set that cannot be understood as a whole; the message holds every reason."""


class Fault(NamedTuple):
    """What is wrong with a case.

    Args:
        case: Its name.
        file: The file at fault.
        reason: What is wrong and what to do.
    """

    case: str
    file: Path
    reason: str

    def __str__(self) -> str:
        reason = self.reason.removeprefix(f"{self.file}: ")
        case = self.case if self.case.isprintable() else repr(self.case)
        return f"{case}: {self.file}: {reason}"


class CaseFiles(NamedTuple):
    """The files of a case.

    Args:
        name: Of the case.
        images: One file for each channel, or one for all, or an npz and its pkl.
        label: None where there is none.
        group: The patient; the name where nothing is known.
        split: What a table says, such as ``train``.
    """

    name: str
    images: tuple[Path, ...]
    label: Path | None
    group: str
    split: str | None = None


class Source(NamedTuple):
    """A data set.

    Args:
        task: What is segmented from what.
        cases: Those that have all their files by name, sorted.
        faults: What is wrong with the others.
        remarks: What a user should know and need not act on.
        path: Where it was found.
    """

    task: Task
    cases: list[CaseFiles]
    faults: tuple[Fault, ...] = ()
    remarks: tuple[str, ...] = ()
    path: Path = Path()


def label_values(labels: Mapping[str, Any]) -> dict[str, int | tuple[int, ...]]:
    """Give name -> integer(s); the Medical Decathlon writes integer -> name.

    Raises:
        ValueError: If a value is neither an integer nor a list of them.
    """
    if all(str(key).isdigit() for key in labels) and all(isinstance(name, str) for name in labels.values()):
        return {str(name): int(key) for key, name in sorted(labels.items(), key=lambda entry: int(entry[0]))}
    return {str(name): _value(name, value) for name, value in labels.items()}


def strip_ending(path: Path) -> str:
    """Give the name of a file without its ending."""
    return path.name[: -len(ending(path))] if ending(path) else path.stem


def _value(name: str, value: Any) -> int | tuple[int, ...]:
    entries = value if isinstance(value, (list, tuple)) else [value]
    if not entries or not all(isinstance(one, (int, float, str)) and str(one).isdigit() for one in entries):
        raise ValueError(f"label '{name}' must be an integer or a list of integers; got {value!r}.")
    made = tuple(int(one) for one in entries)
    return made if isinstance(value, (list, tuple)) else made[0]
