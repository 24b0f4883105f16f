"""``ip.crossval``: all folds of several configurations, the best of them or of their pairs, and one model."""

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ingradient_pl.cli.cross_fit import CrossFit, select_folds
from ingradient_pl.cli.crossval_fits import fit_configurations
from ingradient_pl.cli.crossval_plans import choose_plans, keep_plans
from ingradient_pl.cli.crossval_state import SUMMARY, begin_state, check_folds, check_store, write_state
from ingradient_pl.cli.data_first import name_data, open_data, read_planner
from ingradient_pl.cli.first_stage_folds import choose_held_out
from ingradient_pl.cli.overrides import parse_trust, quote_paths
from ingradient_pl.cli.python_run import write_overrides
from ingradient_pl.cli.run_folders import hold_folder, near
from ingradient_pl.cli.sweep_table import write_page
from ingradient_pl.commands.best_configuration import (
    MEAN,
    Candidate,
    average_pairs,
    candidate_table,
    choose_best,
    score_candidate,
)
from ingradient_pl.commands.inputs import AnyPath, AnyPlan, AnyStores
from ingradient_pl.commands.load import MODEL, load
from ingradient_pl.inference import checkpoint as checkpoints
from ingradient_pl.inference.learn_postprocess import learn
from ingradient_pl.inference.model import combine
from ingradient_pl.inference.postprocess import write_steps
from ingradient_pl.inference.predictor import Predictor
from ingradient_pl.messages import say, say_failure
from ingradient_pl.phrases import say_count
from ingradient_pl.short_repr import short_repr
from ingradient_pl.spec import TRUSTED
from ingradient_pl.store.store_union import AnyCases, store_paths

POSTPROCESS, ENSEMBLES = "postprocess.yaml", "ensembles"
CROSSVALS = "crossvals"
"""Where cross-validations are kept, below the folder that the command is called in, if none is named."""


class CrossValidation(NamedTuple):
    """What a cross-validation came to.

    Args:
        folder: Where its runs, predictions, state and model are.
        best: Name of the configuration or pair (``ONE+OTHER``) that predicts best; None while folds fail.
        candidates: What each configuration and pair reaches on the cases that its folds held out.
        postprocessed: What the best reaches after the post-processing that was learned; None without one.
        failures: Why folds failed, by ``CONFIGURATION/fold_NUMBER``.
    """

    folder: Path
    best: str | None
    candidates: list[Candidate]
    postprocessed: Candidate | None
    failures: dict[str, str]

    def __repr__(self) -> str:
        return short_repr(self)

    @property
    def checkpoint(self) -> Path:
        """The model: networks of all folds of the best, averaged, and the post-processing."""
        return self.folder / MODEL

    def load(self, **options: Any) -> Predictor:
        """Open the model to predict with.

        Args:
            options: As of :func:`ingradient_pl.load`: ``device``, ``step``, ``mirror``, ...
        """
        return load(self.checkpoint, **options)


def crossval(
    source: AnyPath | None = None,
    store: AnyStores | None = None,
    output: AnyPath | None = None,
    configurations: Sequence[str] | None = None,
    plan: AnyPlan | Sequence[AnyPlan] | None = None,
    folds: Sequence[int] | None = None,
    ensembles: bool = True,  # noqa: FBT001 - a key of the command
    **overrides: Any,
) -> CrossValidation:
    """Train all folds of several configurations, and make one model of the best of them or of their pairs.

    Called again with the same arguments it goes on: what is done is left alone. A fold that fails does not
    hold up the others; called again, it is tried again.

    Args:
        source: Data set to prepare first, as of ``prepare``.
        store: Folder written by ``prepare``, the store itself, or several folders; with ``source``, where to
            prepare it.
        output: Folder of the cross-validation; below ``crossvals``, by the store's name, if not given.
        configurations: Which to train: ``2d``, ``3d_fullres``, ``3d_lowres``, ``3d_cascade_fullres``, with a
            preset behind a colon (``3d_fullres:resenc_m``); all that the data set has if not given.
        plan: Plans of yours instead, files or objects; each is a configuration by its file's name. With a
            cascade's goes that of its first stage.
        folds: Numbers of the folds, from 0; all of the division if not given.
        ensembles: Whether pairs of configurations are averaged and compared as well. Maps of probabilities of
            all held-out cases are kept for that: two bytes for each output and voxel, packed.
        overrides: Groups and keys of the config, as of :func:`ingradient_pl.train`.

    Returns:
        What each reaches, which is best, and where its model is.

    Raises:
        UsageError: If there is no such configuration or key, or neither store nor source.
        FileExistsError: If the folder holds another cross-validation, or another process is at work there.
        Stopped: If it was interrupted.
    """
    told = write_overrides(overrides)
    return cross_validate(source, store, output, configurations, plan, folds, told, ensembles=ensembles)


