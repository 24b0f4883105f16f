"""Every fold of a plan trained by one sweep of Hydra, and asked about the cases it was not trained on."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from hydra import initialize_config_module
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.utils import instantiate
from omegaconf import DictConfig

from ingradient_pl.cli.data_first import with_loss
from ingradient_pl.cli.overrides import find, quote, quote_paths, read_arguments, without
from ingradient_pl.cli.python_run import errors_as_raised
from ingradient_pl.cli.run_folders import CONF, ROOT, compose_config, hold_folder
from ingradient_pl.cli.sweep_job import train_job
from ingradient_pl.cli.sweep_table import REASON
from ingradient_pl.cli.train import prepare_arguments
from ingradient_pl.commands.inputs import AnyPath, AnyPlan, AnyStore, open_plan, open_store
from ingradient_pl.commands.predict import VALIDATION, predict
from ingradient_pl.datasets.split_records import Split
from ingradient_pl.datasets.splits import Fold
from ingradient_pl.inference.answer_files import DEFAULT_ENDING
from ingradient_pl.inference.probabilities import ENDING
from ingradient_pl.lightning.run_files import LAST
from ingradient_pl.messages import UsageError
from ingradient_pl.planning.plan_yaml import write_plan
from ingradient_pl.scratch import scratch_folder
from ingradient_pl.short_repr import short_repr
from ingradient_pl.store.case_store import CaseStore

NUMBER, SUBFOLDER = "data.split.number", "fold_${data.split.number}"
PREDICTIONS, PLAN = "predictions", "plan.yaml"
MULTIRUN = "hydra.mode=MULTIRUN"
"""What the flag ``-m`` tells the jobs of a sweep."""
FIXED = ("plan", "store", "resume", "hydra.sweep.dir", "hydra.sweep.subdir", "hydra.run.dir", "hydra/sweeper")
"""What no override may say: each is decided here."""


class CrossFit(NamedTuple):
    """All folds of a plan.

    Args:
        predictions: Folder with ``CASE.nii.gz`` of each held-out case, on its native grid, by the fold that
            held it out; ``CASE.npz`` beside it where probabilities were asked for.
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


@dataclass(frozen=True)
class FoldJob:
    """What a launcher runs for a fold, here or on another machine: train it, then segment its held-out cases.

    A fold that is trained is not trained again, and a case that its model has segmented is left as it is.

    Args:
        predictions: Folder of the segmentations.
        probabilities: Whether to write a map for each output beside each.
    """

    predictions: Path
    probabilities: bool

    def __call__(self, config: DictConfig) -> float:
        """Give the score of the run, as any job of a sweep does.

        Raises:
            RuntimeError: If a held-out case cannot be segmented.
        """
        score = train_job(config)
        done = predict(
            Path(HydraConfig.get().runtime.output_dir) / LAST,
            config.store,
            self.predictions,
            VALIDATION,
            device="cpu" if config.trainer.accelerator == "cpu" else None,
            resume=True,
            save_probabilities=self.probabilities,
            trust=list(config.trust),
        )
        if done.failures:
            raise RuntimeError(
                f"{len(done.failures)} held-out cases failed: {'; '.join(map(str, done.failures))}"
            )
        return score


def cross_fit(
    store: AnyStore,
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
        store: Folder written by ``prepare``, or the store itself.
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
    place, case_store, decided = Path(folder).absolute(), open_store(store), open_plan(plan)
    check_overrides(overrides)
    divided = divide(case_store, overrides)
    held_out = {number: divided[number].kept for number in _numbers(folds, divided)}
    check_held_out(held_out)
    with hold_folder(place), scratch_folder() as temporary:
        for number in held_out:
            (place / f"fold_{number}" / REASON).unlink(missing_ok=True)
        write_plan(temporary / PLAN, decided)
        line = [f"store={case_store.path}", f"plan={temporary / PLAN}", *with_loss(overrides, decided)]
        line = [f"{NUMBER}={','.join(map(str, held_out))}", *line, f"hydra.sweep.subdir={SUBFOLDER}"]
        line += [f"hydra.sweep.dir={quote(str(place))}", "-m"]
        job = FoldJob(place / PREDICTIONS, probabilities)
        try:
            sweep(line, job, temporary)
        except Exception:
            if not any((place / f"fold_{number}" / REASON).is_file() for number in held_out):
                raise  # no job's fault
    return collect(place, held_out, probabilities=probabilities)


def divide(store: CaseStore, overrides: Sequence[str]) -> list[Split]:
    """Give every fold of a store, as the overrides divide it.

    Args:
        store: The cases.
        overrides: As behind ``ingradient-train``; those of ``data.split`` count.
    """
    with errors_as_raised():
        own = [entry for entry in overrides if entry.lstrip("+").startswith("data.split.")]
        config = compose_config(quote_paths([f"store={store.path}", *own]))
        fold: Fold = instantiate(config.data.split)
    return fold.splits(store.cases)


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


def sweep(line: Sequence[str], job: FoldJob, temporary: Path) -> None:
    """Have Hydra run a job for each value of a sweep, in this process or by the launcher that is named.

    Args:
        line: As behind ``ingradient-train``, with ``-m``.
        job: What is run.
        temporary: For copies of the plan until the sweep's folder has them.
    """
    with errors_as_raised():
        told, _ = read_arguments(prepare_arguments(list(line), temporary))
        with initialize_config_module(CONF, version_base="1.3"):
            hydra = GlobalHydra.instance().hydra
            assert hydra is not None
            hydra.multirun(ROOT, job, [*told, MULTIRUN], with_log_configuration=False)


def collect(folder: Path, held_out: dict[int, tuple[str, ...]], *, probabilities: bool = False) -> CrossFit:
    """Look at what a folder of folds holds, and train nothing.

    Args:
        folder: As :func:`cross_fit` was given.
        held_out: Names of the cases that each fold holds out.
        probabilities: Whether a case needs its maps to count as done.
    """
    predictions, runs, failures = folder / PREDICTIONS, dict[int, Path](), dict[int, str]()
    endings = (DEFAULT_ENDING, ENDING) if probabilities else (DEFAULT_ENDING,)
    for number, names in held_out.items():
        run = folder / f"fold_{number}"
        wanted = [predictions / f"{name}{ending}" for name in names for ending in endings]
        missing = [file for file in wanted if not file.is_file()]
        if (run / REASON).is_file():
            failures[number] = (run / REASON).read_text(encoding="utf-8").strip().splitlines()[-1]
        elif not (run / LAST).is_file():
            failures[number] = f"it left no {LAST}"
        elif missing:
            failures[number] = f"{len(missing)} held-out predictions are missing, such as {missing[0]}"
        else:
            runs[number] = run
    return CrossFit(predictions, runs, held_out, failures)


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
