"""``source=DIR`` prepares a data set and ``store=DIR`` alone plans for it, before a run is composed."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from os import PathLike, fspath
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from ingradient_pl.cli.overrides import find, is_list, quote, quote_paths, read_paths, without
from ingradient_pl.cli.signatures import read_signature
from ingradient_pl.datasets.split_columns import is_test
from ingradient_pl.datasets.split_records import Divisible
from ingradient_pl.messages import UsageError, nearest, say

if TYPE_CHECKING:
    from ingradient_pl.planning.plan import Plan
    from ingradient_pl.store.store_union import AnyCases

Check = Callable[[Mapping[str, Divisible]], object]
"""Refuses cases by their names, patients and labels."""
PLANNER = "data.planner"
"""``data.planner=NAME`` and ``data.planner.OPTION=VALUE``: what ``ingradient plan`` takes as ``--OPTION``."""
STORES = "stores"
"""Where stores are made, below the folder that the command is called in, if ``store=`` names none."""
REGIONS = "loss@module.loss"
LENGTHS = ("epochs", "experiment", "debug", "trainer.max_epochs", "trainer.max_steps", "trainer.max_time")
"""Keys that say how long a run is, or choose configs that do."""
PROPOSED = (None, "fast", "finetune")
"""Recipes whose length is proposed; None is where nobody names one, which is the fast one."""
BATCHES = 250
"""Of an epoch, as the config has it."""
TRAINED = 0.8
"""Share of the labelled cases that train in a fold of five."""


def with_data(overrides: Sequence[str], folder: Path, *, swept: bool = False) -> list[str]:
    """Prepare what ``source=`` names, plan where no plan is named, propose a length where none is told.

    Args:
        overrides: As typed, paths quoted.
        folder: For the plan until the run's own folder is known.
        swept: Whether commas divide the values of a sweep.

    Raises:
        UsageError: If the planner is told something it does not know, a plan is named beside it, or a key has
            a value that training would refuse.
        ValueError: If the cases cannot be divided as the line asks; nothing was prepared.
    """
    options, told = read_planner(overrides)
    if options and find(told, "plan") is not None:
        raise UsageError(f"{PLANNER} makes a plan, and plan= names one: give one of the two.")
    new = find(told, "resume") in (None, "null", "auto")

    def check(cases: Mapping[str, Divisible]) -> None:
        if new:
            from ingradient_pl.cli.line_checks import check_line  # with torch, which no help needs

            check_line(told, cases, swept=swept)

    rest = with_store(told, check)
    stores = read_paths(find(rest, "store") or "", swept=swept)
    together = len(stores) == 1 or is_list(find(rest, "store") or "")
    here = together and all((Path(store) / "dataset.json").is_file() for store in stores)
    if not here or not new:
        return rest
    if find(rest, "plan") is None:
        from ingradient_pl.commands.inputs import open_cases  # as above

        check(open_cases([*stores]).cases)
        rest = _with_plan(rest, stores, options, folder / "planned" / "plan.yaml")
    return with_length(rest, stores)


def with_store(overrides: Sequence[str], check: Check) -> list[str]:
    """Prepare the data set that ``source`` names; cases that are in the store already are left alone.

    Args:
        overrides: As typed, paths quoted.
        check: Called with all cases that the store will have, before one is prepared; it may refuse them.

    Returns:
        The overrides, with ``store`` in the place of ``source``.
    """
    told = find(overrides, "source")
    if told is None:
        return list(overrides)
    from ingradient_pl.commands.prepare import prepare_source  # with NumPy, which no help needs
    from ingradient_pl.datasets.sources import read_source

    source = Path(read_paths(told)[0])
    named = find(overrides, "store")
    store = Path(read_paths(named)[0]) if named else Path(STORES) / source.absolute().name.split(".")[0]
    found = read_source(source)
    check({**_held_cases(store), **{case.name: case for case in found.cases}})
    prepare_source(found, store)
    return quote_paths([*without(overrides, "source", "store"), f"store={store}"])


def _held_cases(store: Path) -> Mapping[str, Divisible]:
    """Give the cases that a store has from before; what cannot be read is left to who prepares."""
    from ingradient_pl.store.case_store import CaseStore

    try:
        return CaseStore(store).cases
    except (OSError, ValueError):
        return {}


def read_planner(overrides: Sequence[str]) -> tuple[dict[str, Any], list[str]]:
    """Take what the planner is told out of the overrides.

    Args:
        overrides: As typed.

    Returns:
        The planner's options by name, and all other overrides.

    Raises:
        UsageError: If the planner has no such option.
    """
    options, rest = dict[str, Any](), list[str]()
    for override in overrides:
        key, given, value = override.lstrip("+").partition("=")
        if given and (key == PLANNER or key.startswith(f"{PLANNER}.")):
            name = "planner" if key == PLANNER else key[len(PLANNER) + 1 :]
            options[name] = yaml.safe_load(value)
        else:
            rest.append(override)
    known = planner_options() if options else ()
    for name in options:
        if name not in known:
            raise UsageError(
                f"{PLANNER}.{name} is not an option of the planner.{nearest(name, known)} They are those of "
                "`ingradient plan --help`."
            )
    return options, rest


def planner_options() -> tuple[str, ...]:
    """Name what the planner can be told: options of ``ingradient plan`` but for its files."""
    told = inspect.signature(read_signature("ingradient_pl.commands.plan", "plan")).parameters
    return tuple(name for name in told if name not in ("store", "output"))


def _with_plan(overrides: list[str], stores: list[str], options: dict[str, Any], file: Path) -> list[str]:
    """Plan for a store, say so in three lines, and name the plan."""
    from ingradient_pl.commands.plan import plan
    from ingradient_pl.planning.plan_yaml import write_plan
    from ingradient_pl.planning.settings import describe_plan

    made = plan(list(stores), **options)
    write_plan(file, made)
    say(f"No plan was named: planned for {', '.join(stores)} (others: {PLANNER}.OPTION=VALUE, or plan=FILE).")
    for line in describe_plan(made):
        say(line)
    if own := [entry for entry in overrides if entry.lstrip("+").startswith("plan.")]:
        say(f"  Instead of these, as you say: {' '.join(own)}")
    return [*with_loss(overrides, made), f"plan={quote(str(file))}"]


def open_data(source: object, store: object, what: str, check: Check) -> "AnyCases":
    """Open the cases of a command: one store, several as one, or one that is prepared first.

    Args:
        source: Data set to prepare; None for none.
        store: Folder of the store, the store itself, or several folders; with ``source``, where it goes.
        what: The command in words, for messages.
        check: Called with all cases, before one is prepared; it may refuse them.

    Raises:
        UsageError: If nothing is named, or a data set is to be prepared into several stores.
    """
    from ingradient_pl.commands.inputs import open_cases  # as above

    if source is None and store is None:
        raise UsageError(f"{what} needs cases: store=DIR, or source=DIR to prepare them first.")
    if source is None:
        cases = open_cases(store)  # type: ignore[arg-type] # as typed or given
        check(cases.cases)
        return cases
    if isinstance(store, (list, tuple)):
        raise UsageError(f"source= prepares one data set into one store; got {len(store)} of them: {store}.")
    told = {"source": source, "store": store}
    line = [f"{key}={fspath(path)}" for key, path in told.items() if isinstance(path, (str, PathLike))]
    return open_cases(read_paths(str(find(with_store(quote_paths(line), check), "store")))[0])


def write_store(cases: "AnyCases") -> str:
    """Name the folders of cases as behind ``ingradient-train``: ``store=DIR``, or ``store=[DIR,DIR]``.

    Args:
        cases: One store or several.
    """
    from ingradient_pl.store.store_union import store_paths

    paths = [str(path) for path in store_paths(cases)]
    return f"store={paths[0]}" if len(paths) == 1 else f"store=[{','.join(map(quote, paths))}]"


def name_data(cases: "AnyCases") -> str:
    """Give a name for a folder after the store that it is about, or the stores.

    Args:
        cases: One store or several.
    """
    from ingradient_pl.store.store_union import StoreUnion

    return "+".join(cases.stores) if isinstance(cases, StoreUnion) else cases.path.absolute().name


def with_loss(overrides: Sequence[str], plan: "Plan") -> list[str]:
    """Have a plan with regions trained by the loss for regions, where none was chosen.

    Args:
        overrides: As typed.
        plan: What is trained.
    """
    fits = plan.regions is None or find(overrides, REGIONS) is not None
    return [*overrides] if fits else [*overrides, f"{REGIONS}=regions"]


def with_length(overrides: Sequence[str], stores: Sequence[str]) -> list[str]:
    """Tell a run its number of epochs where nobody did, by the number of cases, and say so.

    The proposal is the same for all folds: it is for four fifths of the labelled cases.

    Args:
        overrides: As typed.
        stores: Folders of the cases.
    """
    told = any(find(overrides, key) not in (None, "null") for key in LENGTHS)
    batches = find(overrides, "batches_per_epoch") or str(BATCHES)
    if told or find(overrides, "recipe") not in PROPOSED or not batches.isdigit() or not int(batches):
        return [*overrides]
    from ingradient_pl.planning.length import propose_steps
    from ingradient_pl.store.case_store import CaseStore

    found = [case for store in stores for case in CaseStore(Path(store)).cases.values()]
    labelled = [case for case in found if case.labelled and not is_test(case.split)]
    cases = round(TRAINED * len(labelled))
    epochs = -(-propose_steps(cases) // int(batches))
    say(
        f"No length was told: {epochs} epochs of {batches} steps, proposed for {cases} training cases. "
        "Another: epochs=N; nnU-Net's: recipe=nnunet."
    )
    return [*overrides, f"epochs={epochs}"]
