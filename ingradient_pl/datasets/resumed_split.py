"""Who trains and who validates in a run that is resumed: as before, whatever joined the data set since."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, NamedTuple

from ingradient_pl.datasets.split_records import Divisible, Split
from ingradient_pl.datasets.splits import Fold
from ingradient_pl.phrases import name_some


class OtherDataError(ValueError):
    """A run that is to go on with another data set than its own."""


class Resumed(NamedTuple):
    """The split of a resumed run.

    Args:
        split: Who trains and who validates from now on.
        joined: Cases that have joined since, and train or validate now.
        gone: Cases that trained or validated and are not in the data set any more, or have lost their label.
    """

    split: Split
    joined: tuple[str, ...]
    gone: tuple[str, ...]

    def describe_changes(self) -> list[str]:
        """Say what is other than before, in whole sentences; empty where nothing is."""
        told = []
        if self.joined:
            new = set(self.joined)
            train, validation = (len(new & set(side)) for side in self.split)
            told.append(
                f"{len(self.joined)} cases joined the data set since the run began "
                f"({name_some(self.joined)}): {train} train, {validation} validate. "
                "All others stay on their side."
            )
        if self.gone:
            told.append(
                f"{len(self.gone)} cases of the run are no longer in the store, or without a label: "
                f"{name_some(self.gone)}."
            )
        return told


def restore_split(
    before: Mapping[str, Any], fold: Fold, fresh: Split, cases: Mapping[str, Divisible]
) -> Resumed:
    """Leave everybody on the side where a run had them, as :func:`resume_split` does.

    Args:
        before: What the run's checkpoint says: ``train``, ``validation``, and the settings ``fold``.
        fold: How the config divides now.
        fresh: What that comes to.
        cases: All cases there are, by name.

    Raises:
        OtherDataError: If none of the run's cases is left on a side.
        ValueError: If the config divides the cases in another way than the run did.
    """
    side = Split(tuple(before["train"]), tuple(before["validation"]))
    found = resume_split(side, fresh, cases)  # of other data, no other division need be spoken of
    told = asdict(fold)
    changed = [key for key, value in before["fold"].items() if key in told and told[key] != value]
    if changed:
        was = " ".join(f"data.split.{key}={before['fold'][key]}" for key in changed)
        raise ValueError(
            f"The run was trained with {was.replace('None', 'null')}, and a resumed run keeps its "
            "split: else it would validate on cases that it was trained on. Say the same, or start a "
            "new run."
        )
    return found


def resume_split(before: Split, fresh: Split, cases: Mapping[str, Divisible]) -> Resumed:
    """Keep everybody on their side; who joined goes where the division would put it, unless it may not.

    A patient stays on one side: a new case of a patient that trained never validates, and the reverse.

    Args:
        before: The run's split.
        fresh: How the data set would be divided now.
        cases: All cases there are, by name.

    Raises:
        OtherDataError: If none of the run's cases is left on a side.
    """
    there = {name for name, case in cases.items() if case.labelled}
    known = {*before.train, *before.validation}
    joined = sorted({*fresh.train, *fresh.validation} - known)
    train, validation = (set(side) & there for side in before)
    if not train or not validation:
        raise OtherDataError(
            f"The store holds none of the {len(before.train)} cases that the run was trained on "
            f"({name_some(before.train)}), or none that it validated on: it is another data set, "
            "and resume= goes on with the run's own. A new run on this one starts from its weights by "
            "init_from=RUN in the place of resume=RUN, with a folder of its own: hydra.run.dir=DIR"
        )
    everybody = not before.kept
    held = {cases[name].group for name in validation - train}
    trained = {cases[name].group for name in train}
    for name in joined:
        validates = cases[name].group in held or (
            name in set(fresh.validation) and cases[name].group not in trained
        )
        if everybody or not validates:
            train.add(name)
        if everybody or validates:
            validation.add(name)
    split = Split(tuple(sorted(train)), tuple(sorted(validation)))
    return Resumed(split, tuple(joined), tuple(sorted(known - there)))


def assume_split(validated: Sequence[str], fresh: Split, cases: Mapping[str, Divisible]) -> tuple[Split, str]:
    """Give the split of a run whose checkpoint does not hold it (older ones), and say what is assumed.

    Args:
        validated: Names of its validation cases, where the checkpoint tells them.
        fresh: How the data set would be divided now.
        cases: All cases there are, by name.

    Returns:
        The split: cases that validated stay, all others train; that of now where none is told.
    """
    held = tuple(sorted(name for name in validated if name in cases and cases[name].labelled))
    everybody = {*fresh.train, *fresh.validation}
    train = tuple(sorted((everybody | set(held)) - set(held)))
    if not held or not train:
        return fresh, (
            "The checkpoint does not say which cases the run was trained on (it is an older one): those that "
            f"data.split gives now are assumed ({len(fresh.train)} train, {len(fresh.validation)} validate). "
            "If cases have joined or left since, some that validate now were trained on: start a new run."
        )
    return Split(train, held), (
        f"The checkpoint does not hold its split (it is an older one), but its {len(held)} validation cases: "
        f"they stay, and all {len(train)} others are assumed to train."
    )
