"""The files of a case whose labels may overlap: found by patterns of names, or named by its entry."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ingradient_pl.datasets.case_names import is_hidden
from ingradient_pl.datasets.overlap import (
    CASE,
    CHANNEL,
    CHANNELS,
    FILE,
    VALUE,
    Places,
    order_names,
    place_files,
)
from ingradient_pl.datasets.records import CaseFiles, Fault, Source, SourceError, strip_ending
from ingradient_pl.images.formats import ending
from ingradient_pl.images.mask_files import MaskFile
from ingradient_pl.task import UNMASKED

MISSING_LABELS = "missing_labels"
"""The key of a description that says what a label file means that is not there."""

UNANNOTATED, EMPTY = "unannotated", "empty"
DEFAULT_ENDING = ".nii.gz"


def find_masks(folder: Path, case: str, places: Places) -> tuple[MaskFile, ...]:
    """Give where the masks of a case are by the patterns of their names; files need not be there.

    Without a pattern a case has one file, CASE.nii.gz, or a folder CASE with a file named after each label.

    Args:
        folder: That patterns are relative to: of label files, or of predictions.
        case: Its name.
        places: How label files hold each label.
    """
    whole = find_file(folder, case)
    apart = (folder / case).is_dir() and not whole.is_file()
    if apart and not any(FILE in place for place in places.values()):
        return _in_folder(folder / case, places)
    return tuple(
        _mask_file(
            places,
            name,
            find_file(folder, str(place[FILE]).replace(CASE, case)) if FILE in place else whole,
        )
        for name, place in places.items()
    )


def name_masks(told: Any, places: Places, join: Callable[[str], Path]) -> tuple[MaskFile, ...]:
    """Give where the masks of a case are, as its entry of a list or table names them.

    Args:
        told: A file with a channel for each label, a folder with a file named after each, a list of files in
            the labels' order, or files by label; a label without a file is left out.
        places: How label files hold each label.
        join: Makes a path of what an entry calls a file.

    Raises:
        ValueError: If it is something else, or names other labels.
    """
    if isinstance(told, str):
        path = join(told)
        if path.is_dir():
            return _in_folder(path, places)
        return tuple(_mask_file(places, name, path) for name in places)
    if isinstance(told, list):
        if len(told) != len(places):
            raise ValueError(
                f"'label' lists {len(told)} files, there are {len(places)} labels ({', '.join(places)})"
            )
        told = dict(zip(places, told, strict=True))
    if not isinstance(told, Mapping):
        raise ValueError(  # noqa: TRY004 - a description is wrong
            f"'label' must be a file, a folder, a list of files or files by label; got {told!r}"
        )
    unknown = sorted(set(map(str, told)) - set(places))
    if unknown:
        raise ValueError(f"'label' names '{unknown[0]}', which is no label ({', '.join(places)})")
    wrong = [file for file in told.values() if file and not isinstance(file, str)]
    if wrong:
        raise ValueError(f"'label' must name a file for each label; got {wrong[0]!r}")
    return tuple(_mask_file(places, name, join(told[name]), whole=False) for name in places if told.get(name))


def place_label(case: CaseFiles, told: Any, places: Places | None, join: Callable[[str], Path]) -> CaseFiles:
    """Give a case with its label as an entry of a list or table names it.

    Args:
        case: Without a label.
        told: A file; where labels may overlap, see :func:`name_masks`. Nothing leaves it without a label.
        places: How label files hold each label that may overlap; None where none may.
        join: Makes a path of what an entry calls a file.

    Raises:
        ValueError: If it is something else.
    """
    if not told:
        return case
    if places is not None:
        return with_masks(case, name_masks(told, places, join))
    if not isinstance(told, str):
        raise ValueError(  # noqa: TRY004 - a description is wrong
            f"'label' must be one file; got {str(told)[:60]}. Several files are labels that may overlap: "
            'name them in dataset.json, "labels": ["liver", "tumour"]'
        )
    return case._replace(label=join(told))


def with_masks(case: CaseFiles, masks: Sequence[MaskFile]) -> CaseFiles:
    """Give a case with where its masks are.

    Args:
        case: Its files.
        masks: None leaves it without a label.
    """
    return case._replace(masks=tuple(masks), label=masks[0].path if masks else None)


def settle_masks(source: Source, rule: object, where: Path) -> Source:
    """Hold the masks of each case against the files that are there and the labels that it annotates.

    Args:
        source: Cases as their layout gives them.
        rule: What a missing file means: ``unannotated``, ``empty``, or None: it is a fault.
        where: The description, for messages.

    Raises:
        SourceError: If the rule is another.
    """
    task = source.task
    if rule not in (None, UNANNOTATED, EMPTY):
        raise SourceError(f"{where}: '{MISSING_LABELS}' is '{UNANNOTATED}' or '{EMPTY}'; got {rule!r}.")
    if task.overlap is None:
        return source
    kept, faults = [], list(source.faults)
    for case in source.cases:
        made = _settle(case, order_names(task.overlap), rule)
        if isinstance(made, Fault):
            faults.append(made)
        else:
            kept.append(made)
    apart = next((case for case in kept if len({mask.path for mask in case.masks}) > 1), None)
    if apart is not None and not any(FILE in place for place in task.overlap.values()):
        task = replace(task, overlap=place_files(list(task.overlap)))
    return source._replace(task=task, cases=kept, faults=tuple(faults))


def find_cases(folder: Path, places: Places) -> list[str]:
    """Give the names of the cases that have a label file in a folder, sorted.

    Args:
        folder: That patterns are relative to.
        places: How label files hold each label.
    """
    patterns = {str(place.get(FILE, CASE)) for place in places.values()}
    if not any(FILE in place for place in places.values()):
        patterns |= {f"{CASE}/{name}" for name in places}
    found: dict[Path, str] = {}
    for pattern in patterns:
        for name, file in match_pattern(folder, pattern):
            if ending(file):
                known = found.get(file, name)
                found[file] = min(known, name, key=len)  # of _core_tumour and _tumour the longer
    return sorted(set(found.values()))


def find_file(folder: Path, pattern: str) -> Path:
    """Give a label file by its name, whatever its ending where that tells none; it need not be there.

    Args:
        folder: That the name is relative to.
        pattern: The name, or a path.
    """
    path = folder / pattern
    if ending(path):
        return path
    there = path.parent.iterdir() if path.parent.is_dir() else ()
    found = [file for file in sorted(there) if ending(file) and strip_ending(file) == path.name]
    return found[0] if found else path.with_name(path.name + DEFAULT_ENDING)


def match_pattern(folder: Path, pattern: str) -> Iterator[tuple[str, Path]]:
    """Give the files that a pattern fits, and what stands for ``{case}`` in each.

    Args:
        folder: That the pattern is relative to.
        pattern: With ``{case}`` once or several times; ``*`` is any text within a name. Without an ending it
            fits files of all formats and folders.
    """
    wanted = _case_pattern(pattern)
    whole = bool(ending(Path(pattern)))
    for file in sorted(folder.glob("/".join(["*"] * (pattern.count("/") + 1)))):
        path = file.relative_to(folder).as_posix()
        match = wanted.fullmatch(path if whole else path[: len(path) - len(ending(file))])
        if match is not None and not is_hidden(file) and (ending(file) or not whole):
            yield match["case"], file


def _case_pattern(pattern: str) -> re.Pattern[str]:
    """Give what fits the names of a pattern, as group ``case`` what stands for ``{case}``."""
    before, *after = [re.escape(part).replace(r"\*", "[^/]*") for part in pattern.split(CASE)]
    return re.compile(before + "(?P<case>[^/]+)" + "(?P=case)".join(after))


def _in_folder(folder: Path, places: Places) -> tuple[MaskFile, ...]:
    return tuple(_mask_file(places, name, find_file(folder, name), whole=False) for name in places)


def _mask_file(places: Places, name: str, path: Path, *, whole: bool = True) -> MaskFile:
    """Give where a label is in a file; one that is not ``whole`` holds this label alone."""
    place = places[name]
    channel, channels, values = place.get(CHANNEL), place.get(CHANNELS), place.get(VALUE)
    whole = whole or FILE in place
    return MaskFile(
        order_names(places).index(name) + 1,
        name,
        path,
        channel if whole and isinstance(channel, int) else None,
        channels if whole and isinstance(channels, int) else None,
        tuple(values) if isinstance(values, list) else None,
    )


def _settle(case: CaseFiles, names: Sequence[str], rule: object) -> CaseFiles | Fault:
    if not case.masks:
        return case
    wanted = [name for name in names if case.annotated is None or name in (*case.annotated, *UNMASKED)]
    there = {mask.name: mask for mask in case.masks if mask.name in wanted and mask.path.is_file()}
    missing = [name for name in wanted if name not in there]
    if missing and (rule is None or not set(there) - set(UNMASKED)):
        paths = {mask.name: mask.path for mask in case.masks}
        told = (f"'{name}' ({paths[name].name})" if name in paths else f"'{name}'" for name in missing)
        return Fault(
            case.name,
            paths.get(missing[0], case.masks[0].path),
            f"there is no file of {', '.join(told)}. Add it, name what was annotated in the case "
            f"('annotated'), or say in dataset.json what a missing file means: \"{MISSING_LABELS}\": "
            f'"{UNANNOTATED}" or "{EMPTY}".',
        )
    case = with_masks(case, sorted(there.values(), key=lambda mask: mask.number))
    if not missing or rule != UNANNOTATED:
        return case
    return case._replace(annotated=tuple(name for name in there if name not in UNMASKED))
