"""Cases listed in a table of paths, and the task read from the files where nobody wrote it down."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from ingradient_pl.datasets.annotated import ANNOTATED, check_annotated, read_annotated
from ingradient_pl.datasets.case_masks import MISSING_LABELS, place_label, settle_masks, with_masks
from ingradient_pl.datasets.case_names import describe_name_fault
from ingradient_pl.datasets.groups import GroupError, group_cases
from ingradient_pl.datasets.overlap import VALUE, Places, number_names, place_files, read_labels
from ingradient_pl.datasets.records import CaseFiles, Fault, Source, SourceError, place_path, strip_ending
from ingradient_pl.datasets.scanned_task import scan_task
from ingradient_pl.datasets.split_columns import TEST, TRAIN, VALIDATION
from ingradient_pl.datasets.table_rows import Row, read_rows, read_spacing
from ingradient_pl.task import Task

IMAGE = "image"
OF_LABEL = "label_"
"""What begins the name of a column with the files of one label, where labels may overlap."""

ENDINGS = (".csv", ".tsv", ".txt", ".json")
OTHER = ("case", "label", "group", "split", "spacing", ANNOTATED)
SPLITS = (*TRAIN, *VALIDATION, TEST, "")
"""What may stand in the column split, beside numbers of folds."""


def read(path: Path, described: Mapping[str, Any] | None, pattern: str) -> Source:
    """Read a .csv or .json table of cases.

    Channels and labels come from a JSON table's own ``channel_names`` and ``labels``, else from a
    ``dataset.json`` beside the table, else from the column names and from the label files themselves.

    Args:
        path: The table.
        described: The content of a ``dataset.json`` beside it; None where there is none.
        pattern: Finds the patient in a case's name, as of :func:`ingradient_pl.datasets.groups.group_cases`.

    Raises:
        SourceError: If the table cannot be understood; every faulty row at once.
    """
    table = _table(path, described, pattern)
    task = _task(path, table)
    source = Source(task, table.cases, _missing(table.cases), table.remarks, path)
    return check_annotated(settle_masks(source, table.told.get(MISSING_LABELS), path), path)


def read_to_predict(path: Path, described: Mapping[str, Any] | None, pattern: str, task: Task) -> Source:
    """Read a .csv or .json table of cases whose task is known: no label is opened, none needs to be there.

    The channels of the answer's task are named as the table names them.

    Args:
        path: The table.
        described: The content of a ``dataset.json`` beside it; None where there is none.
        pattern: Finds the patient in a case's name, as of :func:`ingradient_pl.datasets.groups.group_cases`.
        task: Of the model that is to predict.

    Raises:
        SourceError: If the table cannot be understood; every faulty row at once.
    """
    table = _table(path, described, pattern)
    faults = _missing([with_masks(case, ()) for case in table.cases])
    remarks, cases = list(table.remarks), []
    for case in table.cases:
        lost = next((file for file in case.files[len(case.images) :] if not _is_there(file)), None)
        if lost is not None:
            remarks.append(f"case '{case.name}': its label {lost} is not there; predicted without.")
        cases.append(case if lost is None else with_masks(case, ()))
    try:
        named_there = tuple(_channels(table.told, table.columns))
    except ValueError as error:
        raise SourceError(f"{path}: {error}") from error
    if len(named_there) == len(task.channels):
        task = replace(task, channels=named_there)
    return Source(task, cases, faults, tuple(remarks), path)


class _Table(NamedTuple):
    columns: list[str]
    told: Mapping[str, Any]
    places: Places | None
    cases: list[CaseFiles]
    remarks: tuple[str, ...]


def _table(path: Path, described: Mapping[str, Any] | None, pattern: str) -> _Table:
    if path.suffix.lower() not in ENDINGS:
        raise SourceError(
            f"{path}: a table ends in {', '.join(ENDINGS)}. Rename it, or give the data set's folder."
        )
    rows, own, told = read_rows(path)
    columns, about = _columns(path, rows), {**(described or {}), **own}
    places = _places(path, rows, about)
    cases, wrong = [], []
    for number, row in enumerate(rows, start=1):
        made = _case(path, number, row, columns, places)
        if isinstance(made, str):
            wrong.append(made)
        else:
            cases.append(made)
    twice = sorted(name for name, count in Counter(case.name for case in cases).items() if count > 1)
    wrong += [
        f"case '{name}' is there more than once; give unlike names in the column 'case'" for name in twice
    ]
    if wrong or not cases:
        raise SourceError(f"{path}: {'; '.join(wrong) or 'there is no case in it'}.")
    try:
        groups = group_cases(sorted(case.name for case in cases), pattern)
    except GroupError as error:
        raise SourceError(str(error)) from error
    grouped_cases = [case._replace(group=case.group or groups[case.name]) for case in cases]
    remarks = (*told, *_unread_columns(rows, columns), *_shared_images(grouped_cases))
    return _Table(columns, about, places, sorted(grouped_cases, key=lambda case: case.name), remarks)


def _places(path: Path, rows: Sequence[Row], about: Mapping[str, Any]) -> Places | None:
    """Give how files hold labels that may overlap: a column ``label_NAME`` each, or as a description says."""
    named = list(dict.fromkeys(key for row in rows for key in row if key.startswith(OF_LABEL)))
    try:
        told = read_labels(about)[1]
        places = place_files([column.removeprefix(OF_LABEL) for column in named])
    except (AttributeError, TypeError, ValueError) as error:
        raise SourceError(f"{path}: {error}") from error
    if not named:
        return told
    known = [name for name in (told or about.get("labels") or places) if name != "background"]
    if sorted(places) != sorted(known):
        raise SourceError(
            f"{path}: its columns give files of the labels {', '.join(places)}, the description names "
            f"{', '.join(known)}. Name the same in both."
        )
    values = {name: place for name, place in (told or {}).items() if VALUE in place}
    return {name: {**places[name], **values.get(name, {})} for name in known}


def _columns(path: Path, rows: Sequence[Row]) -> list[str]:
    named_columns = list(dict.fromkeys(key for row in rows for key in row))
    if not rows:
        raise SourceError(f"{path}: there is no row in it below its heading. Name a case a line.")
    columns = [key for key in named_columns if key == IMAGE or key.startswith(f"{IMAGE}_")]
    if not columns and not any("images" in row for row in rows):
        raise SourceError(
            f"{path}: no column 'image_0'; there are {', '.join(named_columns) or 'none'}. "
            "A table has the columns case, image_0, image_1, ..., label, group, split."
        )
    return (
        sorted(columns, key=lambda key: int(key[6:]))
        if all(key[6:].isdigit() for key in columns)
        else columns
    )


def _unread_columns(rows: Sequence[Row], columns: Sequence[str]) -> tuple[str, ...]:
    """Remark on columns that nobody reads: notes of the user's, or misspelt."""
    strange = sorted({key for row in rows for key in row} - {*columns, *OTHER, "images", ""})
    strange = [key for key in strange if not key.startswith(OF_LABEL)]
    known = ", ".join(OTHER)
    return tuple(f"nobody reads the column '{key}'; beside images there are {known}." for key in strange)


