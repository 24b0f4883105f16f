"""``ip.cascade``: a coarse stage, and a fine one that sees its held-out segmentations; one checkpoint."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ingradient_pl.cli.cascade_plans import choose_stages
from ingradient_pl.cli.cross_fit import CrossFit, cross_fit
from ingradient_pl.cli.data_first import name_data, open_data, read_planner, with_loss, write_store
from ingradient_pl.cli.first_stage_folds import divide_first
from ingradient_pl.cli.line_checks import SPLIT, read_fold
from ingradient_pl.cli.overrides import parse_trust, quote_paths, without
from ingradient_pl.cli.previous_stage import keep_previous
from ingradient_pl.cli.python_run import Run, errors_as_raised, run_line, write_overrides
from ingradient_pl.cli.run_folders import hold_folder, near
from ingradient_pl.commands.inputs import AnyPath, AnyPlan, AnyStores
from ingradient_pl.datasets.split_records import Divisible, Split
from ingradient_pl.files import replace_file
from ingradient_pl.inference.predictor import Predictor
from ingradient_pl.lightning.run_files import CASCADE as STATE
from ingradient_pl.lightning.run_files import read_folds_state
from ingradient_pl.messages import say
from ingradient_pl.planning.plan import Plan
from ingradient_pl.planning.plan_yaml import as_yaml, write_plan
from ingradient_pl.short_repr import short_repr
from ingradient_pl.spec import TRUSTED
from ingradient_pl.store.store_union import AnyCases, store_paths
from ingradient_pl.transforms.stage_labels import StageLabels

CASCADES = "cascades"
"""Where cascades are kept, below the folder that the command is called in, if none is named."""
FIRST, SECOND = "first", "second"
"""Folders of the stages, and what stands before the keys that are for one of them."""
PREVIOUS, SPLITS = "previous", "splits.json"
FOLDS = 5


class Cascade(NamedTuple):
    """A cascade that was trained.

    Args:
        folder: Of all its runs.
        first: All folds of the first stage.
        second: The run of the second stage; its checkpoints hold both stages.
    """

    folder: Path
    first: CrossFit
    second: Run

    def __repr__(self) -> str:
        return short_repr(self)

    @property
    def checkpoint(self) -> Path:
        """Both stages in one file, which predicts alone."""
        return self.second.checkpoint

    def load(self, **options: Any) -> Predictor:
        """Open it to predict with.

        Args:
            options: As of :func:`ingradient_pl.load`: ``device``, ``step``, ``mirror``, ...
        """
        return self.second.load(**options)


def cascade(
    source: AnyPath | None = None,
    store: AnyStores | None = None,
    output: AnyPath | None = None,
    first_plan: AnyPlan | None = None,
    second_plan: AnyPlan | None = None,
    folds: int | None = None,
    coarser: float | None = None,
    **overrides: Any,
) -> Cascade:
    """Train a coarse first stage and a second stage at full resolution that sees what the first found.

    The first stage is trained in folds, so that the second learns from segmentations of cases that were held
    out; cases that the second validates on train neither. Called again with the same arguments it goes on.

    Args:
        source: Data set to prepare first, as of ``prepare``.
        store: Folder written by ``prepare``, the store itself, or several folders; with ``source``, where to
            prepare it.
        output: Folder of the cascade; below ``cascades``, by the store's name, if not given.
        first_plan: Plan of the first stage, file or object; both are planned by nnU-Net's rules if none is
            given.
        second_plan: Plan of the second stage.
        folds: Of the first stage; 5 if not given.
        coarser: Plan the first stage with voxels so many times as large, more than 1; by nnU-Net's rule if
            not given.
        overrides: Groups and keys of the config, as of :func:`ingradient_pl.train`, for both stages; for one,
            with ``first__`` or ``second__`` before them.

    Raises:
        UsageError: If there is no such key, plans are given in two ways, or neither store nor source.
        ValueError: If no cascade is needed, store, plan and settings do not go together, or a fold of the
            first stage failed.
        FileExistsError: If the folder holds another cascade, or another process is at work there.
        Stopped: If it was interrupted.
    """
    told = write_overrides(overrides)
    return train_cascade(source, store, output, first_plan, second_plan, folds, coarser, overrides=told)


def train_cascade(
    source: AnyPath | None,
    store: AnyStores | None,
    output: AnyPath | None,
    first_plan: AnyPlan | None,
    second_plan: AnyPlan | None,
    folds: int | None,
    coarser: float | None,
    *,
    overrides: Sequence[str],
) -> Cascade:
    """Do what :func:`cascade` does, with overrides as they are typed behind ``ingradient-train``.

    Args:
        source: As of :func:`cascade`.
        store: As of :func:`cascade`.
        output: As of :func:`cascade`.
        first_plan: As of :func:`cascade`.
        second_plan: As of :func:`cascade`.
        folds: As of :func:`cascade`.
        coarser: As of :func:`cascade`.
        overrides: Such as ``epochs=4`` and ``first.epochs=2``; ``data.planner.KEY=VALUE`` is the planner's.
    """
    planner, rest = read_planner(overrides)
    told = {stage: _choose_overrides(rest, stage) for stage in (FIRST, SECOND)}
    case_store = open_data(
        source,
        store,
        "A cascade",
        lambda cases: divide_first(cases, _read_split(cases, told[SECOND]), folds or FOLDS),
    )
    StageLabels.of(case_store.task)  # or refused
    place = Path(output or Path(CASCADES) / name_data(case_store)).absolute()
    split = _read_split(case_store.cases, told[SECOND])
    one, two = choose_stages(case_store, first_plan, second_plan, planner, coarser)
    with hold_folder(place):
        _keep_state(place, case_store, {FIRST: one, SECOND: two}, told[FIRST], split, folds or FOLDS)
        name = one.notes["configuration"]
        say(f"Cascade in {near(place)}: {folds or FOLDS} folds of {name}, then the second stage.")
        found = _train_first(place, case_store, told[FIRST])
        keep_previous(place / PREVIOUS, case_store, found, (*TRUSTED, *parse_trust(told[FIRST])))
        run = _train_second(place, case_store, two, told[SECOND])
    say(f"The cascade predicts alone: {near(run.checkpoint)}")
    return Cascade(place, found, run)


def _choose_overrides(overrides: Sequence[str], stage: str) -> list[str]:
    """Give the overrides of a stage: those for both, then its own in the place of them.

    >>> _choose_overrides(["epochs=4", "first.epochs=2", "second.seed=1"], "first")
    ['epochs=2']
    """
    common, own = list[str](), list[str]()
    for entry in overrides:
        sign = entry[: len(entry) - len(entry.lstrip("+~"))]
        place, dot, rest = entry[len(sign) :].partition(".")
        if not dot or place not in (FIRST, SECOND):
            common.append(entry)
        elif place == stage:
            own.append(f"{sign}{rest}")
    keys = [entry.lstrip("+~").partition("=")[0] for entry in own]
    return [*without(common, *keys), *own]


def _read_split(cases: Mapping[str, Divisible], overrides: Sequence[str]) -> Split:
    """Give which cases the second stage trains and validates on."""
    with errors_as_raised():
        return read_fold(overrides).split(cases)


def _keep_state(
    place: Path, store: AnyCases, plans: Mapping[str, Plan], told: Sequence[str], split: Split, count: int
) -> None:
    """Write down what a cascade is made of, or hold it against what its folder was begun with.

    Raises:
        FileExistsError: If the folder holds another cascade.
        ValueError: If there are fewer patients than folds, one trains on no case of a store, or the folder's
            state was damaged.
    """
    divided = divide_first(store.cases, split, count)
    plain = {
        "store": ", ".join(str(path.absolute()) for path in store_paths(store)),
        "cases": store.check_sum(),
        "overrides of the first stage": sorted(told),
        "folds of the first stage": divided,
        **{f"plan of the {stage} stage": as_yaml(plan) for stage, plan in plans.items()},
    }
    if (place / STATE).is_file():
        before = read_folds_state(place / STATE)
        changed = [key for key, value in plain.items() if before.get(key) != value]
        if changed:
            raise FileExistsError(
                f"{near(place)} holds a cascade that was begun with other settings ({', '.join(changed)}). "
                "Say the same to go on with it, or choose another folder: output=DIR."
            )
        return
    replace_file(place / SPLITS, json.dumps(plain["folds of the first stage"], indent=2).encode())
    for stage, plan in plans.items():
        write_plan(place / f"{stage}.yaml", plan)
    replace_file(
        place / STATE, json.dumps(plain, indent=2).encode()
    )  # last: it says that the others are there


def _train_first(place: Path, store: AnyCases, told: Sequence[str]) -> CrossFit:
    """Train all folds of the first stage; each segments the cases that it held out."""
    kept = [entry for entry in told if not entry.lstrip("+~").startswith(SPLIT)]
    line = quote_paths([*kept, f"{SPLIT}file={place / SPLITS}"])
    found = cross_fit(store, place / f"{FIRST}.yaml", place / FIRST, None, line)
    if found.failures:
        reasons = "; ".join(f"fold {number}: {reason}" for number, reason in found.failures.items())
        raise ValueError(
            f"The first stage is not complete: {reasons}. The same command tries these folds again."
        )
    return found


def _train_second(place: Path, store: AnyCases, plan: Plan, told: Sequence[str]) -> Run:
    """Train the second stage, or go on with it."""
    line = [write_store(store), f"plan={place / f'{SECOND}.yaml'}", f"data.previous={place / PREVIOUS}"]
    return run_line([*line, f"hydra.run.dir={place / SECOND}", "resume=auto", *with_loss(told, plan)])
