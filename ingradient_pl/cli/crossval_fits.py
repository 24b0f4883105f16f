"""All folds of several configurations: one sweep of those that see images alone, and then the cascades."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ingradient_pl.cli.cross_fit import CrossFit, collect
from ingradient_pl.cli.crossval_plans import Configurations
from ingradient_pl.cli.crossval_state import CONFIGURATIONS, write_state
from ingradient_pl.cli.fold_sweep import SUBFOLDER, SUBFOLDERS, sweep_folds
from ingradient_pl.cli.overrides import parse_trust, quote
from ingradient_pl.cli.previous_stage import keep_previous_by_fold
from ingradient_pl.cli.sweep_files import SWEEP
from ingradient_pl.messages import say
from ingradient_pl.spec import TRUSTED
from ingradient_pl.store.store_union import AnyCases

PREVIOUS = "previous"
"""Below a first stage: what it found in held-out cases, and its models, for the cascades that see it."""


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
