"""Every fold of plans trained by one sweep of Hydra, and asked about the cases it was not trained on."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from hydra.core.override_parser.overrides_parser import OverridesParser

from ingradient_pl.cli.fold_job import PREDICTIONS
from ingradient_pl.cli.fold_sweep import FOLD, NUMBER, SUBFOLDER, sweep_folds
from ingradient_pl.cli.line_checks import read_fold
from ingradient_pl.cli.overrides import find, quote_paths, without
from ingradient_pl.cli.python_run import errors_as_raised
from ingradient_pl.cli.run_folders import hold_folder
from ingradient_pl.commands.inputs import AnyPath, AnyPlan, AnyStores, open_cases, open_plan
from ingradient_pl.datasets.split_records import Divisible, Split
from ingradient_pl.datasets.splits import check_fold
from ingradient_pl.inference.answer_files import DEFAULT_ENDING, answer_parts
from ingradient_pl.inference.answer_folder import identify, read_models
from ingradient_pl.inference.probabilities import ENDING
from ingradient_pl.lightning.run_files import LAST, read_reason
from ingradient_pl.messages import UsageError
from ingradient_pl.short_repr import short_repr
from ingradient_pl.store.store_union import AnyCases
from ingradient_pl.task import Task

FIXED = ("plan", "store", "resume", "hydra.sweep.dir", "hydra.sweep.subdir", "hydra.run.dir", "hydra/sweeper")
"""What no override may say: each is decided here."""


class CrossFit(NamedTuple):
    """All folds of a plan.

    Args:
        predictions: Folder with ``CASE.nii.gz`` (of several stores ``CASE@STORE.nii.gz``) of each held-out
            case, on its native grid, by the fold that held it out; ``CASE.npz`` beside it where probabilities
            were asked for.
        runs: Folder of each fold's run, by its number; folds that failed are not among them.
        held_out: Names of the cases that each fold held out.
        failures: Why a fold failed, by its number.
    """

    predictions: Path
    runs: dict[int, Path]
    held_out: dict[int, tuple[str, ...]]
    failures: dict[int, str]

    def __repr__(self) -> str:
        return short_repr(self)

    @property
    def checkpoints(self) -> list[Path]:
        """The last state of each fold, in the order of their numbers; they predict together."""
        return [self.runs[number] / LAST for number in sorted(self.runs)]


def cross_fit(
    store: AnyStores,
    plan: AnyPlan,
    folder: AnyPath,
    folds: Sequence[int] | None = None,
    overrides: Sequence[str] = (),
    *,
    probabilities: bool = False,
) -> CrossFit:
    """Train the folds of a plan, and gather what each says about the cases it was not trained on.

    The runs are ``folder/fold_0``, ``folder/fold_1``, ...: jobs of one sweep of Hydra's, by any launcher
    (``hydra/launcher=...`` among the overrides). Called again with the same arguments it skips what is done
    and goes on with what was begun. A fold that fails does not hold up the others.

    Args:
        store: Folder written by ``prepare``, or the store itself; or several folders.
        plan: YAML file written by ``plan``, or the plan itself.
        folder: Where runs and predictions go; it is made.
        folds: Numbers of the folds, from 0; None takes all that the division has (``data.split.*`` among the
            overrides, the store's own split column, or five).
        overrides: As behind ``ingradient-train``, such as ``epochs=4``.
        probabilities: Whether to keep a map for each output of each held-out case.

    Raises:
        UsageError: If an override says what is decided here, or sweeps over something else.
        ValueError: If there are no such folds, or two of them hold out one case.
        FileExistsError: If another process is at work in the folder, or it holds other runs.
        Stopped: If it was interrupted.
    """
    place, case_store, decided = Path(folder).absolute(), open_cases(store), open_plan(plan)
    held_out = choose_folds(case_store, folds, overrides)
    with hold_folder(place):
        mapped = (place.name,) if probabilities else ()
        sweep_folds(
            case_store, {"plan": decided}, place, held_out, overrides, subfolder=SUBFOLDER, mapped=mapped
        )
    return collect(place, case_store.task, held_out, probabilities=probabilities)


def choose_folds(
    store: AnyCases, folds: Sequence[int] | None, overrides: Sequence[str]
) -> dict[int, tuple[str, ...]]:
    """Give the names of the cases that each fold holds out.

    Args:
        store: The cases.
        folds: Numbers of the folds, from 0; None takes all that the division has.
        overrides: As behind ``ingradient-train``.

    Raises:
        UsageError: If an override says what is decided here, or sweeps over something else.
        ValueError: If there are no such folds, two of them hold out one case, or one trains on no case of
            a store.
    """
    return {number: split.kept for number, split in select_folds(store.cases, folds, overrides).items()}


def select_folds(
    cases: Mapping[str, Divisible], folds: Sequence[int] | None, overrides: Sequence[str]
) -> dict[int, Split]:
    """Give the folds that are asked for, by number.

    Args:
        cases: All cases, prepared or not.
        folds: Numbers of the folds, from 0; None takes all that the division has.
        overrides: As behind ``ingradient-train``.

    Raises:
        UsageError: If an override says what is decided here, or sweeps over something else.
        ValueError: If there are no such folds, two of them hold out one case, or one trains on no case of
            a store.
    """
    check_overrides(overrides)
    divided = divide(cases, overrides)
    chosen = {number: divided[number] for number in _numbers(folds, divided)}
    for number, split in chosen.items():
        check_fold(split, number, cases)
    check_held_out({number: split.kept for number, split in chosen.items()})
    return chosen


def divide(cases: Mapping[str, Divisible], overrides: Sequence[str]) -> list[Split]:
    """Give every fold, as the overrides divide the cases.

    Args:
        cases: All cases, prepared or not.
        overrides: As behind ``ingradient-train``.
    """
    with errors_as_raised():
        return read_fold(overrides).splits(cases)


def check_held_out(held_out: dict[int, tuple[str, ...]]) -> None:
    """Refuse folds of which two hold out one case, or one holds out none.

    Args:
        held_out: Names of the cases that each fold holds out.

    Raises:
        ValueError: If one does.
    """
    seen: dict[str, int] = {}
    for number, names in held_out.items():
        if not names:
            raise ValueError(f"Fold {number} holds out no case: nothing can be predicted fairly by it.")
        for name in names:
            if name in seen:
                raise ValueError(
                    f"{name} is held out by fold {seen[name]} and by fold {number}: each case needs one "
                    "held-out prediction. Give a division whose validation sides do not overlap, or one fold."
                )
            seen[name] = number


def collect(
    folder: Path, task: Task, held_out: Mapping[int, tuple[str, ...]], *, probabilities: bool = False
) -> CrossFit:
    """Look at what a folder of folds holds, and train nothing.

    Args:
        folder: As :func:`cross_fit` was given.
        task: Of the store, which says how many files a segmentation has.
        held_out: Names of the cases that each fold holds out.
        probabilities: Whether a case needs its maps to count as done.
    """
    predictions, runs, failures = folder / PREDICTIONS, dict[int, Path](), dict[int, str]()
    models = read_models(predictions)
    for number, names in held_out.items():
        run = folder / f"{FOLD}{number}"
        answers = [predictions / f"{name}{DEFAULT_ENDING}" for name in names]
        wanted = [file for answer in answers for file in answer_parts(answer, task)]
        wanted += [predictions / f"{name}{ENDING}" for name in names if probabilities]
        missing = [file for file in wanted if not file.is_file()]
        reason = read_reason(run)
        if reason is not None:
            failures[number] = reason
        elif not (run / LAST).is_file():
            failures[number] = f"it left no {LAST}"
        elif missing:
            failures[number] = f"{len(missing)} held-out predictions are missing, such as {missing[0]}"
        elif {models.get(name) for name in names} != {identify([run / LAST])}:
            failures[number] = (
                f"its held-out predictions are not of {run / LAST}: was one of them replaced? Delete {run} "
                f"and {answers[0]} (and the like), and they are made again"
            )
        else:
            runs[number] = run
    return CrossFit(predictions, runs, dict(held_out), failures)


def _numbers(folds: Sequence[int] | None, divided: Sequence[Split]) -> list[int]:
    numbers = list(range(len(divided))) if folds is None else list(folds)
    wrong = [number for number in numbers if number not in range(len(divided))]
    if wrong or not numbers or len(set(numbers)) < len(numbers):
        raise ValueError(f"There are folds 0 to {len(divided) - 1}, each once; got {numbers}.")
    return numbers


def check_overrides(overrides: Sequence[str]) -> None:
    """Refuse what is decided here, and a sweep over anything but the folds.

    Args:
        overrides: As behind ``ingradient-train``.

    Raises:
        UsageError: If there is such a one.
    """
    for key in (*FIXED, NUMBER):
        if find(overrides, key) is not None:
            raise UsageError(
                f"{key}=... cannot be given here: all folds of one plan are trained in one folder."
            )
    with errors_as_raised():
        parsed = OverridesParser.create().parse_overrides(quote_paths(without(overrides, "trust")))
    swept = [str(entry.key_or_group) for entry in parsed if entry.is_sweep_override()]
    if swept:
        raise UsageError(
            f"{swept[0]} has several values: the folds are the only sweep here. Choose one value."
        )
