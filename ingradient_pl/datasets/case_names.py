"""Names of cases: what may become the name of a file or folder, checked at one place for every layout."""

import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from ingradient_pl.datasets.exchanged_files import describe_foreign_labels, describe_misplaced
from ingradient_pl.datasets.records import CaseFiles, Fault, Source
from ingradient_pl.messages import find_control

LONGEST = 220
"""Bytes of a name: file systems take 255, and an ending is added."""

DEVICES = {
    "con",
    "prn",
    "aux",
    "nul",
    *(f"{kind}{number}" for kind in ("com", "lpt") for number in range(10)),
}
"""Names that are devices on Windows, with any ending."""

JOINED = re.compile(r"(?<=[^\x00-\x7f])[\u200c\u200d](?=[^\x00-\x7f])")
"""What joins or parts letters where scripts need it, as of Persian; elsewhere it is not seen."""

LITTER = ("__MACOSX",)
"""Folders that archives of macOS leave beside the data."""


def describe_name_fault(name: object) -> str:
    r"""Say why a case cannot have a name; empty where it can.

    A name is one part of a path: it becomes a folder of a store and the file of a prediction.

    Args:
        name: What a file, a table or a description calls the case.

    >>> describe_name_fault("liver 7 (b)")
    ''
    >>> describe_name_fault("../liver")
    "'../liver' cannot name a case: it holds '/', which separates folders. Rename it."
    """
    if not isinstance(name, str):
        return f"{name!r} cannot name a case: it is not text. Rename it."
    why = _why_not(name)
    return f"{_shorten(name)} cannot name a case: {why}. Rename it." if why else ""


def _why_not(name: str) -> str:
    separators = sorted({letter for letter in name if letter in "/\\"})
    control = find_control(name)
    unseen = [letter for letter in JOINED.sub("", name) if unicodedata.category(letter) == "Cf"]
    rules = (
        (not name.strip(), "it is empty"),
        (bool(separators), f"it holds '{''.join(separators)}', which separates folders"),
        (name.startswith("."), "it starts with a dot, as hidden files do"),
        (bool(control), f"it holds {control!r}, which no file name should"),
        (bool(unseen), f"it holds {', '.join(map(repr, unseen[:1]))}, which nobody sees"),
        (name != name.strip(), "it begins or ends with a blank, which nobody sees"),
        (re.match(r"[a-zA-Z]:", name) is not None, "it starts as a drive does"),
        (name.split(".")[0].strip().lower() in DEVICES, "some systems keep it for a device"),
        (_size(name) > LONGEST, f"it is {_size(name)} bytes long, the longest may be {LONGEST}"),
    )
    return next((why for wrong, why in rules if wrong), "")


def _size(name: str) -> int:
    return len(name.encode("utf-8", "surrogatepass"))


def _shorten(name: str, most: int = 60) -> str:
    return repr(name) if len(name) <= most else f"{name[:most]!r}..."


def is_hidden(path: Path) -> bool:
    """Whether a system left it there and it is not data: ``._CASE`` and ``.DS_Store`` of macOS, ...

    Args:
        path: A file or folder; its name alone decides.
    """
    return path.name.startswith(".") or path.name in LITTER


def check_cases(source: Source) -> Source:
    """Keep the cases whose names can be used and that no other case has; the others become faults.

    Every layout, table and store goes through here before a name becomes a path.

    Args:
        source: Cases as their layout names them.
    """
    faults = list(source.faults)
    places: dict[str, list[CaseFiles]] = {}
    for case in source.cases:
        places.setdefault(case.name if isinstance(case.name, str) else repr(case.name), []).append(case)
    kept = []
    for name, cases in places.items():
        wrong = describe_name_fault(cases[0].name)
        if wrong:
            faults += [Fault(name, _where(case), wrong) for case in cases]
        elif len(cases) > 1:
            faults += describe_twins(name, [_where(case) for case in cases])
        else:
            kept += cases
    remarks = (
        *source.remarks,
        *_describe_near_twins([case.name for case in kept]),
        *describe_misplaced(source.task.channels, kept),
        *describe_foreign_labels(kept),
    )
    return source._replace(cases=kept, faults=tuple(faults), remarks=tuple(dict.fromkeys(remarks)))


def _describe_near_twins(names: Iterable[str]) -> Iterator[str]:
    """Remark on names that some disks take for one: other capitals, accents written in another way."""
    for several in group_alike(names, lambda name: unicodedata.normalize("NFC", name).casefold()):
        yield (
            f"the cases {', '.join(map(repr, several))} differ in capitals or accents alone: on disks of "
            "macOS and Windows their files would be one. Rename them to use the data there."
        )


def group_alike(names: Iterable[str], spell: Callable[[str], str]) -> list[list[str]]:
    """Give the names that are spelled alike, where there are several.

    Args:
        names: Of one kind.
        spell: Gives what is compared of a name.
    """
    alike: dict[str, list[str]] = {}
    for name in names:
        alike.setdefault(spell(name), []).append(name)
    return [several for several in alike.values() if len(several) > 1]


def describe_twins(name: str, files: Iterable[Path]) -> list[Fault]:
    """Give a fault for each of several sources that come to one name, so that none hides another.

    Args:
        name: The name that they share.
        files: All of them.
    """
    files = list(files)
    faults = []
    for file in files:
        others = ", ".join(str(other) for other in files if other is not file)
        reason = f"it would be the case '{name}', and so would {others}. Rename one."
        faults.append(Fault(name, file, reason))
    return faults


def _where(case: CaseFiles) -> Path:
    return case.images[0] if case.images else Path()
