"""Which cases of a source a prediction is asked for: all, named ones, one part of them."""

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

from ingradient_pl.commands.inputs import AnyPath, to_paths
from ingradient_pl.datasets.layouts import DESCRIPTION
from ingradient_pl.datasets.records import CaseFiles, Source, SourceError
from ingradient_pl.datasets.sources import images_only
from ingradient_pl.inference.case_pipeline import Failure
from ingradient_pl.inference.checkpoint import Model
from ingradient_pl.inference.predict_cases import find_meaning
from ingradient_pl.messages import UsageError, say
from ingradient_pl.phrases import name_some
from ingradient_pl.store.label_maps import labels_task
from ingradient_pl.store.metadata import is_store
from ingradient_pl.store.store_union import names_in_folder
from ingradient_pl.store.stored_cases import stored_cases
from ingradient_pl.task import Task

VALIDATION = "validation"
Part = TypeVar("Part", CaseFiles, Failure)


def find_cases(
    source: AnyPath | Sequence[AnyPath], model: Model, only: str | list[str] | None
) -> tuple[list[CaseFiles], Source]:
    """Give the cases of a source that were asked for, and all that was found there.

    Args:
        source: Folder, table or case store; or several stores, whose cases are called ``CASE@STORE``.
        model: What they are for.
        only: Names of cases, or 'validation' for those that the model was not trained on; None for all.

    Raises:
        SourceError: If the source is not a data set that can be read, or one of several is not a store.
        ValueError: If it lacks a case that was asked for.
    """
    paths = to_paths(source)
    others = [path for path in paths if not is_store(path)]
    if len(paths) > 1 and others:
        raise SourceError(
            f"{others[0]} is not a case store: of several sources each is one. Prepare it (ingradient "
            "prepare), or predict it by itself."
        )
    found = images_only(paths[0], model.task) if others else stored_cases(paths, model.task)
    return _select_cases(found.cases, only, model.validation, paths), found


def find_labels_task(source: AnyPath | Sequence[AnyPath]) -> Task | None:
    """Give what the integers of a data set's labels mean; None where it does not tell, and for stores.

    Each case of a store tells it itself, as several stores need not number labels alike.

    Args:
        source: As for :func:`find_cases`.
    """
    path = to_paths(source)[0]
    return labels_task(path) if not is_store(path) and (path / DESCRIPTION).is_file() else None


def say_remarks(found: Source) -> list[Failure]:
    """Say what a user should know of a source; give the cases that lack files.

    Args:
        found: The source.
    """
    for remark in found.remarks:
        say(remark)
    return [Failure(fault.case, f"{fault.file}: {fault.reason}") for fault in found.faults]


def say_other_names(cases: Sequence[CaseFiles], task: Task, told: Task | None) -> None:
    """Say that labels are taken by their integers, since they share no name with a model's.

    Args:
        cases: Each with a label.
        task: Of the model; where its labels overlap, they are read by name alone.
        told: What the integers of the labels mean, as :func:`find_labels_task` gave it.
    """
    found = [] if task.overlap is not None else [find_meaning(case, task, told).remarks for case in cases]
    for remark in dict.fromkeys(itertools.chain(*found)):
        say(f"Note: {remark}")


def _select_cases(
    cases: list[CaseFiles], only: str | list[str] | None, validation: Sequence[str], sources: Sequence[Path]
) -> list[CaseFiles]:
    """Leave the cases that were asked for."""
    if only is None:
        return cases
    if only == VALIDATION and not validation:
        raise ValueError(
            "No case was kept from the training of all that was given (it trained on every case, or does not "
            "say; of several folds each trained on the others'). Name the cases: --only [a,b]"
        )
    given = only.split(",") if isinstance(only, str) else only
    if not given:
        raise UsageError("--only names no case: name some, such as --only a,b, or leave it out for all.")
    there = {case.name for case in cases}
    wanted = set(validation) if only == VALIDATION else set(given)
    if only == VALIDATION and not wanted <= there and len(sources) == 1:
        wanted = set(names_in_folder(validation, sources[0])) or wanted
    missing = wanted - there
    if missing or not wanted:
        raise ValueError(
            f"The source lacks {len(missing)} of the {len(wanted)} cases that were asked for"
            f"{': ' + name_some(sorted(missing)) if missing else ''}. "
            "Is it the data set of this checkpoint?"
        )
    return [case for case in cases if case.name in wanted]


def take_part(cases: list[Part], part: int, parts: int) -> list[Part]:
    """Leave one part of the cases; parts differ by one case at most.

    Args:
        cases: All of them.
        part: Which part, from 0.
        parts: How many there are.

    Raises:
        UsageError: If there is no such part.
    """
    if not 0 <= part < parts:
        raise UsageError(f"part must be at least 0 and below parts; got part={part}, parts={parts}.")
    return cases[part::parts]