def cross_validate(
    source: AnyPath | None,
    store: AnyStores | None,
    output: AnyPath | None,
    configurations: Sequence[str] | None,
    plan: AnyPlan | Sequence[AnyPlan] | None,
    folds: Sequence[int] | None,
    overrides: Sequence[str],
    *,
    ensembles: bool = True,
) -> CrossValidation:
    """Do what :func:`crossval` does, with overrides as they are typed behind ``ingradient-train``.

    Args:
        source: As of :func:`crossval`.
        store: As of :func:`crossval`.
        output: As of :func:`crossval`.
        configurations: As of :func:`crossval`.
        plan: As of :func:`crossval`.
        folds: As of :func:`crossval`.
        overrides: Such as ``epochs=4``; ``data.planner.KEY=VALUE`` is the planner's.
        ensembles: As of :func:`crossval`.
    """
    planner, told = read_planner(quote_paths(overrides))
    case_store = open_data(
        source, store, "A cross-validation", lambda cases: select_folds(cases, folds, told)
    )
    chosen = choose_plans(case_store, configurations, plan, planner)
    held_out = choose_held_out(case_store, chosen, folds, told)
    folder = Path(output or Path(CROSSVALS) / name_data(case_store)).absolute()
    with hold_folder(folder):
        state = begin_state(folder, case_store, told, held_out)
        keep_plans(folder, chosen.plans)
        check_folds(folder, list(chosen.plans), folds)
        mapped = chosen.compared if ensembles and len(chosen.compared) > 1 else ()
        fits = fit_configurations(folder, case_store, chosen, held_out, told, state, mapped=mapped)
        check_store(state, case_store)
        found = _compare(folder, case_store, fits, chosen.compared, parse_trust(told), ensembles=ensembles)
        write_state(folder, {**state, SUMMARY: _summarise(found)})
        write_page(folder)
    _tell(found)
    return found


def _compare(
    folder: Path,
    store: AnyCases,
    fits: Mapping[str, CrossFit],
    compared: Sequence[str],
    trusted: Sequence[str],
    *,
    ensembles: bool,
) -> CrossValidation:
    """Score what is complete, choose the best, learn its post-processing and write the model."""
    failures = {f"{name}/fold_{one}": why for name, fit in fits.items() for one, why in fit.failures.items()}
    whole = {name: fits[name] for name in compared if not fits[name].failures}
    if not whole:
        return CrossValidation(folder, None, [], None, failures)
    places: dict[tuple[str, ...], Path] = {(name,): fit.predictions for name, fit in whole.items()}
    if ensembles:
        places |= _average(whole, folder / ENSEMBLES, store)
    candidates = [score_candidate(members, place, store) for members, place in places.items()]
    best = choose_best(candidates)
    learned = learn(best.predictions, store_paths(store), store.task.in_files)
    write_steps(folder / POSTPROCESS, learned.steps, [str(trial) for trial in learned.trials])
    models = [checkpoints.read(whole[name].checkpoints, (*TRUSTED, *trusted)) for name in best.members]
    checkpoints.write_model(folder / MODEL, combine(models, learned.steps))
    after = None
    if learned.steps.steps:
        after = score_candidate(best.members, best.predictions, store, learned.steps)
    return CrossValidation(folder, best.name, candidates, after, failures)


def _average(fits: Mapping[str, CrossFit], output: Path, store: AnyCases) -> dict[tuple[str, ...], Path]:
    """Average each pair of configurations."""
    folders = {name: fit.predictions for name, fit in fits.items()}
    made_by = {name: fit.checkpoints for name, fit in fits.items()}
    return average_pairs(folders, made_by, output, store)


def _summarise(found: CrossValidation) -> dict[str, Any]:
    """Give what the state's file keeps of the results: the same for a run that was killed and went on."""
    after = found.postprocessed
    return {
        "best": found.best,
        "candidates": {one.name: one.describe() for one in found.candidates},
        "postprocessed": None if after is None else after.describe(),
        "failures": found.failures,
        "model": MODEL if found.best is not None else None,
    }


def _tell(found: CrossValidation) -> None:
    """Say what each reaches, which is best, and how to predict with it."""
    if found.candidates:
        say(candidate_table(found.candidates))
    if found.best is not None:
        say(f"Best: {found.best}. {describe_steps(found)}")
        say(f"The model: {near(found.checkpoint)} (networks of all folds and what follows them). Predict:")
        line = [
            "ingradient",
            "predict",
            "--checkpoint",
            str(near(found.folder)),
            "--source",
            "DIR",
            "--output",
            "DIR",
        ]
        say(f"  {shlex.join(line)}")
    if found.failures:
        lines = [f"{name}: {why}" for name, why in found.failures.items()]
        told = (
            "a configuration is compared once all of its folds are done; the same line again tries them, "
            "and may change trainer, data.workers and data.resident: folds that are done stay"
        )
        say_failure("\n  ".join([f"{say_count(len(lines), 'fold')} failed ({told}):", *lines]))


def describe_steps(found: CrossValidation) -> str:
    """Say what post-processing changes.

    Args:
        found: What a cross-validation came to.
    """
    if found.postprocessed is None:
        return f"Post-processing does not help ({POSTPROCESS} says what was tried)."
    before = next(one for one in found.candidates if one.name == found.best)
    means = [f"{one.dice[MEAN].mean:.4f}" for one in (before, found.postprocessed)]
    return f"Post-processing helps: {' -> '.join(means)}; the steps are in {POSTPROCESS} and in the model."
