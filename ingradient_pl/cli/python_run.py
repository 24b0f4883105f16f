"""``ip.train``: what ``ingradient-train`` does, called from Python without a config in sight."""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from ingradient_pl.cli.failures import ignore_useless_warnings
from ingradient_pl.cli.overrides import quote
from ingradient_pl.cli.suggestions import translate_error
from ingradient_pl.cli.train_config import train as train_config
from ingradient_pl.cli.training_command import prepare_arguments, run_hydra, without_job_line
from ingradient_pl.commands.inputs import AnyPath, AnyPlan, AnyStores
from ingradient_pl.commands.load import load
from ingradient_pl.inference.predictor import Predictor
from ingradient_pl.messages import UsageError
from ingradient_pl.planning.plan import Plan
from ingradient_pl.planning.plan_yaml import write_plan
from ingradient_pl.scratch import scratch_folder
from ingradient_pl.short_repr import short_repr
from ingradient_pl.store.case_store import CaseStore
from ingradient_pl.store.store_union import StoreUnion, store_paths
from ingradient_pl.untouched import restore_unbegun


class Run(NamedTuple):
    """A training run that ended.

    Args:
        folder: Where its checkpoints, logs and pictures are; ``train(resume=folder)`` goes on with it.
        score: What a sweep would compare (``maximise``, else ``val/dice``); NaN where it was not logged.
    """

    folder: Path
    score: float

    def __repr__(self) -> str:
        return short_repr(self)

    def __fspath__(self) -> str:
        return str(self.folder)

    @property
    def checkpoint(self) -> Path:
        """The last state: its weights predict, and the run goes on from it."""
        return self.folder / "checkpoints" / "last.ckpt"

    def load(self, **options: Any) -> Predictor:
        """Open its last checkpoint to predict with.

        Args:
            options: As of :func:`ingradient_pl.load`: ``device``, ``step``, ``mirror``, ...
        """
        return load(self.checkpoint, **options)


def train(
    store: AnyStores | None = None,
    plan: AnyPlan | None = None,
    output: AnyPath | None = None,
    **overrides: Any,
) -> Run:
    """Train as ``ingradient-train store=STORE plan=PLAN KEY=VALUE`` does: the same run, to the weight.

    Args:
        store: Folder written by ``prepare``, or the store itself; a list of folders trains on all of them.
        plan: YAML file written by ``plan``, or the plan itself.
        output: Folder of the run; one named by the time, below ``outputs``, if not given.
        overrides: Groups and keys of the config: ``recipe="fast"``, ``epochs=4``, ``trainer="cpu"``. Keys
            inside others have two underscores for the dot, ``module__optimizer__lr=0.005``, or are given as
            ``**{"module.optimizer.lr": 0.005}``. ``resume="RUN"`` goes on with a run.

    Returns:
        Its folder, checkpoint and score.

    Raises:
        UsageError: If there is no such key or group, or no plan.
        ValueError: If store, plan and settings do not go together.
        FileNotFoundError: If a file is not there.
        Stopped: If the run was interrupted; the message says how to go on.
    """
    with scratch_folder(until_training=True) as folder:
        return run_line(_write_arguments(store, plan, output, overrides, folder))


def run_line(line: Sequence[str]) -> Run:
    """Train as ``ingradient-train`` does with what is typed behind it.

    Args:
        line: Overrides, such as ``store=DIR`` and ``epochs=4``.

    Raises:
        UsageError: If there is no such key or group, or no plan.
        ValueError: If store, plan and settings do not go together.
        FileNotFoundError: If a file is not there.
        Stopped: If the run was interrupted; the message says how to go on.
    """
    with scratch_folder(until_training=True) as folder, errors_as_raised(), restore_unbegun():
        return _run(prepare_arguments(list(line), folder))


def _write_arguments(
    store: AnyStores | None,
    plan: AnyPlan | None,
    output: AnyPath | None,
    overrides: Mapping[str, Any],
    folder: Path,
) -> list[str]:
    """Give the command line of ``ingradient-train`` that says the same."""
    if isinstance(plan, Plan):
        write_plan(folder / "plan.yaml", plan)
        plan = folder / "plan.yaml"
    given = {
        "store": None if store is None else _write_store(store),
        "plan": plan,
        "hydra.run.dir": output,
    }
    paths = [f"{key}={value}" for key, value in given.items() if value is not None]
    return [*paths, *write_overrides(overrides)]


def write_overrides(overrides: Mapping[str, Any]) -> list[str]:
    """Write keys of the config as they are typed behind ``ingradient-train``.

    Args:
        overrides: Values by key; two underscores stand for a dot.

    Raises:
        UsageError: If a value is one that no config holds.
    """
    return [f"{key.replace('__', '.')}={write_value(value)}" for key, value in overrides.items()]


def _write_store(store: AnyStores) -> str:
    """Write the folder of a store as it is, and those of several as a list."""
    given = store_paths(store) if isinstance(store, (CaseStore, StoreUnion)) else store
    if isinstance(given, (str, Path)):
        return str(given)
    paths = [str(path) for path in given]
    return paths[0] if len(paths) == 1 else write_value(paths)


def write_value(value: Any) -> str:
    """Write a value as Hydra reads it.

    >>> write_value([1, 2.5, None]), write_value({"a": True}), write_value("a b")
    ('[1,2.5,null]', '{a:true}', '"a b"')

    Args:
        value: None, a truth value, a number, a text, a path, or lists and mappings of these.

    Raises:
        UsageError: If it is none of these.
    """
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, (int, float)):
        return repr(value)
    if isinstance(value, (str, Path)):
        return quote(str(value))
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{key}:{write_value(entry)}" for key, entry in value.items()) + "}"
    if isinstance(value, Sequence):
        return "[" + ",".join(map(write_value, value)) + "]"
    raise UsageError(f"A config holds numbers, texts, lists and mappings; got {value!r}.")


def _run(arguments: Sequence[str]) -> Run:
    """Have Hydra compose the config and run it, as it does for the command."""
    folders = list[Path]()

    def job(config: Any) -> float:
        folders.append(Path(config.trainer.default_root_dir))
        return train_config(config)

    done = run_hydra(arguments, job)
    score = done.return_value  # raises what the job raised
    return Run(folders[0], float(score))


@contextmanager
def errors_as_raised() -> Iterator[None]:
    """Raise what a setting did wrong, and not what Hydra wraps it in; leave a Hydra around us as it was."""
    outer = GlobalHydra.instance().hydra
    GlobalHydra.instance().clear()
    with warnings.catch_warnings(), without_job_line():
        ignore_useless_warnings()
        try:
            yield
        except (HydraException, OmegaConfBaseException) as error:
            raise translate_error(error) from error
        finally:
            GlobalHydra.instance().hydra = outer
