"""One run, or ``-m`` for a sweep, composed by Hydra; help comes without torch."""

import math
import os
import shlex
import sys
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from itertools import pairwise
from pathlib import Path
from typing import Any

import hydra
from hydra import initialize_config_dir, initialize_config_module
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import JobReturn, JobStatus
from hydra.errors import HydraException
from hydra.types import RunMode, TaskFunction
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from ingradient_pl.cli.data_first import with_data
from ingradient_pl.cli.failures import (
    FULL_ERRORS,
    ignore_useless_warnings,
    is_first_rank,
    plain_errors,
    stop_in_one_line,
)
from ingradient_pl.cli.overrides import (
    AUTO,
    check_form,
    find,
    is_sweep,
    quote,
    quote_paths,
    read_arguments,
    read_paths,
    with_direction,
    without,
)
from ingradient_pl.cli.plan_overrides import name_plans, with_plans
from ingradient_pl.cli.requeue import requeue_when_told
from ingradient_pl.cli.resume import with_run, with_sweep
from ingradient_pl.cli.run_folders import CONF, ROOT, hold_folder, is_requeued, near, with_folder
from ingradient_pl.cli.submitit_jobs import keep_jobs
from ingradient_pl.cli.suggestions import translate_error
from ingradient_pl.cli.sweep_table import show_table
from ingradient_pl.lightning.run_files import find_state
from ingradient_pl.scratch import scratch_folder
from ingradient_pl.untouched import restore_unbegun
from ingradient_pl.workers.stopped import Stopped
from ingradient_pl.working_directory import InWorkingDirectory, join_working_directory

COMMAND = "ingradient-train"
RUNS = ("-m", "--multirun", "-r", "--run")
"""Flags with which something is trained; all others only show something."""
RESUMED = ["--config-path", "--config-name"]
"""Flags of the config that a run goes on with, each followed by its value."""


_failures: list[Exception] = []
"""What ended a single run, on its way past Hydra."""


def _job(config: DictConfig) -> float:
    if HydraConfig.get().mode == RunMode.MULTIRUN:
        from ingradient_pl.cli.sweep_job import train_job

        return train_job(config)
    with stop_in_one_line(COMMAND):
        from ingradient_pl.cli.train_config import train

    try:
        return train(config)
    except Exception as error:  # noqa: BLE001 - raised again, without Hydra's line about overrides nobody typed
        _failures.append(error)
        return math.nan


def run_hydra(arguments: Sequence[str], job: TaskFunction, *, logged: bool = False) -> Any:
    """Have Hydra compose a prepared line and run it, or each job of its sweep.

    ``hydra.main`` does the same, but composes once more to learn which of the two it is.

    Args:
        arguments: Overrides, then flags, as :func:`prepare_arguments` gives them.
        job: What is called with a composed config.
        logged: Whether Hydra sets logging up as the config says.

    Returns:
        Hydra's record of the run, which raises what the run raised; of a sweep, what its sweeper gives.
    """
    overrides, flags = read_arguments(arguments)
    named = dict(pairwise([*flags, ""]))
    folder = named.get("--config-path")
    opened = initialize_config_module(CONF, "train", "1.3") if folder is None else None
    with (
        requeue_when_told(),
        keep_jobs(overrides),
        opened or initialize_config_dir(str(folder), "train", "1.3"),
    ):
        composer: Any = GlobalHydra.instance().hydra
        run, mode = (composer.multirun, "MULTIRUN") if is_sweep(flags) else (composer.run, "RUN")
        line = [*overrides, f"hydra.mode={mode}"]
        return run(
            named.get("--config-name", ROOT),
            task_function=InWorkingDirectory(job),
            overrides=line,
            with_log_configuration=logged,
        )


def _show() -> None:
    """Do what Hydra's other flags ask for, such as ``--cfg job``."""
    hydra.main("pkg://ingradient_pl.conf", ROOT, "1.3")(_job)()


def main() -> None:
    """Console entry: quote paths, make ``plan=FILE`` and ``resume=RUN`` words that Hydra knows, then run."""
    join_working_directory()
    ignore_useless_warnings()
    with (
        scratch_folder(until_training=True) as folder,
        plain_errors(COMMAND),
        stop_in_one_line(COMMAND, starting=False),
        _errors_as_they_are(),
        restore_unbegun(),
    ):
        sweep = None
        try:
            sys.argv[1:] = prepare_arguments(sys.argv[1:], folder)
            sweep = sweep_folder(sys.argv[1:])
            with _hold_target(sys.argv[1:]):
                if _trains(sys.argv[1:]):
                    run_hydra(sys.argv[1:], _job, logged=True)
                else:
                    _show()
            if _failures:
                raise _failures.pop()
        except Stopped as stopped:
            if sweep is None:
                raise
            told = f"The sweep was stopped. Go on with it: {shlex.quote(f'resume={near(sweep)}')}"
            raise Stopped(told, by_signal=stopped.by_signal) from None
        except (HydraException, OmegaConfBaseException, ValueError, OSError, RuntimeError) as error:
            if sweep is not None:
                show_table(sweep)
            if isinstance(error, (HydraException, OmegaConfBaseException)):
                raise translate_error(error) from error
            raise


