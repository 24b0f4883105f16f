"""Which configurations a cross-validation compares, the plan of each, and which sees what another found."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ingradient_pl.cli.plan_overrides import option_name
from ingradient_pl.commands.inputs import AnyPlan, open_plan
from ingradient_pl.commands.plan import NoConfigurationError
from ingradient_pl.commands.plan import plan as make_plan
from ingradient_pl.lightning.data_agreement import check_agreement
from ingradient_pl.messages import UsageError
from ingradient_pl.planning.plan import Plan
from ingradient_pl.planning.plan_yaml import read_plan, write_plan
from ingradient_pl.planning.presets import PRESETS
from ingradient_pl.short_repr import short_repr
from ingradient_pl.store.store_union import AnyCases, store_paths

LOWRES = "3d_lowres"
AUTO = ("2d", "3d_fullres", LOWRES, "3d_cascade_fullres")
"""nnU-Net's configurations, of which a data set has one, two or all."""
PLAN = "plan.yaml"


class Configurations(NamedTuple):
    """What a cross-validation trains.

    Args:
        plans: Of each configuration, by the name of its folder.
        compared: Names of those that are scored and may be chosen; the others serve a cascade.
        first_stages: Of each cascade, by its name, the name of its first stage.
    """

    plans: dict[str, Plan]
    compared: tuple[str, ...]
    first_stages: dict[str, str]

    def __repr__(self) -> str:
        return short_repr(self)


def choose_plans(
    store: AnyCases,
    configurations: Sequence[str] | None,
    plans: AnyPlan | Sequence[AnyPlan] | None,
    planner: Mapping[str, Any],
) -> Configurations:
    """Give the plan of each configuration, first stages of cascades included.

    Args:
        store: The cases.
        configurations: Names, ``NAME`` or ``NAME:PRESET``; None where plans are given, or all are wanted.
        plans: Plans of the user's own instead.
        planner: Options of the planner.

    Raises:
        UsageError: If there is no such configuration, two ways are mixed, or a cascade's first stage is
            missing.
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
        chosen = _plans_by_name(store, names, planner)
    else:
        plans_of_all = _all_plans(store, planner)
        chosen = Configurations(
            plans_of_all, tuple(plans_of_all), dict.fromkeys(_cascades(plans_of_all), LOWRES)
        )
    for made in chosen.plans.values():
        check_agreement(made, store)
    return chosen


def _plans_by_name(store: AnyCases, names: Sequence[str], planner: Mapping[str, Any]) -> Configurations:
    """Plan the configurations that are named, and the first stage of each cascade among them."""
    if len({_folder(name) for name in names}) < len(names) or not names:
        raise UsageError(f"configurations names each one once; got {names}.")
    planned = {name: plan_configuration(store, name, planner) for name in names}
    first = {name: LOWRES + "".join(name.partition(":")[1:]) for name in _cascades(planned)}  # its preset
    for name in set(first.values()) - set(names):
        planned[name] = plan_configuration(store, name, planner)
    return Configurations(
        {_folder(name): made for name, made in planned.items()},
        tuple(map(_folder, names)),
        {_folder(name): _folder(low) for name, low in first.items()},
    )


def _folder(name: str) -> str:
    """Name the folder of a configuration."""
    return name.replace(":", "_")


def _cascades(plans: Mapping[str, Plan]) -> dict[str, Plan]:
    return {name: made for name, made in plans.items() if made.previous_stage is not None}


def _find_first(name: str, cascade: Plan, plans: Mapping[str, Plan]) -> str:
    """Find the plan whose segmentation a cascade sees: by its note, by its file, or as the only one."""
    wanted = cascade.previous_stage
    alone = {one: made for one, made in plans.items() if made.previous_stage is None}
    noted = [one for one, made in alone.items() if made.notes.get("configuration", one) == wanted]
    unnoted = [one for one, made in alone.items() if "configuration" not in made.notes]
    if len(noted) == 1:
        return noted[0]
    if not noted and len(alone) == len(unnoted) == 1:
        return unnoted[0]
    raise UsageError(
        f"The plan {name} sees the segmentation of '{wanted}', and of the plans given {len(noted) or 'none'} "
        "is of that configuration (as its notes say, else its file's name). Name the plan of its first stage "
        "as well, once."
    )


def _named_plans(plans: Sequence[AnyPlan]) -> Configurations:
    """Open plans of the user's own; among them is the first stage of each cascade."""
    chosen = dict[str, Plan]()
    for number, one in enumerate(plans):
        name = f"plan_{number}" if isinstance(one, Plan) else option_name(Path(one).stem)
        if name in chosen:
            raise UsageError(f"Two plans have the name {name}: rename the file of one.")
        chosen[name] = open_plan(one)
    first = {name: _find_first(name, made, chosen) for name, made in _cascades(chosen).items()}
    return Configurations(chosen, tuple(chosen), first)


def plan_configuration(store: AnyCases, name: str, planner: Mapping[str, Any]) -> Plan:
    """Plan a configuration.

    Args:
        store: The cases.
        name: Of the configuration, ``NAME`` or ``NAME:PRESET``.
        planner: Options of the planner.

    Raises:
        UsageError: If there is no such configuration or preset, or the planner takes no such option.
        NoConfigurationError: If the data set has no such configuration.
    """
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


def _all_plans(store: AnyCases, planner: Mapping[str, Any]) -> dict[str, Plan]:
    """Give the plan of every configuration that the data set has."""
    chosen, reason = dict[str, Plan](), None
    for name in AUTO:
        try:
            chosen[name] = plan_configuration(store, name, planner)
        except NoConfigurationError as error:
            reason = error
    if not chosen:
        named = ", ".join(map(str, store_paths(store)))
        raise ValueError(f"Nothing can be planned for {named}: {reason}") from reason
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
