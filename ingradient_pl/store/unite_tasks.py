"""Tasks of several stores as one: labels united by name, integers numbered anew, channels by name."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Integer

from ingradient_pl.datasets.overlap import place_files
from ingradient_pl.store.metadata import StoreError
from ingradient_pl.task import BACKGROUND, Task

IGNORE = "ignore"


class UnitedTasks(NamedTuple):
    """One task for the cases of several stores.

    Args:
        task: With the labels of all.
        integers: By store: the task's integer for each of the store's.
        channels: By store: which of its channels is each of the task's.
    """

    task: Task
    integers: dict[str, Integer[np.ndarray, " _"]]
    channels: dict[str, tuple[int, ...]]


def unite_tasks(tasks: Mapping[str, Task]) -> UnitedTasks:
    """Make one task of several: a label of one name is one label.

    Args:
        tasks: By the name of their store, labels numbered as the stores' voxels are.

    Raises:
        StoreError: If channels differ, a name means a region here and a single integer there, or what
            regions are written as contradicts.
    """
    channels = _match_channels(tasks)
    _check_kinds(tasks)
    regions = any(task.has_regions for task in tasks.values())
    numbers, meanings = _number(tasks, regions=regions)
    names = list(dict.fromkeys(name for task in tasks.values() for name in task.foreground))
    labels: dict[str, int | tuple[int, ...]] = {"background": BACKGROUND}
    for name in names:
        held = tuple(number for number, meaning in enumerate(meanings, 1) if name in meaning)
        labels[name] = held if regions else held[0]
    if any(task.ignore is not None for task in tasks.values()):
        labels[IGNORE] = len(meanings) + 1
    integers = {store: _tabulate(task, numbers[store], len(meanings) + 1) for store, task in tasks.items()}
    first, overlap = next(iter(tasks.values())), _places(tasks, names)
    united = Task(
        channels=first.channels,
        labels=labels,
        regions_class_order=_order(tasks, integers, names) if regions and overlap is None else None,
        name=" + ".join(task.name or store for store, task in tasks.items()),
        file_ending=first.file_ending,
        overlap=overlap,
    )
    try:
        united.check_meaning()
    except ValueError as error:
        raise StoreError(f"The labels of {', '.join(tasks)} do not go together: {error}") from error
    return UnitedTasks(united, integers, channels)


def _places(tasks: Mapping[str, Task], names: Sequence[str]) -> Mapping[str, Mapping[str, object]] | None:
    """Say how answers hold labels where those of some store overlap: as that store has them if it has all."""
    overlapping = [task for task in tasks.values() if task.overlap is not None]
    if not overlapping:
        return None
    held = overlapping[0].overlap or {}
    return held if set(names) <= set(held) else place_files(list(names))


def _match_channels(tasks: Mapping[str, Task]) -> dict[str, tuple[int, ...]]:
    """Find each channel of the first store in all others, by name; capitals do not matter."""
    (first, wanted), *others = tasks.items()
    found = {first: tuple(range(len(wanted.channels)))}
    names = [name.lower() for name in wanted.channels]
    for store, task in others:
        held = [name.lower() for name in task.channels]
        if sorted(held) != sorted(names):
            raise StoreError(
                f"Stores that train together have the same channels by name: {first} has "
                f"{list(wanted.channels)}, {store} has {list(task.channels)}. Leave one out, or prepare it "
                "with channels of these names."
            )
        found[store] = tuple(range(len(names)) if held == names else map(held.index, names))
    return found


def _check_kinds(tasks: Mapping[str, Task]) -> None:
    """Refuse a name that is a region in one store and a single integer in another."""
    known: dict[str, tuple[str, bool]] = {}
    for store, task in tasks.items():
        if task.overlap is not None:  # a mask may be either
            continue
        for name, values in task.foreground.items():
            region = len(values) > 1
            other, there = known.setdefault(name, (store, region))
            if there != region:
                which = (store, other) if region else (other, store)
                raise StoreError(
                    f"The label '{name}' has two meanings: in {which[0]} it is a region of several integers, "
                    f"in {which[1]} one integer. Name one of them otherwise, and prepare that store again."
                )


def _number(
    tasks: Mapping[str, Task], *, regions: bool
) -> tuple[dict[str, dict[int, int]], list[frozenset[str]]]:
    """Number the foreground integers of all stores anew.

    An integer means the labels that hold it. Two stores share one where both say the same of the labels that
    the second knows; so those that know most come first.

    Returns:
        By store, the number of each of its integers; and the labels that hold each number, from 1.
    """
    numbers: dict[str, dict[int, int]] = {}
    meanings: list[frozenset[str]] = []
    for store, task in sorted(tasks.items(), key=lambda one: -len(one[1].foreground) if regions else 0):
        known = frozenset(task.foreground)
        own = numbers[store] = dict[int, int]()
        for value in task.foreground_values:
            names = frozenset(name for name, values in task.foreground.items() if value in values)
            shared = (n for n, held in enumerate(meanings, 1) if held & known == names)
            found = next((number for number in shared if number not in own.values()), None)
            if found is None:
                meanings.append(names)
            own[value] = len(meanings) if found is None else found
    return numbers, meanings


def _tabulate(task: Task, numbers: Mapping[int, int], ignore: int) -> Integer[np.ndarray, " _"]:
    table = np.zeros(max(task.values) + 1, np.min_scalar_type(ignore))
    for value, number in numbers.items():
        table[value] = number
    if task.ignore is not None:
        table[task.ignore] = ignore
    return table


def _order(
    tasks: Mapping[str, Task], integers: Mapping[str, Integer[np.ndarray, " _"]], names: Sequence[str]
) -> tuple[int, ...] | None:
    """Give the integer each label is written as: as the first store that knows it writes it."""
    written: dict[str, int] = {}
    for store, task in tasks.items():
        if task.has_regions and task.regions_class_order is None:
            return None
        order = task.regions_class_order or [values[0] for values in task.foreground.values()]
        for name, value in zip(task.foreground, order, strict=True):
            written.setdefault(name, int(integers[store][value]))
    return tuple(written[name] for name in names)
