"""What the sorting of a folder gives: cases, what is wrong with files, what to remark."""

from pathlib import Path
from typing import NamedTuple

from ingradient_pl.datasets.records import CaseFiles, Fault


class Layout(NamedTuple):
    """What a layout's folder holds, before patients are found and names are checked.

    Args:
        cases: With their own names for patients; two may have one name.
        faults: What is wrong with files that make no case.
        remarks: What a user should know and need not act on.
    """

    cases: list[CaseFiles]
    faults: tuple[Fault, ...] = ()
    remarks: tuple[str, ...] = ()


def case_of(name: str, images: tuple[Path, ...], label: Path | None = None) -> CaseFiles:
    """Give a case whose patient is not known yet.

    Args:
        name: Of the case; for now of its patient too.
        images: A file for each channel, or one of all.
        label: None where there is none.
    """
    return CaseFiles(name, images, label, name)
