"""Channels and labels of a source: order and names beside a model's, and beside the names of their files."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ingradient_pl.datasets.records import CaseFiles, SourceError
from ingradient_pl.task import Task

UNNAMED = re.compile(r"((image|channel|modality)[ _-]*)?\d*", re.IGNORECASE)
"""Names of channels that say nothing of what they hold."""


def order_channels(path: Path, channels: Sequence[str], task: Task) -> tuple[int, ...]:
    """Find a task's channels among those of a source that has the same ones in another order.

    Args:
        path: Of the source, for the message.
        channels: The source's, in its order.
        task: Of the model.

    Returns:
        Which of the source's channels is each of the task's; nothing where they are taken as they stand: in
        the task's order, or under other names.

    Raises:
        SourceError: If several channels in another order share a name.
    """
    found, wanted = ([name.strip().casefold() for name in names] for names in (channels, task.channels))
    if found == wanted or sorted(found) != sorted(wanted):
        return ()
    if len(set(found)) < len(found):
        raise SourceError(
            f"{path}: its channels are {', '.join(channels)}, in this order; the model wants them as "
            f"{', '.join(task.channels)}, and which is which their names do not say. Give a table with the "
            "columns image_0, image_1, ... in that order."
        )
    return tuple(found.index(name) for name in wanted)


def describe_channels(path: Path, channels: Sequence[str], task: Task) -> tuple[str, ...]:
    """Remark on a source whose channels have other names than a model's, or the same in another order.

    Args:
        path: Of the source, for the remark.
        channels: The source's, in its order; numbers and the like name nothing.
        task: Of the model.
    """
    here, there = ", ".join(channels), ", ".join(task.channels)
    if order_channels(path, channels, task):
        return (f"{path}: its channels are {here}, the model wants {there}: each is taken by its name.",)
    pairs = zip(channels, task.channels, strict=False)
    named = [
        (one, other) for one, other in pairs if not UNNAMED.fullmatch(one) and not UNNAMED.fullmatch(other)
    ]
    if all(one.strip().casefold() == other.strip().casefold() for one, other in named):
        return ()
    return (
        f"{path}: its channels are called {here}, those of the model {there}: they are taken in this order. "
        "Are they the same contrasts?",
    )


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


def named_channels(described: Mapping[str, Any]) -> list[str]:
    """Give the channels that a description names, in their order; none where it names none.

    Args:
        described: The content of a ``dataset.json``.
    """
    named_there = described.get("channel_names", described.get("modality"))
    if not isinstance(named_there, Mapping) or not all(str(key).isdigit() for key in named_there):
        return []
    return [str(name) for _, name in sorted(named_there.items(), key=lambda entry: int(entry[0]))]
