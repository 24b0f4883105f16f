"""Lists of cases in a ``dataset.json``: the Medical Decathlon's, and MONAI's datalists with their folds."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from ingradient_pl.datasets.annotated import ANNOTATED, read_annotated
from ingradient_pl.datasets.case_masks import place_label
from ingradient_pl.datasets.case_names import is_hidden
from ingradient_pl.datasets.layout_records import Layout, case_of
from ingradient_pl.datasets.layouts import DESCRIPTION, join_path
from ingradient_pl.datasets.overlap import Places
from ingradient_pl.datasets.records import CaseFiles, Fault, strip_ending
from ingradient_pl.phrases import name_some


def datalist_layout(described: Mapping[str, Any], folder: Path, places: Places | None = None) -> Layout:
    """Sort the ``training`` list of the Medical Decathlon's ``dataset.json``, or of a datalist of MONAI's.

    An image is a 4D file or a list of files. ``fold`` of an entry, or a list ``validation`` beside, is how
    cases are divided. Files of one name in several folders are named after their folders as well.

    Args:
        described: The file's content; it has a list ``training``.
        folder: What relative paths begin at.
        places: How label files hold each label that may overlap; None where none may.
    """
    entries: list[tuple[Any, str | None]] = [(entry, None) for entry in described["training"]]
    folds = [entry.get("fold") for entry, _ in entries if isinstance(entry, Mapping)]
    further = described.get("validation")
    remarks = []
    if isinstance(further, list) and further:
        if any(fold is not None for fold in folds):
            remarks.append(
                f"the {len(further)} cases of 'validation' are left out: 'fold' divides the others."
            )
        else:
            entries = [*((entry, "train") for entry, _ in entries), *((entry, "val") for entry in further)]
    cases, faults = [], []
    seen: set[tuple[Path, ...]] = set()
    for number, (entry, split) in enumerate(entries):
        made = _listed_case(entry, folder, split, places)
        if isinstance(made, str):
            faults.append(Fault(f"training[{number}]", folder / DESCRIPTION, made))
        elif made.images in seen:
            faults.append(Fault(made.name, made.images[0], "'training' names it twice. Keep one entry."))
        else:
            seen.add(made.images)
            cases.append(made)
    hidden = [case for case in cases if is_hidden(case.images[0])]
    if hidden:
        remarks.append(
            f"{len(hidden)} hidden files are left out: {name_some([case.name for case in hidden])}."
        )
    return Layout(_name_after_folders(cases), tuple(faults), tuple(remarks))


def _listed_case(entry: Any, folder: Path, split: str | None, places: Places | None) -> CaseFiles | str:
    """Read an entry of a datalist, or say what is wrong with it."""
    files = entry.get("image") if isinstance(entry, Mapping) else None
    files = [files] if isinstance(files, str) else files
    if not isinstance(files, list) or not files or not all(isinstance(file, str) and file for file in files):
        return f"'training' gives no 'image' for it: {str(entry)[:60]!r}."
    fold = entry.get("fold")
    if fold is not None and (isinstance(fold, bool) or not str(fold).isdecimal()):
        return f"'fold' must be a number from 0; got {fold!r}."
    images = tuple(join_path(folder, file) for file in files)
    case = case_of(strip_ending(images[0]), images)._replace(split=split if fold is None else str(fold))
    try:
        case = case._replace(annotated=read_annotated(entry.get(ANNOTATED)))
        return place_label(case, entry.get("label"), places, partial(join_path, folder))
    except ValueError as error:
        return f"{error}."


def _name_after_folders(cases: Sequence[CaseFiles]) -> list[CaseFiles]:
    """Name files that share a name after their folders as well: ``patient1/ct``, ``patient2/ct``."""
    cases = [case for case in cases if not is_hidden(case.images[0])]
    count: dict[str, int] = {}
    for case in cases:
        count[case.name] = count.get(case.name, 0) + 1
    made = []
    for case in cases:
        above = case.images[0].parent.name
        name = f"{above}_{case.name}" if count[case.name] > 1 and above else case.name
        made.append(case._replace(name=name, group=name))
    return made
