"""References whose source numbers labels in another way than the predictions: read by the labels' names."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Integer

from ingradient_pl.datasets.scanned_task import is_numbered
from ingradient_pl.images.formats import Volume
from ingradient_pl.store.label_maps import LabelMap
from ingradient_pl.task import BACKGROUND, Task


class LabelTranslation(NamedTuple):
    """From the integers of one source's label files to those of a task.

    Args:
        table: The task's integer for each of the source's; None where they are the same.
        known: Names of the task's labels that the source has; None where it has all.
        remarks: What a user should know, a sentence each: that integers are taken as they are.
    """

    table: Integer[np.ndarray, " value"] | None = None
    known: tuple[str, ...] | None = None
    remarks: tuple[str, ...] = ()

    @classmethod
    def between(cls, source: Task | None, task: Task) -> "LabelTranslation":
        """Find it by the names of labels and regions.

        Where the source tells nothing its integers are taken as they are; where it shares no name with the
        task too, and that is remarked.

        Args:
            source: What the source's files hold; None where nothing tells.
            task: What the predictions hold.

        Raises:
            ValueError: If no integer of the task lies in just the labels that one of the source's lies in.
        """
        if source is None or source.in_files == task.in_files:
            return cls()
        source, task = source.in_files, task.in_files
        shared = [name for name in task.foreground if name in source.foreground]
        if not shared:
            return cls(remarks=describe_other_names(source, task))
        table = np.arange(max(source.values) + 1)
        for value in source.foreground_values:
            table[value] = _counterpart(value, source, task, shared)
        if source.ignore is not None and task.ignore is not None:
            table[source.ignore] = task.ignore
        same = all(int(table[value]) == value for value in source.values)
        known = None if len(shared) == len(task.foreground) else tuple(shared)
        return cls(None if same else table.astype(np.min_scalar_type(int(table.max()))), known)

    def apply(self, label: Integer[np.ndarray, "*voxels"]) -> Integer[np.ndarray, "*voxels"]:
        """Give a label map the task's integers; those that nobody named stay.

        Args:
            label: As its file has it.
        """
        if self.table is None:
            return label
        named = label < len(self.table)
        found = self.table[np.where(named, label, 0)]
        return found if named.all() else np.where(named, found, label)

    def translate_annotated(self, names: tuple[str, ...] | None) -> tuple[str, ...] | None:
        """Leave of the labels that a case annotates those that its source has at all.

        Args:
            names: What the case annotates; None where that is everything.
        """
        if self.known is None or names is None:
            return names if self.known is None else self.known
        return tuple(name for name in names if name in self.known)


def read_translated(label: LabelMap, task: Task, orientation: str) -> Volume:
    """Read a label map with the integers of a task, by the labels' names where its source tells them.

    Args:
        label: One integer a voxel.
        task: Whose integers are wanted.
        orientation: As for :func:`ingradient_pl.images.formats.read_volume`.

    Raises:
        ImageError: If it cannot be read.
        ValueError: If an integer of it lies in labels that none of the task's lies in.
    """
    found = label.read(orientation)
    return found._replace(voxels=LabelTranslation.between(label.find_task(), task).apply(found.voxels))


def describe_other_names(source: Task, task: Task) -> tuple[str, ...]:
    """Say that labels share no name, and are taken by their integers; nothing where one side has no names.

    Args:
        source: What the references hold.
        task: What the predictions hold.
    """
    shared = set(source.foreground) & set(task.foreground)
    if shared or is_numbered(source) or is_numbered(task):
        return ()
    theirs, ours = (", ".join(map(repr, one.foreground)) for one in (source, task))
    return (
        f"The labels of the references ({theirs}) share no name with those of the predictions ({ours}), and "
        "their integers are taken as they are. If they are the same structures, name them alike in the "
        "references' dataset.json (and prepare a store again); if not, take other references: what is "
        "measured now is of other structures.",
    )


def _counterpart(value: int, source: Task, task: Task, shared: list[str]) -> int:
    """Find the task's integer that lies in the same labels as one of the source's, itself if it does."""
    names = {name for name in shared if value in source.foreground[name]}
    fitting = [
        one
        for one in (BACKGROUND, *task.foreground_values)
        if {name for name in shared if one in task.foreground[name]} == names
    ]
    if not fitting:
        raise ValueError(
            f"the references number labels in another way than the predictions: their integer {value} lies "
            f"in {', '.join(sorted(names))}, and none of the predictions in just these. Score with "
            "a reference of the same labels."
        )
    return value if value in fitting else fitting[0]
