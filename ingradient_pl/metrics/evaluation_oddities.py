"""What makes a score mean less than it seems: empty, mirrored or copied predictions."""

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import permutations, product
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Integer

from ingradient_pl.geometry import AXES
from ingradient_pl.images.packed_masks import BITS, is_packed, take_mask
from ingradient_pl.metrics.agreement import Label
from ingradient_pl.phrases import name_some

Voxels = Integer[np.ndarray, "*masks z y x"] | Bool[np.ndarray, "z y x"]

POOR, RISE, GOOD = 0.5, 0.4, 0.7
"""Dice of the foreground below which a prediction may lie another way round; what it wins and reaches so."""


def describe_prediction(path: Path, found: Voxels, truth: Voxels, ignore: int | None) -> Iterator[str]:
    """Say what is odd about a prediction beside its reference.

    Args:
        path: Of the prediction.
        found: Integers of the prediction.
        truth: Those of the reference on the same voxels.
        ignore: The integer that marks what nobody annotated; None where there is none.
    """
    if ignore is not None:
        left = int(np.count_nonzero((found == ignore) & (truth != ignore)))
        if left:
            yield (
                f"{path}: {left} voxels hold {ignore}, which marks in references what nobody annotated; in a "
                "prediction they count as background."
            )
    yield from _describe_turn(
        path, found, np.where(truth == ignore, 0, truth) if ignore is not None else truth
    )


def describe_masks(path: Path, found: Voxels, truth: Voxels, ignore: int) -> Iterator[str]:
    """Say what is odd about a prediction whose labels may overlap.

    Args:
        path: Of the prediction.
        found: Packed masks of the prediction.
        truth: Those of the reference on the same voxels.
        ignore: Number of the mask that marks what nobody annotated; it may be empty.
    """
    ignored = take_mask(truth, ignore)
    yield from _describe_turn(path, found, truth * ~ignored if ignored.any() else truth)


def _describe_turn(path: Path, found: Voxels, truth: Voxels) -> Iterator[str]:
    turned = find_turn(found, truth)
    if turned:
        yield f"{path}: {turned}. Is the header of one of them wrong, or were its axes turned without it?"


def find_turn(found: Voxels, truth: Voxels) -> str:
    """Say how a poor prediction must be mirrored or transposed to agree far better; empty where it need not.

    Args:
        found: Integers of the prediction, or packed masks.
        truth: Those of the reference on the same voxels.
    """
    size = _count(found) + _count(truth)
    given = _agreement(found, truth, size)
    if not size or given >= POOR or not found.any() or not truth.any():
        return ""
    best, best_name = max(given + RISE, GOOD), ""
    for name, turned in _turns(found):
        if turned.shape == truth.shape and (reached := _agreement(turned, truth, size)) > best:
            best, best_name = reached, name
    if not best_name:
        return ""
    return f"its foreground has a Dice of {given:.2f}, and {best:.2f} {best_name}"


def _turns(found: Voxels) -> Iterator[tuple[str, Voxels]]:
    for flips in product((False, True), repeat=AXES):
        axes = [axis for axis, flip in enumerate(flips) if flip]
        if axes:
            cut: tuple[Any, ...] = (..., *(slice(None, None, -1 if flip else 1) for flip in flips))
            yield "mirrored along " + " and ".join("zyx"[axis] for axis in axes), found[cut]
    before = found.ndim - AXES
    for order in list(permutations(range(AXES)))[1:]:
        turned = found.transpose(*range(before), *(before + axis for axis in order))
        yield "with its axes in the order " + ", ".join("zyx"[axis] for axis in order), turned


def _agreement(found: Voxels, truth: Voxels, size: int) -> float:
    """Twice the foreground voxels of the same integer over all foreground voxels; of masks voxels of each."""
    same = found & truth if is_packed(found) else (found == truth) & (truth != 0)
    return 2 * _count(same) / size if size else math.nan


def _count(label: Voxels) -> int:
    """Count foreground voxels; of packed masks those of each label."""
    if not is_packed(label):
        return int(np.count_nonzero(label))
    return sum(int(np.count_nonzero(label & np.uint8(1 << bit))) for bit in range(BITS))


Scored = tuple[str, Path, Path, Mapping[Label, Mapping[str, float]]]
"""Name, prediction, reference and scores of a case."""


def describe_empty(cases: Sequence[Scored]) -> list[str]:
    """Say which predictions hold nothing where their references do.

    Args:
        cases: All that were scored.
    """
    empty = [name for name, _, _, scores in cases if not _total(scores, "n_pred") and _total(scores, "n_ref")]
    if not empty:
        return []
    return [
        f"{len(empty)} of {len(cases)} predictions hold no label at all, where their references do: "
        f"{name_some(empty)}."
    ]


def describe_copied(cases: Sequence[Scored]) -> list[str]:
    """Say that predictions are their references over again: no model is as good as that.

    Args:
        cases: All that were scored.
    """
    same = [name for name, one, other, _ in cases if one.resolve() == other.resolve()]
    perfect = all(not _total(scores, "FP") and not _total(scores, "FN") for *_, scores in cases)
    if same:
        return [f"{len(same)} of {len(cases)} predictions are the files that they were held against."]
    if perfect and len(cases) > 1 and any(_total(scores, "n_ref") for *_, scores in cases):
        return ["Every prediction equals its reference, voxel by voxel: are they copies of the labels?"]
    return []


def _total(scores: Mapping[Label, Mapping[str, float]], name: str) -> float:
    known = [numbers[name] for numbers in scores.values() if not math.isnan(numbers.get(name, math.nan))]
    return math.fsum(known)