def _shared_images(cases: Sequence[CaseFiles]) -> tuple[str, ...]:
    """Remark on cases of one image that are of several patients, and on one file for several channels."""
    doubled = [case for case in cases if len(set(case.images)) < len(case.images)]
    users: dict[tuple[Path, ...], list[CaseFiles]] = {}
    for case in cases:
        users.setdefault(case.images, []).append(case)
    told = [(images[0], shared) for images, shared in users.items() if len({one.group for one in shared}) > 1]
    return (
        *(f"case '{case.name}' has one file for several channels: {case.images[0]}." for case in doubled),
        *(
            f"the cases {', '.join(case.name for case in shared)} are all of {image}, and count as patients "
            "of their own: one may train and another validate. Give them one name in the column 'group'."
            for image, shared in told
        ),
    )


def _case(
    path: Path, number: int, row: Row, columns: Sequence[str], places: Places | None
) -> CaseFiles | str:
    files = list(row.get("images") or []) or [row.get(column) for column in columns]
    cells = [str(cell).strip() for cell in files if cell is not None and str(cell).strip()]
    name = str(row.get("case") or "").strip()
    if not cells or (len(cells) != len(files) and len(files) > 1):
        return f"row {number} ({name[:100]!r}) lacks an image: {files}"
    join = partial(place_path, path.parent)
    images = tuple(map(join, cells))
    name = name or strip_ending(images[0])
    wrong = describe_name_fault(name)
    if wrong:
        return f"row {number}: {wrong.rstrip('.')}"
    named = {key.removeprefix(OF_LABEL): row[key] for key in row if key.startswith(OF_LABEL)}
    label = named if any(named.values()) else row.get("label")
    label = label.strip() if isinstance(label, str) else label
    group, split = (
        str(row.get(key) if row.get(key) is not None else "").strip() for key in ("group", "split")
    )
    if split.lower() not in SPLITS and not split.isdecimal():  # misspelt, it would silently be another split
        return f"row {number}: {split[:100]!r} is not a split: write train, val, test or a fold's number"
    try:
        spacing, annotated = read_spacing(row.get("spacing")), read_annotated(row.get(ANNOTATED))
        case = CaseFiles(name, images, None, group, split or None, spacing, annotated)
        return place_label(case, label, places, join)
    except ValueError as error:
        return f"row {number} ({name[:100]!r}): {error}"


def _missing(cases: Sequence[CaseFiles]) -> tuple[Fault, ...]:
    reason = "no such file. Paths in a table are relative to the table."
    files = [(case.name, file) for case in cases for file in (case.images if case.masks else case.files)]
    return tuple(Fault(name, file, reason) for name, file in files if not _is_there(file))


def _is_there(file: Path) -> bool:
    try:
        return file.exists()
    except OSError:  # no file can have such a name
        return False


def _task(path: Path, table: _Table) -> Task:
    told = table.told
    try:
        channels = _channels(told, table.columns)
        if told.get("labels") is None and table.places is None:
            return scan_task([case for case in table.cases if case.label], path.stem, channels)
        order = told.get("regions_class_order")
        return Task(
            channels=tuple(channels),
            labels=read_labels(told)[0] if table.places is None else number_names(list(table.places)),
            regions_class_order=None if order is None or table.places is not None else tuple(order),
            name=str(told.get("name") or path.stem),
            overlap=table.places,
        )
    except (AttributeError, TypeError, ValueError) as error:
        raise SourceError(f"{path}: {error}") from error


def _channels(told: Mapping[str, Any], columns: Sequence[str]) -> list[str]:
    """Name the channels as the table does, else by its columns.

    Raises:
        ValueError: If they are named in any other way than ``{"0": NAME, ...}`` or a list.
    """
    names = told.get("channel_names", told.get("modality"))
    if isinstance(names, Mapping) and all(str(key).isdecimal() for key in names):
        return [str(name) for _, name in sorted(names.items(), key=lambda entry: int(entry[0]))]
    if names is not None and not isinstance(names, (list, tuple)):
        raise ValueError(
            f"'channel_names' is {{'0': NAME, '1': NAME, ...}} or a list; got {str(names)[:100]}"
        )
    return [str(name) for name in names or (column.removeprefix("image_") for column in columns)]
