"""The file of a cross-validation: what it was told, how far its folds are, and what came of them."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ingradient_pl.cli.fold_sweep import FOLD
from ingradient_pl.cli.run_settings import LENGTH as FREE
from ingradient_pl.cli.run_settings import first_differences, read_settings
from ingradient_pl.files import replace_file
from ingradient_pl.lightning.run_files import CROSSVAL as STATE
from ingradient_pl.lightning.run_files import LAST, read_folds_state
from ingradient_pl.store.store_union import AnyCases, store_paths

FORMAT = 1
SETTINGS, STORE, CONFIGURATIONS, SUMMARY = "settings", "store", "configurations", "summary"
HELD_OUT = "held_out"
CHANGEABLE = (*(key for key in FREE if key != "epochs"), "hydra")
"""Beginnings of keys that may be other when a cross-validation goes on: on what, and what is watched."""


def begin_state(
    folder: Path, store: AnyCases, overrides: Sequence[str], held_out: Mapping[int, Sequence[str]]
) -> dict[str, Any]:
    """Give the state of a cross-validation: a new one, or what its folder holds.

    Args:
        folder: Of the cross-validation.
        store: What it is over.
        overrides: What its runs are told.
        held_out: Names of the cases that each fold holds out.

    Raises:
        FileExistsError: If the folder holds a cross-validation of another store, with other settings, or
            with cases divided otherwise.
        ValueError: If the file was damaged.
    """
    told = read_settings(overrides, CHANGEABLE)
    paths = ", ".join(str(path.absolute()) for path in store_paths(store))
    over = {"path": paths, "sha256": store.check_sum(), "cases": len(store.cases)}
    state = read_state(folder)
    folds = {str(number): list(names) for number, names in held_out.items()}
    if not state:
        return {"format": FORMAT, STORE: over, SETTINGS: told, HELD_OUT: folds, CONFIGURATIONS: {}}
    before = state[STORE]
    if before["sha256"] != over["sha256"]:
        raise FileExistsError(
            f"{folder} holds the cross-validation of another store ({before['path']}, {before['cases']} "
            f"cases as they were then), not of {over['path']} ({over['cases']} cases now). Choose "
            "another folder: output=DIR"
        )
    keys = sorted(key for key in {*state[SETTINGS], *told} if state[SETTINGS].get(key) != told.get(key))
    changed = [f"{key}: {state[SETTINGS].get(key)} there, {told.get(key)} here" for key in keys]
    if changed:
        raise FileExistsError(
            f"{folder} holds a cross-validation with other settings ({first_differences(changed)}). Say the "
            "same to go on with it, or choose another folder: output=DIR"
        )
    divided = state.get(HELD_OUT, {})
    other = sorted(number for number in folds if divided.get(number, folds[number]) != folds[number])
    if other:
        raise FileExistsError(
            f"{folder} holds a cross-validation in which fold {', '.join(other)} holds out other cases: the "
            "file of the division has changed. Choose another folder: output=DIR"
        )
    kept = {key: value for key, value in state.items() if key != SUMMARY}
    return kept | {STORE: over, HELD_OUT: {**divided, **folds}}


def check_store(state: Mapping[str, Any], store: AnyCases) -> None:
    """Refuse to compare folds of which some may have seen another store than others.

    Args:
        state: As of :func:`begin_state`.
        store: As it was opened for it.

    Raises:
        ValueError: If the store is not as it was when this command began.
    """
    try:
        same = store.check_sum() == state[STORE]["sha256"]
    except (OSError, ValueError):
        same = False
    if not same:
        raise ValueError(
            f"{state[STORE]['path']} was changed while its folds were trained: some saw other cases "
            "than others. Train them anew in another folder: output=DIR"
        )


def check_folds(folder: Path, names: Sequence[str], folds: Sequence[int] | None) -> None:
    """Refuse to leave out folds that were run before: their predictions are in the folder that is scored.

    Args:
        folder: Of the cross-validation.
        names: Configurations that go on.
        folds: Numbers of the folds that are asked for; None for all.

    Raises:
        ValueError: If one would be left out.
    """
    runs = [run for name in names for run in (folder / name).glob(f"{FOLD}*") if (run / LAST).is_file()]
    numbers = {run.name.removeprefix(FOLD) for run in runs}
    before = sorted(int(number) for number in numbers if number.isdecimal())
    if folds is not None and not set(before) <= set(folds):
        raise ValueError(
            f"Folds {before} were run in this folder, {list(folds)} are asked for: ask for those as well, "
            "or choose another folder: output=DIR"
        )


def read_state(folder: Path) -> dict[str, Any]:
    """Read the state in a folder; empty where there is none.

    Args:
        folder: Of the cross-validation.

    Raises:
        ValueError: If the file was damaged.
    """
    file = folder / STATE
    if not file.is_file():
        return {}
    found = read_folds_state(file)
    if found.get("format") != FORMAT or not _is_complete(found):
        raise ValueError(
            f"{file} is not the state of a cross-validation of this version. Choose another folder."
        )
    return found


def _is_complete(found: Mapping[str, Any]) -> bool:
    """Whether all is there that is read of a state, and is what it should be."""
    store, settings, entries = (found.get(key) for key in (STORE, SETTINGS, CONFIGURATIONS))
    return (
        isinstance(store, Mapping)
        and {*store} >= {"path", "sha256", "cases"}
        and isinstance(settings, Mapping)
        and isinstance(entries, Mapping)
        and all(
            isinstance(one, Mapping) and isinstance(one.get("folds"), Mapping) for one in entries.values()
        )
        and all(number.isdecimal() for one in entries.values() for number in one["folds"])
    )


def write_state(folder: Path, state: Mapping[str, Any]) -> None:
    """Write the state; it appears whole or not at all.

    Args:
        folder: Of the cross-validation.
        state: What it is told, how far it is and what came of it.
    """
    text = json.dumps(state, indent=1, ensure_ascii=False)
    replace_file(folder / STATE, (text + "\n").encode())
