"""Labels that overlap as integers of a store: one for each combination of labels that some case holds."""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8

from ingradient_pl.datasets.records import CaseFiles, Source, SourceError
from ingradient_pl.images.formats import Volume
from ingradient_pl.images.packed_masks import Combination, clear_under, find_combinations, list_combinations
from ingradient_pl.store import metadata
from ingradient_pl.task import UNMASKED, Task
from ingradient_pl.workers.threads import Workers

MOST = np.iinfo(np.uint16).max
"""The largest integer of a stored label."""


class _Found(NamedTuple):
    """The combinations of a case, or that it cannot be read."""

    combinations: frozenset[Combination] | None


def number_combinations(source: Source, store: Path, pool: Workers) -> Source:
    """Number the combinations of labels that occur in a data set: each label alone first, then ``ignore``.

    A label's own number is left free where it never lies alone. Every label file is read for it. What a
    store has numbered keeps its integers. A source whose labels do not overlap is given back.

    Args:
        source: With its cases.
        store: The store's folder; it need not exist.
        pool: Who reads cases.

    Raises:
        SourceError: If there are too many combinations, or a label lies in no case.
    """
    task = source.task
    if task.overlap is None:
        return source
    labelled = [case for case in source.cases if case.masks]
    outcomes = [found for _, found in pool.map(partial(_find, task=task), labelled)]
    held = _read_numbered(task, store)
    found = {one for outcome in outcomes for one in outcome.combinations or ()}
    unreadable = sum(outcome.combinations is None for outcome in outcomes) + len(source.faults)
    ignored = {(task.outputs + 1,)} if task.ignore is not None else set()
    numbers = _number(found - ignored, task, held)
    if max(numbers.values()) > MOST:
        raise SourceError(
            f"{source.path}: its {task.outputs} labels occur in {len(numbers)} combinations; a store numbers "
            f"them with 16 bits, up to {MOST}. Prepare fewer labels at a time, or mend masks whose edges "
            "overlap by chance."
        )
    _check_all_occur(source, found, unreadable)
    occurring = {one: at for one, at in numbers.items() if one in found or one in held}
    labels = {
        name: value if name in UNMASKED else _integers_of(number, occurring) or (number,)
        for number, (name, value) in enumerate(task.labels.items())  # background is the first
    }
    return source._replace(task=replace(task, labels=labels))


def _read_numbered(task: Task, store: Path) -> dict[Combination, int]:
    """Give the combinations that a store has numbered already for the same labels."""
    if not (store / metadata.DATASET).is_file():
        return {}
    held = metadata.parse_task(metadata.read_dataset(store)["task"], store)
    if held.overlap is None or list(held.labels) != list(task.labels):
        return {}
    return {combination: value for value, combination in held.combinations.items()}


def _integers_of(number: int, numbers: Mapping[Combination, int]) -> tuple[int, ...]:
    return tuple(at for combination, at in numbers.items() if number in combination)


def _number(found: set[Combination], task: Task, held: Mapping[Combination, int]) -> dict[Combination, int]:
    """Give the integer of each combination: the store's, where it has numbered some already."""
    numbers: dict[Combination, int] = {(number,): number for number in range(1, task.outputs + 1)}
    numbers |= held
    for combination in list_combinations(found, task.outputs):
        after = max(*numbers.values(), task.outputs + (task.ignore is not None)) + 1
        numbers.setdefault(combination, after)
    return numbers


def read_combined(
    case: CaseFiles, task: Task, orientation: str, image: Volume | None = None
) -> tuple[UInt8[np.ndarray, "plane z y x"], list[str]]:
    """Read the masks of a case; where a voxel is ignored, no other label lies in it.

    Args:
        case: Its files.
        task: Its labels.
        orientation: As for :func:`ingradient_pl.images.formats.read_volume`.
        image: The case's image, on whose grid they must lie.

    Returns:
        Packed masks, and remarks on the files.

    Raises:
        ImageError: If a file cannot be read or lies elsewhere.
    """
    read = case.read_masks(task.outputs + (task.ignore is not None), orientation, image)
    if task.ignore is not None:
        clear_under(read.voxels, task.outputs + 1)
    return read.voxels, list(read.remarks)


def _find(case: CaseFiles, task: Task) -> _Found:
    try:
        return _Found(frozenset(find_combinations(read_combined(case, task, "stored")[0])))
    except Exception:  # noqa: BLE001 - it is a fault when the case is prepared, which says why
        return _Found(None)


def _check_all_occur(source: Source, found: set[Combination], unreadable: int) -> None:
    """Refuse labels that lie in no case, where all cases could be read."""
    held = {number for combination in found for number in combination}
    missing = [name for number, name in enumerate(source.task.foreground, 1) if number not in held]
    if missing and found and not unreadable:
        raise SourceError(
            f"{source.path}: the label '{missing[0]}' lies in no voxel of any case. Are its files (or its "
            "channel) those of another label? Correct them, or take it out of 'labels'."
        )
