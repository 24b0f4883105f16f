"""The task of a data set that nothing describes: channels and labels as its files have them."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from ingradient_pl.datasets.object_labels import object_labels
from ingradient_pl.datasets.records import CaseFiles, SourceError
from ingradient_pl.images import pairs
from ingradient_pl.task import Task

_NUMBERED = "label_{}"
"""What a label is called of which the integer alone is known."""


def is_numbered(task: Task) -> bool:
    """Whether the names of a task's labels are made of their integers: nothing told what they mean.

    Args:
        task: Any.
    """
    return all(name == _NUMBERED.format(values[0]) for name, values in task.foreground.items())


def scan_task(cases: Sequence[CaseFiles], name: str, channels: Sequence[str] = ()) -> Task:
    """Find channels and labels in the files themselves: label files are read, of DICOM objects the headers.

    Args:
        cases: Each with or without a label.
        name: Of the data set, for the task and for messages.
        channels: Their names; without any it is one channel ``image``, and pairs number theirs.

    Raises:
        SourceError: If no case has a label with foreground.
    """
    named = object_labels(cases)
    with ThreadPoolExecutor() as pool:
        read = list(pool.map(_values, cases if named is None else ()))
    found = {value for one in read if isinstance(one, set) for value in one} | set((named or {}).values())
    if not found - {0}:
        wrong = next((one for one in read if isinstance(one, str)), "")
        raise SourceError(
            f"{name}: no label with foreground was found, so the task is unknown. "
            f"{f'The first that could not be read: {wrong} ' if wrong else ''}"
            "Put a dataset.json with 'channel_names' and 'labels' beside it."
        )
    first = cases[0].images
    if pairs.is_pair(first[0]):
        shape = pairs.keys(first[0]).get("x", ())
        channels = [f"modality_{number}" for number in range(shape[0] if len(shape) > 3 else 1)]  # noqa: PLR2004
    labels = named or {_NUMBERED.format(value): value for value in sorted(found - {0})}
    return Task(channels=tuple(channels or ["image"]), labels={"background": 0, **labels}, name=name)


def _values(case: CaseFiles) -> set[int] | str:
    """Give the integers of a label, or why it cannot be read: the case is reported when it is prepared."""
    if case.label is None:
        return set()
    try:
        return set(np.unique(case.read_label("stored").voxels).tolist())
    except (OSError, ValueError) as error:
        return str(error)
