"""All folds of several configurations: one sweep of those that see images alone, and then the cascades."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ingradient_pl.cli.cross_fit import CrossFit, choose_folds, collect, divide
from ingradient_pl.cli.crossval_plans import Configurations
from ingradient_pl.cli.crossval_state import CONFIGURATIONS, write_state
from ingradient_pl.cli.fold_sweep import SUBFOLDER, SUBFOLDERS, sweep_folds
from ingradient_pl.cli.overrides import find, parse_trust, quote
from ingradient_pl.cli.previous_stage import keep_previous_by_fold
from ingradient_pl.cli.sweep_files import SWEEP
from ingradient_pl.messages import UsageError, say
from ingradient_pl.spec import TRUSTED
from ingradient_pl.store.store_union import AnyCases

PREVIOUS = "previous"
"""Below a first stage: what it found in held-out cases, and its models, for the cascades that see it."""


def choose_held_out(
    store: AnyCases, chosen: Configurations, folds: Sequence[int] | None, overrides: Sequence[str]
) -> dict[int, tuple[str, ...]]:
    """Give the names of the cases that each fold holds out; a cascade needs all cases held out once.

    Args:
        store: The cases.
        chosen: Configurations.
        folds: Numbers of the folds; None for all.
        overrides: As behind ``ingradient-train``.

    Raises:
        UsageError: If an override says what is decided here, or a cascade is asked for with some folds only.
        ValueError: If there are no such folds, or their cases do not fit together.
    """
    held_out = choose_folds(store, folds, overrides)
    if not chosen.first_stages:
        return held_out
    name, first = next(iter(chosen.first_stages.items()))
    if find(overrides, "data.previous") is not None:
        raise UsageError(f"data.previous cannot be given here: {name} sees what {first} finds.")
    divided = divide(store, overrides)
    if len(divided) > len(held_out):
        raise UsageError(
            f"{name} trains on what all {len(divided)} folds of {first} find in held-out cases: leave out "
            "folds=, or the cascade."
        )
    seen = {case for names in held_out.values() for case in names}
    lacking = sorted({case for split in divided for case in split.train} - seen)
    if lacking:
        raise UsageError(
            f"{name} needs of each case what a fold of {first} that held it out found, and no fold holds out "
            f"{', '.join(lacking[:5])} ({len(lacking)} cases). Give another division, or no cascade."
        )
    return held_out


def fit_configurations(
    folder: Path,
    store: AnyCases,
    chosen: Configurations,
    held_out: Mapping[int, tuple[str, ...]],
    overrides: Sequence[str],
    state: dict[str, Any],
    *,
    mapped: Sequence[str],
) -> dict[str, CrossFit]:
    """Train all folds, by one sweep where nothing waits for another; write down how far they are.

    Args:
        folder: Of the cross-validation.
        store: The cases.
        chosen: Configurations.
        held_out: Names of the cases that each fold holds out.
        overrides: As behind ``ingradient-train``.
        state: As of :func:`begin_state`; how far each fold is, is written into it.
        mapped: Names of the configurations that keep maps of probabilities.

    Returns:
        The folds of each configuration.

    Raises:
        Stopped: If it was interrupted.
    """
    fits = dict[str, CrossFit]()

    def collect_folds(names: Sequence[str]) -> None:
        for name in names:
            fits[name] = collect(folder / name, store.task, held_out, probabilities=name in mapped)
            failed = fits[name].failures
            state[CONFIGURATIONS][name] = {"folds": {str(one): failed.get(one, "done") for one in held_out}}
        write_state(folder, state)

    def train(names: Sequence[str], told: Sequence[str]) -> None:
        plans = {name: chosen.plans[name] for name in names}
        (folder / SWEEP).unlink(missing_ok=True)  # the state has held what was told against what is told
        sweep_folds(store, plans, folder, held_out, told, subfolder=SUBFOLDERS, mapped=mapped)
        collect_folds(names)

    alone = [name for name in chosen.plans if name not in chosen.first_stages]
    collect_folds(list(chosen.plans))
    say(f"{len(held_out)} folds of {', '.join(alone)}")
    train(alone, overrides)
    for name, first in chosen.first_stages.items():
        if fits[first].failures:
            why = f"its first stage, {first}, is not complete"
            fits[name] = fits[name]._replace(runs={}, failures=dict.fromkeys(held_out, why))
            continue
        say(f"{len(held_out)} folds of {name}, on what {first} found in the cases that it held out")
        place = folder / first / PREVIOUS
        keep_previous_by_fold(place, store, fits[first], (*TRUSTED, *parse_trust(overrides)))
        own = quote(str(place))[:-1] + f'/{SUBFOLDER}"'
        train([name], [*overrides, f"data.previous={own}"])
    return fits
