"""``dataset.json``, nnU-Net's, the Medical Decathlon's or ours: read, and the task that it tells."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ingradient_pl.datasets.annotated import ANNOTATED
from ingradient_pl.datasets.case_masks import MISSING_LABELS
from ingradient_pl.datasets.folder_patterns import IMAGE_FILES, LABEL_FILE, with_label_names
from ingradient_pl.datasets.layouts import DESCRIPTION
from ingradient_pl.datasets.overlap import LABEL_FILES, Places, read_labels
from ingradient_pl.datasets.records import SourceError
from ingradient_pl.json_files import read_object
from ingradient_pl.task import Task

KNOWN = {
    *("name", "channel_names", "modality", "labels", "regions_class_order", "file_ending"),
    *("dataset", "training", "test", "validation", "testing", "written_by", ANNOTATED),
    *(LABEL_FILES, MISSING_LABELS, IMAGE_FILES, LABEL_FILE),
}


def task_of(described: Mapping[str, Any], folder: Path) -> Task:
    """Build the task from a ``dataset.json``, nnU-Net's or the Medical Decathlon's.

    Args:
        described: The file's content; what the task does not know goes into its notes.
        folder: Where the file lies, for messages.

    Raises:
        SourceError: If something is missing or wrong in it; all of it at once.
    """
    where, wrong = folder / DESCRIPTION, []
    if not isinstance(described, Mapping):
        raise SourceError(f"{where}: it must hold an object with 'channel_names' and 'labels'.")
    channels = described.get("channel_names", described.get("modality"))
    labels = described.get("labels")
    if not isinstance(channels, Mapping) or not channels:
        wrong.append('\'channel_names\' is missing: {"0": "CT"}')
    elif sorted(map(str, channels)) != sorted(map(str, range(len(channels)))):
        wrong.append(
            f"'channel_names' must number channels 0, 1, 2, ...; got {', '.join(map(str, channels))}"
        )
    if not isinstance(labels, (Mapping, list)) or not labels:
        wrong.append('\'labels\' is missing: {"background": 0, "liver": 1}')
    if wrong:
        raise SourceError(f"{where}: {'; '.join(wrong)}.")
    assert isinstance(channels, Mapping)
    notes = {key: value for key, value in described.items() if key not in KNOWN}
    order = described.get("regions_class_order")
    try:
        values, overlap = read_labels(described)
        return Task(
            channels=tuple(
                str(name) for _, name in sorted(channels.items(), key=lambda entry: int(entry[0]))
            ),
            labels=values,
            regions_class_order=None if order is None or overlap is not None else tuple(order),
            overlap=overlap,
            name=str(described.get("name") or folder.resolve().name),
            file_ending=str(described.get("file_ending", ".nii.gz")),
            notes=notes,
        )
    except (TypeError, ValueError) as error:
        raise SourceError(f"{where}: {error}") from error


def read_task(file: Path) -> Task:
    """Read the task of a ``dataset.json``.

    Args:
        file: nnU-Net's, the Medical Decathlon's, or one that was written beside predictions.

    Raises:
        SourceError: If it is not there, or something is missing or wrong in it.
    """
    described = read_description(file.parent, file.name)
    if described is None:
        raise SourceError(f"{file}: no such file. Give a dataset.json or a case store.")
    return task_of(described, file.parent)


def read_description(folder: Path, name: str = DESCRIPTION) -> dict[str, Any] | None:
    """Read a description; None where there is none.

    Args:
        folder: Where it lies.
        name: Of the file.

    Raises:
        SourceError: If it cannot be read, or holds something else.
    """
    file = folder / name
    if not file.is_file():
        return None
    cure = "It is text that holds an object with 'channel_names' and 'labels': correct it in an editor."
    return with_label_names(read_object(file, cure, SourceError), folder)


def read_places(described: Mapping[str, Any], folder: Path) -> Places | None:
    """Read how label files hold labels that may overlap; None where none may.

    Args:
        described: The content of a ``dataset.json``.
        folder: Where the file lies, for messages.

    Raises:
        SourceError: If its labels cannot be understood.
    """
    try:
        return read_labels(described)[1]
    except (AttributeError, TypeError, ValueError) as error:
        raise SourceError(f"{folder / DESCRIPTION}: {error}") from error
