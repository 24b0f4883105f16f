"""``source=DIR`` prepares a data set and ``store=DIR`` alone plans for it, before a run is composed."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from ingradient_pl.cli.overrides import find, is_list, quote, quote_paths, read_paths, without
from ingradient_pl.messages import UsageError, say

if TYPE_CHECKING:  # torch comes along
    from ingradient_pl.planning.plan import Plan

PLANNER = "data.planner"
"""``data.planner=NAME`` and ``data.planner.OPTION=VALUE``: what ``ingradient plan`` takes as ``--OPTION``."""
STORES = "stores"
"""Where stores are made, below the folder that the command is called in, if ``store=`` names none."""
REGIONS = "loss@module.loss"


def with_data(overrides: Sequence[str], folder: Path, *, swept: bool = False) -> list[str]:
    """Prepare what ``source=`` names and plan where no plan is named; give the overrides of a run.

    Args:
        overrides: As typed, paths quoted.
        folder: For the plan until the run's own folder is known.
        swept: Whether commas divide the values of a sweep.

    Raises:
        UsageError: If the planner is told something it does not know, or a plan is named beside it.
    """
    prepared = with_store(overrides)
    options, rest = read_planner(prepared)
    stores = read_paths(find(rest, "store") or "", swept=swept)
    if options and find(rest, "plan") is not None:
        raise UsageError(f"{PLANNER} makes a plan, and plan= names one: give one of the two.")
    together = len(stores) == 1 or is_list(find(rest, "store") or "")
    here = together and all((Path(store) / "dataset.json").is_file() for store in stores)
    if not here or find(rest, "plan") is not None or find(rest, "resume") not in (None, "null", "auto"):
        return rest
    return _with_plan(rest, stores, options, folder / "planned" / "plan.yaml")


def with_store(overrides: Sequence[str]) -> list[str]:
    """Prepare the data set that ``source`` names; cases that are in the store already are left alone.

    Args:
        overrides: As typed, paths quoted.

    Returns:
        The overrides, with ``store`` in the place of ``source``.
    """
    told = find(overrides, "source")
    if told is None:
        return list(overrides)
    from ingradient_pl.commands.prepare import prepare  # torch comes along

    source = Path(read_paths(told)[0])
    named = find(overrides, "store")
    store = Path(read_paths(named)[0]) if named else Path(STORES) / source.absolute().name.split(".")[0]
    prepare(source, store, progress=False)
    return quote_paths([*without(overrides, "source", "store"), f"store={store}"])


def read_planner(overrides: Sequence[str]) -> tuple[dict[str, Any], list[str]]:
    """Take what the planner is told out of the overrides.

    Args:
        overrides: As typed.

    Returns:
        The planner's options by name, and all other overrides.
    """
    options, rest = dict[str, Any](), list[str]()
    for override in overrides:
        key, given, value = override.lstrip("+").partition("=")
        if given and (key == PLANNER or key.startswith(f"{PLANNER}.")):
            name = "planner" if key == PLANNER else key[len(PLANNER) + 1 :]
            options[name] = yaml.safe_load(value)
        else:
            rest.append(override)
    return options, rest


def _with_plan(overrides: list[str], stores: list[str], options: dict[str, Any], file: Path) -> list[str]:
    """Plan for a store, say so in three lines, and name the plan."""
    from ingradient_pl.commands.plan import plan
    from ingradient_pl.planning.plan_yaml import write_plan

    try:
        made = plan(list(stores), **options)
    except TypeError as error:
        raise UsageError(f"{PLANNER}: {error}. Its options are those of `ingradient plan --help`.") from error
    write_plan(file, made)
    spacing = ", ".join("as it comes" if edge is None else f"{edge:g}" for edge in made.spacing)
    say(f"No plan was named: planned for {', '.join(stores)} (others: {PLANNER}.OPTION=VALUE, or plan=FILE).")
    say(f"  spacing {spacing} mm (z, y, x); patches of {'x'.join(map(str, made.patch))} voxels")
    say(f"  batches of {made.batch_size}; {len(made.widths)} stages. The plan lies in the run's folder.")
    return [*with_loss(overrides, made), f"plan={quote(str(file))}"]


def with_loss(overrides: Sequence[str], plan: "Plan") -> list[str]:
    """Have a plan with regions trained by the loss for regions, where none was chosen.

    Args:
        overrides: As typed.
        plan: What is trained.
    """
    fits = plan.regions is None or find(overrides, REGIONS) is not None
    return [*overrides] if fits else [*overrides, f"{REGIONS}=regions"]
