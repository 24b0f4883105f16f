"""Labels that may overlap as nnU-Net's regions: an integer for each combination, told by its last label."""

from dataclasses import replace
from typing import NamedTuple

from ingradient_pl.task import BACKGROUND, Task


class MaskRegions(NamedTuple):
    """A task in nnU-Net's words, and where its regions stand among the network's outputs.

    Args:
        task: Of regions; ``regions_class_order`` tells each combination that cases hold.
        order: For each region the output that it is, from 0.
        meaning: Names of the labels that lie where a file has an integer, by integer.
    """

    task: Task
    order: tuple[int, ...]
    meaning: dict[int, str]


def to_regions(task: Task) -> MaskRegions:
    """Make regions of labels that may overlap.

    nnU-Net writes regions one over another, so the last one that holds a voxel must tell which others do.

    Args:
        task: Whose labels may overlap, with the combinations that cases hold.

    Raises:
        ValueError: If no order of labels tells all combinations apart, or none has two labels.

    >>> nested = Task(("MR",), {"core": (2,), "whole": (1, 2)}, overlap={})
    >>> to_regions(nested).task.labels, to_regions(nested).task.regions_class_order
    ({'background': 0, 'whole': (1, 2), 'core': (2,)}, (1, 2))
    """
    names, combinations = list(task.foreground), list(task.combinations.values())
    if all(len(held) == 1 for held in combinations):
        raise ValueError(
            "its labels may overlap and never do in its training cases, and nnU-Net knows outputs that hold "
            "each by itself only where labels lie in each other"
        )
    numbers = {held: value for value, held in enumerate(combinations, 1)}
    order, left = list[int](), list(combinations)
    for _ in names:
        free = [number for number in range(len(names), 0, -1) if number not in order]
        last = next((number for number in free if sum(number in held for held in left) <= 1), None)
        if last is None:
            some = " and ".join(" + ".join(names[number - 1] for number in held) for held in left[-2:])
            raise ValueError(
                f"its labels overlap in ways that one integer a voxel cannot tell ({some}): nnU-Net writes "
                "labels one over another, so that they must lie within each other, as whole, core and "
                f"enhancing tumour do{_describe_cure(len(names), combinations)}"
            )
        order.insert(0, last)
        left = [held for held in left if last not in held]
    labels = {names[n - 1]: tuple(v for held, v in numbers.items() if n in held) for n in order}
    written = [_tell(number, order[:place], combinations) for place, number in enumerate(order)]
    regions = replace(
        task,
        labels={"background": BACKGROUND, **labels},
        regions_class_order=tuple(numbers[held] for held in written),
        overlap=None,
    )
    meaning = {v: " + ".join(names[number - 1] for number in held) for held, v in numbers.items()}
    return MaskRegions(regions, tuple(number - 1 for number in order), meaning)


def _describe_cure(count: int, combinations: list[tuple[int, ...]]) -> str:
    """Say what else it may be where every label is told to lie alone: early stores told so of all."""
    if not all((number,) in combinations for number in range(1, count + 1)):
        return ""
    return (
        ". If they do in every case, the store is of an early version, which took each label to lie alone "
        "somewhere: prepare the data set into a new folder (ingradient prepare), and train on that"
    )


def _tell(number: int, before: list[int], combinations: list[tuple[int, ...]]) -> tuple[int, ...]:
    """Give the combination that a label tells where those after it do not lie: the one it ends, or least."""
    holding = [held for held in combinations if number in held]
    ended = [held for held in holding if set(held) <= {number, *before}]
    return min(ended or holding, key=len)
