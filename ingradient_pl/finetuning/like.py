"""A plan for one data set that sees cases as a trained network did, key by key."""

import dataclasses
import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

from ingradient_pl.finetuning.adapt import pair_names
from ingradient_pl.finetuning.source_record import TOPOLOGY, Source, SourcePlan
from ingradient_pl.geometry import AXES
from ingradient_pl.messages import UsageError
from ingradient_pl.phrases import join_times
from ingradient_pl.planning.plan import Plan
from ingradient_pl.transforms.normalise import Normaliser

KINDS = {letter: axis for axis, letters in enumerate(("LR", "AP", "IS")) for letter in letters}
"""Which axis of the patient a letter of an orientation lies along."""
STORED = "stored"


class PlanLike(NamedTuple):
    """A plan that follows a source.

    Args:
        plan: The plan; its batch size is still that of the one it was made of.
        remarks: What was taken, and what could not be, a sentence each.
    """

    plan: Plan
    remarks: tuple[str, ...]


def plan_like(plan: Plan, source: Source, channels: Sequence[str], take: Collection[str]) -> PlanLike:
    """Take over what a source decided.

    Args:
        plan: As the data set alone would have it.
        source: What training will start from.
        channels: Name of each channel of the data set.
        take: What is the source's: ``spacing``, ``patch``, ``topology``, ``normalisation``.

    Raises:
        UsageError: If the source tells no plan that can be, or saw cases along other axes.
    """
    theirs = source.plan
    if theirs is None:
        raise UsageError(
            f"{source.origin} holds weights alone and tells neither spacing nor patch: --like wants a "
            "checkpoint of ours, a model folder of nnU-Net, or an encoder with its adaptation plan."
        )
    changes: dict[str, Any] = {}
    remarks = [f"Like {source.origin}: {', '.join(take)}."]
    for name, found in (
        ("topology", _topology(theirs)),
        ("patch", ({"patch": theirs.patch}, [])),
        ("spacing", _spacing(plan, theirs, source.origin)),
        ("normalisation", _normalisation(plan, source, channels)),
    ):
        if name in take:
            changes |= found[0]
            remarks += found[1]
    if theirs.transpose != plan.transpose and "spacing" not in take and {"patch", "topology"} & set(take):
        remarks.append(
            f"Axes of {source.origin}'s network are {theirs.transpose} of a case's, here {plan.transpose}: "
            "its patch and kernels lie along other axes. Take its spacing as well, or neither."
        )
    patch, told = _halvable(changes.get("patch", plan.patch), changes.get("strides", plan.strides))
    notes = {**plan.notes, "like": source.origin, "taken": list(take)}
    try:
        made = dataclasses.replace(plan, **{**changes, "patch": patch, "notes": notes})
    except (ValueError, TypeError) as error:
        raise UsageError(f"{source.origin} tells what makes no plan: {error}") from error
    return PlanLike(made, (*remarks, *told))


Found = tuple[Mapping[str, Any], list[str]]
"""Entries of a plan, and what is to be said of them."""


def _topology(theirs: SourcePlan) -> Found:
    return {name: theirs.topology[name] for name in TOPOLOGY}, []


def _spacing(plan: Plan, theirs: SourcePlan, origin: str) -> Found:
    """Take the size of voxels, along the axes that the source's network had."""
    if theirs.spacing is None:
        return {}, [f"{origin} saw cases at the spacing they came with: it is planned for this data set."]
    told = []
    if theirs.orientation != plan.orientation:
        if STORED in (theirs.orientation, plan.orientation):
            told = [
                f"{origin} saw axes in the orientation {theirs.orientation}, here {plan.orientation}: "
                "look whether its spacing belongs to these axes."
            ]
        elif [KINDS[one] for one in theirs.orientation] != [KINDS[one] for one in plan.orientation]:
            raise UsageError(
                f"{origin} saw cases turned to {theirs.orientation}, this store holds {plan.orientation}: "
                "its spacing is of other axes. Prepare with --orientation "
                f"{theirs.orientation}, or leave spacing out of --take."
            )
    return {"spacing": theirs.spacing, "transpose": theirs.transpose}, told


def _normalisation(plan: Plan, source: Source, channels: Sequence[str]) -> Found:
    """Take each channel's normaliser by its name; of a source without names in order, or the only one's."""
    assert source.plan is not None  # looked at before
    theirs: Sequence[Normaliser | None] = source.plan.normalisation
    named = any(source.inputs)
    places = pair_names(channels, source.inputs[: len(theirs)]) if named else _in_order(channels, theirs)
    found = [None if place is None else theirs[place] for place in places]
    own = [name for name, one in zip(channels, found, strict=True) if one is None]
    made = tuple(one or planned for one, planned in zip(found, plan.normalisation, strict=True))
    told = f"Channel {', '.join(own)}: {source.origin} does not tell its normalisation, so it is planned."
    return {"normalisation": made}, [told] if own else []


def _in_order(channels: Sequence[str], theirs: Sequence[object]) -> list[int | None]:
    if len(theirs) == 1:
        return [0] * len(channels)
    return [place if len(theirs) == len(channels) else None for place in range(len(channels))]


def _halvable(patch: Sequence[int], strides: Sequence[Sequence[int]]) -> tuple[tuple[int, ...], list[str]]:
    """Lengthen a patch to what the strides can halve."""
    reach = [math.prod(stride[axis] for stride in strides) for axis in range(AXES)]
    longer = tuple(-(-size // factor) * factor for size, factor in zip(patch, reach, strict=True))
    if longer == tuple(patch):
        return longer, []
    return longer, [
        f"The patch {join_times(patch)} is lengthened to {join_times(longer)}, as the strides ask."
    ]