def _trains(arguments: list[str]) -> bool:
    """Whether a prepared line has no flags of Hydra's but those of a run, a sweep or a resumed config."""
    others = [flag for flag in read_arguments(arguments)[1] if flag not in RUNS]
    return not others or (others[::2] == RESUMED and Path(others[1]).is_absolute())


def prepare_arguments(arguments: list[str], folder: Path) -> list[str]:
    """Give the command line that Hydra is handed: overrides it can read, then its flags.

    Args:
        arguments: As typed.
        folder: For copies of the plans until the run's own folder is known.

    Raises:
        UsageError: If something is not ``KEY=VALUE``.
    """
    told, flags = read_arguments(arguments)
    check_form(told, COMMAND)
    if (find(told, "hydra.mode") or "").upper() == "MULTIRUN":
        told, flags = without(told, "hydra.mode"), [*flags, "-m"]
    overrides = with_direction(quote_paths(told, swept=is_sweep(flags)))
    if is_first_rank() and not all(flag in RUNS for flag in flags):  # something is shown, nothing trained
        overrides, there = with_run(with_plans(overrides, folder), folder)
        return [*overrides, *there, *flags]
    overrides, flags = with_sweep(overrides, flags)
    overrides, there = with_run(overrides, folder)
    if not is_first_rank():
        overrides = _of_rank(with_plans(overrides, folder), folder)
    elif not there:
        overrides = with_data(overrides, folder, swept=is_sweep(flags))
        overrides = with_folder(name_plans(overrides, folder), flags, folder)
    return [*overrides, *there, *flags]


def _of_rank(overrides: list[str], folder: Path) -> list[str]:
    """Let a further rank write no config, and nothing at all where the first one chooses the folder."""
    chosen = find(overrides, "hydra.run.dir") or quote(str(folder / "rank"))
    rest = without(overrides, "hydra.run.dir", "hydra.output_subdir")
    if find(rest, "resume") == AUTO or is_requeued():
        last = find_state(Path(read_paths(chosen)[0]).absolute())
        rest = [*without(rest, "resume"), f"resume={'null' if last is None else quote(str(last))}"]
    return [*rest, f"hydra.run.dir={chosen}", "hydra.output_subdir=null"]


def sweep_folder(arguments: list[str]) -> Path | None:
    """Give the folder of the sweep that a prepared line starts; None where it starts none.

    Args:
        arguments: Overrides and flags, without the program's name.
    """
    overrides, flags = read_arguments(arguments)
    told = find(overrides, "hydra.sweep.dir") if is_sweep(flags) else None
    return None if told is None else Path(read_paths(told)[0])


def _hold_target(arguments: list[str]) -> AbstractContextManager[None]:
    """Hold the folder of the run, or of the sweep, that a prepared line starts."""
    overrides, flags = read_arguments(arguments)
    key = "hydra.sweep.dir" if is_sweep(flags) else "hydra.run.dir"
    told = find(overrides, key)
    if told is None or not is_first_rank() or not _trains(arguments):
        return nullcontext()
    return hold_folder(Path(read_paths(told)[0]))


@contextmanager
def _errors_as_they_are() -> Iterator[None]:
    """Have Hydra hand errors on, for plain_errors to say them; afterwards all is as it was."""
    before = os.environ.get(FULL_ERRORS)
    os.environ[FULL_ERRORS] = "1"
    try:
        with without_job_line():
            yield
    finally:
        if before is None:
            del os.environ[FULL_ERRORS]
        else:
            os.environ[FULL_ERRORS] = before


@contextmanager
def without_job_line() -> Iterator[None]:
    """Keep Hydra from writing ``Error executing job with overrides``: the reason itself is told after it."""
    before: Any = vars(JobReturn)["return_value"]

    def give(job: JobReturn) -> Any:
        if job.status == JobStatus.FAILED:
            raise job._return_value
        return before.fget(job)

    setattr(JobReturn, "return_value", property(give, before.fset))  # noqa: B010 - a property of Hydra's own
    try:
        yield
    finally:
        setattr(JobReturn, "return_value", before)  # noqa: B010 - as above
