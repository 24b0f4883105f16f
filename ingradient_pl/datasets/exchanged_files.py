"""Files of cases that bear the name of another channel, or of another case: maybe exchanged."""

import re
from collections.abc import Sequence
from pathlib import Path

from ingradient_pl.datasets.records import CaseFiles
from ingradient_pl.datasets.source_channels import UNNAMED


def describe_misplaced(channels: Sequence[str], cases: Sequence[CaseFiles]) -> list[str]:
    """Remark on cases whose files bear the names of each other's channels.

    Args:
        channels: In the order of files.
        cases: With a file for each channel; all others are left out.
    """
    names = ["" if UNNAMED.fullmatch(name) else _spell(name) for name in channels]
    found = [case for case in cases if len(case.images) == len(names) > 1 and _is_misplaced(names, case)]
    if not found:
        return []
    files = ", ".join(
        f"'{name}' is {file.name}" for name, file in zip(channels, found[0].images, strict=True)
    )
    more = f" ({len(found)} cases are so)" if len(found) > 1 else ""
    return [f"{found[0].name}: its channel {files}{more}: by their names, files of channels are exchanged."]


def describe_foreign_labels(cases: Sequence[CaseFiles]) -> list[str]:
    """Remark on cases whose label bears the name of another case's image.

    Args:
        cases: With the files of each.
    """
    owners = {_stem(case.images[0]): case for case in cases if case.images}
    pairs = [
        (case, owners.get(_stem(case.label), case))
        for case in cases
        if case.images and case.label is not None and _stem(case.label) != _stem(case.images[0])
    ]
    found = [(case, owner) for case, owner in pairs if owner is not case]
    if not found:
        return []
    case, owner = found[0]
    more = f" ({len(found)} cases are so)" if len(found) > 1 else ""
    label = "" if case.label is None else case.label.name
    return [
        f"{case.name}: its image is {case.images[0].name} and its label {label}, which is called as the "
        f"image of {owner.name}{more}: are labels exchanged?"
    ]


def _stem(file: Path) -> str:
    return re.sub(r"(_\d{4})?(\.nii|\.seg)?\.[^.]*$", "", file.name.casefold())


def _is_misplaced(names: Sequence[str], case: CaseFiles) -> bool:
    """Whether some files bear the names of each other's channels, and none bears its own."""
    own = _spell(case.name)[:-1]  # which may hold the name of a channel, too: PATIENT_t1
    files = [_spell(file.name).replace(own, "", 1) for file in case.images]
    bears = {
        number: other
        for number, file in enumerate(files)
        for other, name in enumerate(names)
        if name and names[number] and names[number] not in file and name in file
    }
    return bool(bears) and {*bears} == {*bears.values()}


def _spell(text: str) -> str:
    return f"_{'_'.join(re.findall('[a-z0-9]+', text.casefold()))}_"
