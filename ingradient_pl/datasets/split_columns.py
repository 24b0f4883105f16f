"""The column ``split`` of a table: who trains, validates or is kept for the test, of one store or several."""

from collections.abc import Collection, Mapping

from ingradient_pl.datasets.split_records import Split, check_splits
from ingradient_pl.phrases import name_some

TRAIN, VALIDATION, TEST = ("train", "training", "tr"), ("val", "validation", "valid", "va"), "test"
NONE: Mapping[str, str] = {}


def from_column(
    splits: Mapping[str, str | None], groups: Mapping[str, str], stores: Mapping[str, str] = NONE
) -> list[Split] | None:
    """Take the split that a table gave: ``train`` or ``val`` for each case, or the number of its fold.

    Cases of another name (``test``) or of none are left out.

    Args:
        splits: What the table says about each case.
        groups: The patient of each case.
        stores: The store of each case, if there are several: fold 1 is what all tables call 1.

    Returns:
        One split; or one for each fold number; None where the table says nothing.

    Raises:
        ValueError: If a patient would be on both sides, one side is empty, numbers of folds stand beside
            ``train`` and ``val``, or stores name different folds.
    """
    said = {name: str(entry).strip().lower() for name, entry in splits.items() if entry not in (None, "")}
    if not said:
        return None
    _check_agreement(said, stores)
    numbers = sorted({int(entry) for entry in said.values() if entry.isdecimal()})
    words = sorted({entry for entry in said.values() if entry in (*TRAIN, *VALIDATION)})
    if numbers and words:
        raise ValueError(
            f"The split column holds folds ({name_some(numbers)}) and '{words[0]}': "
            "the two cannot be meant together. Write train and val, or the number of a fold for each case."
        )
    if numbers:
        inside = [name for name, entry in said.items() if entry.isdecimal()]
        cut = [[name for name in inside if int(said[name]) == number] for number in numbers]
        made = [Split(tuple(sorted(set(inside) - set(held))), tuple(sorted(held))) for held in cut]
    else:
        train = tuple(sorted(name for name, entry in said.items() if entry in TRAIN))
        made = [Split(train, tuple(sorted(name for name, entry in said.items() if entry in VALIDATION)))]
    return check_splits(made, groups, "the split column")


def find_divided(splits: Mapping[str, str | None], stores: Mapping[str, str] = NONE) -> set[str]:
    """Give the stores whose tables say of some case that it trains or validates.

    Args:
        splits: What the table says about each case.
        stores: The store of each case; empty of one.
    """
    return {stores.get(name, "") for name, entry in splits.items() if entry and not is_test(entry)}


def describe_column_faults(
    splits: Mapping[str, str | None], groups: Mapping[str, str], stores: Mapping[str, str] = NONE
) -> list[str]:
    """Say what training would refuse about the division that tables give, and what it leaves out.

    Args:
        splits: What the table says about each case.
        groups: The patient of each case.
        stores: The store of each case; empty of one. Those without a column are divided without it.
    """
    try:
        made = from_column(splits, groups, stores)
    except ValueError as error:
        return [str(error)]
    used = {name for split in made or () for side in split for name in side}
    divided = find_divided(splits, stores)
    silent = sorted(
        name
        for name, entry in splits.items()
        if name not in used and not is_test(entry) and stores.get(name, "") in divided
    )
    told = describe_tested(splits, groups, used)
    if used and silent:
        told.append(
            f"{len(silent)} cases have no split while others have one: they neither train nor validate: "
            f"{name_some(silent)}."
        )
    return told


def describe_tested(
    splits: Mapping[str, str | None], groups: Mapping[str, str], used: Collection[str]
) -> list[str]:
    """Say which patients are kept for the test by one case, and train or validate by another.

    Args:
        splits: What the table says about each case.
        groups: The patient of each case.
        used: Names of the cases that train or validate.
    """
    both = {groups[name] for name in used} & {groups[name] for name in splits if is_test(splits[name])}
    if not both:
        return []
    return [
        f"{len(both)} patients are in the test cases and in those to train or validate on, so the test "
        f"would flatter: {name_some(sorted(both))}. Move all cases of a patient to one side."
    ]


def is_test(split: str | None) -> bool:
    """Whether a table keeps a case from training and validation alike.

    Args:
        split: What a table says of a case, in any case of letters; None where it says nothing.
    """
    return split is not None and str(split).strip().lower() == TEST


def _check_agreement(said: Mapping[str, str], stores: Mapping[str, str]) -> None:
    """Refuse columns of several stores that do not name the same folds."""
    told: dict[str, set[str]] = {}
    for name, entry in said.items():
        if not is_test(entry):
            fold = str(int(entry)) if entry.isdecimal() else "train and val"
            told.setdefault(stores.get(name, ""), set()).add(fold)
    if len(set(map(frozenset, told.values()))) > 1:
        listed = "; ".join(f"{store}: {name_some(sorted(folds))}" for store, folds in sorted(told.items()))
        raise ValueError(
            f"The split columns of the stores name different folds ({listed}), and a fold validates on cases "
            "of all stores. Name the same ones in each table, or leave the column out of all but one, and "
            "prepare again; or give a split of all stores' cases (data.split.file=FILE)."
        )
