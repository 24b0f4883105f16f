"""Which configurations a cross-validation compares, and the plan of each."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ingradient_pl.commands.inputs import AnyPlan, open_plan
from ingradient_pl.commands.plan import NoConfigurationError
from ingradient_pl.commands.plan import plan as make_plan
from ingradient_pl.lightning.data_agreement import check_agreement
from ingradient_pl.messages import UsageError
from ingradient_pl.planning.plan import Plan
from ingradient_pl.planning.plan_yaml import read_plan, write_plan
from ingradient_pl.planning.presets import PRESETS
from ingradient_pl.store.case_store import CaseStore

AUTO = ("2d", "3d_fullres", "3d_lowres")
"""nnU-Net's configurations, of which a data set has one to three."""
PLAN = "plan.yaml"


def choose_plans(
    store: CaseStore,
    configurations: Sequence[str] | None,
    plans: AnyPlan | Sequence[AnyPlan] | None,
    planner: Mapping[str, Any],
) -> dict[str, Plan]:
    """Give the plan of each configuration, by the name of its folder.

    Args:
        store: The cases.
        configurations: Names, ``NAME`` or ``NAME:PRESET``; None where plans are given, or all are wanted.
        plans: Plans of the user's own instead.
        planner: Options of the planner.

    Raises:
        UsageError: If there is no such configuration, or two ways are mixed.
        ValueError: If a plan does not fit the store.
    """
    if plans is not None:
        if configurations is not None or planner:
            raise UsageError(
                "plan= names plans, configurations= and data.planner make them: give one of them; got "
                f"plan={plans}, configurations={configurations} and data.planner={dict(planner or {})}."
            )
        chosen = _named_plans([plans] if isinstance(plans, (str, Path, Plan)) else list(plans))
    elif configurations is not None:
        names = [configurations] if isinstance(configurations, str) else list(configurations)
        chosen = {name.replace(":", "_"): _plan(store, name, planner) for name in names}
        if len(chosen) < len(names) or not names:
            raise UsageError(f"configurations names each one once; got {names}.")
    else:
        chosen = _all_plans(store, planner)
    for made in chosen.values():
        check_agreement(made, store)
    return chosen


def _named_plans(plans: Sequence[AnyPlan]) -> dict[str, Plan]:
    chosen = dict[str, Plan]()
    for number, one in enumerate(plans):
        name = f"plan_{number}" if isinstance(one, Plan) else Path(one).stem.replace("+", "_")
        if name in chosen:
            raise UsageError(f"Two plans have the name {name}: rename the file of one.")
        chosen[name] = open_plan(one)
    return chosen


def _plan(store: CaseStore, name: str, planner: Mapping[str, Any]) -> Plan:
    """Plan a configuration, ``NAME`` or ``NAME:PRESET``."""
    configuration, given, preset = name.partition(":")
    if given and preset not in PRESETS:
        raise UsageError(f"{name}: there is no preset '{preset}'; there are {', '.join(PRESETS)}.")
    if configuration not in AUTO:
        raise UsageError(f"There is no configuration '{configuration}'; there are {', '.join(AUTO)}.")
    options = {**planner, "configuration": configuration, **({"preset": preset} if given else {})}
    try:
        return make_plan(store, **options)
    except TypeError as error:
        raise UsageError(
            f"data.planner: {error}. Its options are those of `ingradient plan --help`."
        ) from error


def _all_plans(store: CaseStore, planner: Mapping[str, Any]) -> dict[str, Plan]:
    """Give the plan of every configuration that the data set has."""
    chosen, reason = dict[str, Plan](), None
    for name in AUTO:
        try:
            chosen[name] = _plan(store, name, planner)
        except NoConfigurationError as error:
            reason = error
    if not chosen:
        raise ValueError(f"Nothing can be planned for {store.path}: {reason}") from reason
    return chosen


def keep_plans(folder: Path, plans: Mapping[str, Plan]) -> None:
    """Write the plan of each configuration down, or see that it is the one that was written.

    Args:
        folder: Of the cross-validation.
        plans: By name.

    Raises:
        FileExistsError: If the folder holds runs of another plan.
    """
    for name, made in plans.items():
        file = folder / name / PLAN
        if file.is_file() and read_plan(file) != made:
            raise FileExistsError(
                f"{file} is another plan than the one that is asked for now. Go on with the old one "
                f"(plan={file}), or choose another folder: output=DIR"
            )
        file.parent.mkdir(parents=True, exist_ok=True)
        write_plan(file, made)
