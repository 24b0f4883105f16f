"""The plans of a cascade's two stages: given, by nnU-Net's rule, or with a first stage of larger voxels."""

import dataclasses
import shlex
from collections.abc import Mapping
from typing import Any

from ingradient_pl.cli.crossval_plans import LOWRES, plan_configuration
from ingradient_pl.cli.data_first import write_store
from ingradient_pl.commands.inputs import AnyPlan, open_plan
from ingradient_pl.commands.plan import NoConfigurationError
from ingradient_pl.messages import UsageError
from ingradient_pl.planning.plan import Plan
from ingradient_pl.planning.settings import FULL
from ingradient_pl.store.store_union import AnyCases

SECOND = "3d_cascade_fullres"
ANY_SPACING = ("preset", "memory_gb", "network", "multiple")
"""Options of the planner that hold whatever the spacing."""


def choose_stages(
    store: AnyCases,
    first: AnyPlan | None,
    second: AnyPlan | None,
    planner: Mapping[str, Any],
    coarser: float | None,
) -> tuple[Plan, Plan]:
    """Give the plans of both stages; the second names the first as what it sees.

    Args:
        store: The cases.
        first: Plan of the user's own.
        second: The same of the second stage; both or none.
        planner: Options of the planner, as of ``ingradient plan``.
        coarser: How many times as large the voxels of the first stage are; None follows nnU-Net's rule.

    Raises:
        UsageError: If one plan alone is given, or plans and what would make them, or a first stage that sees
            another.
        ValueError: If nnU-Net's rule plans no cascade for the data set.
    """
    if (first is None) != (second is None) or (first is not None and (planner or coarser is not None)):
        raise UsageError(
            "first_plan= and second_plan= name the plans of both stages; coarser= and data.planner make "
            f"them. Give two plans, or none; got first_plan={first}, second_plan={second}, coarser={coarser} "
            f"and data.planner={dict(planner or {})}."
        )
    if first is not None and second is not None:
        one, two = open_plan(first), open_plan(second)
    elif coarser is None:
        one, two = _by_rule(store, planner)
    else:
        one, two = _coarsen(store, planner, coarser)
    if one.previous_stage is not None:
        raise UsageError(
            f"The first stage of a cascade sees the image alone; its plan sees '{one.previous_stage}'."
        )
    name = str(one.notes.get("configuration", LOWRES))
    one = dataclasses.replace(one, notes={**one.notes, "configuration": name})
    return one, dataclasses.replace(two, previous_stage=name)


def _by_rule(store: AnyCases, planner: Mapping[str, Any]) -> tuple[Plan, Plan]:
    try:
        return plan_configuration(store, LOWRES, planner), plan_configuration(store, SECOND, planner)
    except NoConfigurationError as error:
        raise ValueError(
            f"By nnU-Net's rule no cascade is needed: {error} Train 3d_fullres (ingradient train "
            f"{shlex.quote(write_store(store))}), or force one with a first stage of larger voxels: "
            "coarser=2"
        ) from error


def _coarsen(store: AnyCases, planner: Mapping[str, Any], coarser: float) -> tuple[Plan, Plan]:
    """Plan the full resolution, and a first stage with voxels ``coarser`` times as large."""
    if not coarser > 1:
        raise UsageError(f"coarser= is how many times as large voxels are, more than 1; got {coarser:g}.")
    full = plan_configuration(store, FULL, planner)
    spacing = [0.0, 0.0, 0.0]
    for axis, edge in zip(full.transpose, full.spacing, strict=True):
        assert edge is not None  # of a plan in three dimensions
        spacing[axis] = edge * coarser
    kept = {name: value for name, value in planner.items() if name in ANY_SPACING}
    low = plan_configuration(store, FULL, {**kept, "spacing": spacing})
    low = dataclasses.replace(low, batch_dice=False, notes={**low.notes, "configuration": LOWRES})
    return low, dataclasses.replace(full, notes={**full.notes, "configuration": SECOND})
