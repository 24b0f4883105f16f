"""Which cases folds hold out where a cascade sees what its first stage finds in them: each case once."""

from collections.abc import Mapping, Sequence

from ingradient_pl.cli.cross_fit import choose_folds, divide
from ingradient_pl.cli.crossval_plans import Configurations
from ingradient_pl.cli.overrides import find
from ingradient_pl.datasets.split_records import Divisible, Split, check_division, find_strata
from ingradient_pl.datasets.splits import folds
from ingradient_pl.messages import UsageError
from ingradient_pl.phrases import name_some
from ingradient_pl.store.store_union import AnyCases


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
    divided = divide(store.cases, overrides)
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
            f"{name_some(lacking)} ({len(lacking)} cases). Give another division, or no cascade."
        )
    return held_out


def divide_first(cases: Mapping[str, Divisible], split: Split, count: int) -> list[dict[str, list[str]]]:
    """Divide the cases of a cascade into folds of its first stage, as ``splits_final.json`` has them.

    Every case is held out once, and those that the second stage validates on train none of them: so what the
    whole cascade reaches on these cases is fair.

    Args:
        cases: All cases, prepared or not.
        split: Of the second stage.
        count: Folds.

    Raises:
        ValueError: If there are fewer patients than folds, or one trains on no case of a store.
    """
    train = {name: cases[name] for name in split.train}
    groups = {name: case.group for name, case in train.items()}
    divided = folds(groups, count, strata=find_strata(train), key="folds")
    for fold in divided:
        check_division(cases, fold.train)
    made = [{"train": list(fold.train), "val": list(fold.validation)} for fold in divided]
    for number, name in enumerate(split.kept):
        made[number % count]["val"].append(name)
    return made
