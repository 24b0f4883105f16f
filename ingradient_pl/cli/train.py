"""``ingradient-train``: one run, or ``-m`` for a sweep, composed by Hydra; help comes without torch."""

import json
import math
import os
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException, InstantiationException
from hydra.types import RunMode
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from ingradient_pl.cli.failures import FULL_ERRORS, MISUSED, fail, plain_errors
from ingradient_pl.cli.overrides import is_sweep, quote_paths, read_arguments, with_plans
from ingradient_pl.cli.run_folders import with_folder, with_run
from ingradient_pl.cli.sweep_table import SCORE
from ingradient_pl.lightning.stopped import Stopped

COMMAND = "ingradient-train"
TERMINATED, INTERRUPTED = 143, 130
"""Exit codes of a run that was told to stop, as shells have them."""
RUNS = ("-m", "--multirun", "-r", "--run")
"""Flags with which something is trained; all others only show something."""


@hydra.main(version_base="1.3", config_path="pkg://ingradient_pl.conf", config_name="train")
def _job(config: DictConfig) -> float:
    from ingradient_pl.cli.train_config import train

    swept = HydraConfig.get().mode == RunMode.MULTIRUN
    return _apart(config) if swept and config.trainer.get("strategy", "auto") != "auto" else train(config)


def _apart(config: DictConfig) -> float:
    """Train one job of a sweep in a process of its own, where it starts its ranks as any single run does.

    A rank is started with its parent's command line, which would be the sweep's; and the parent of one job
    is no good for the next: Lightning leaves the ranks' environment behind in it.

    Raises:
        ChildProcessError: If it fails.
    """
    told, folder = HydraConfig.get().overrides, HydraConfig.get().runtime.output_dir
    paths = [entry for entry in told.hydra if entry.startswith("hydra.searchpath=")]
    line = [sys.executable, "-m", "ingradient_pl.cli.train", *told.task, *paths, f"hydra.run.dir={folder}"]
    code = subprocess.run(line, check=False).returncode
    if code:
        raise ChildProcessError(f"The run in {folder} ended with exit code {code}: see what it said above.")
    score = json.loads((Path(folder) / SCORE).read_text(encoding="utf-8"))[config.maximise]
    return math.nan if score is None else float(score)


def main() -> None:
    """Console entry: quote paths, make ``plan=FILE`` and ``resume=RUN`` words that Hydra knows, then run."""
    # Lightning 2.6 on torch >= 2.12: nothing a user can act on
    warnings.filterwarnings("ignore", message=".*LeafSpec.*", category=FutureWarning)
    with tempfile.TemporaryDirectory() as folder, plain_errors(COMMAND), _errors_as_they_are():
        try:
            sys.argv[1:] = prepare_arguments(sys.argv[1:], Path(folder))
            _job()
        except InstantiationException as error:
            if isinstance(error.__cause__, (ValueError, OSError)):
                raise error.__cause__ from error
            fail(COMMAND, ValueError(" ".join(str(error.__cause__ or error).split())))
        except (HydraException, OmegaConfBaseException) as error:
            fail(COMMAND, error, MISUSED)
        except Stopped as stopped:
            print(f"{COMMAND}: {stopped}", file=sys.stderr)
            sys.exit(TERMINATED if stopped.by_signal else INTERRUPTED)


def prepare_arguments(arguments: list[str], folder: Path) -> list[str]:
    """Give the command line that Hydra is handed: overrides it can read, then its flags.

    Args:
        arguments: As typed.
        folder: For copies of the plans and of a resumed run's config.
    """
    told, flags = read_arguments(arguments)
    overrides = quote_paths(told, swept=is_sweep(flags))
    overrides, there = with_run(with_plans(overrides, folder), folder)
    runs = all(flag in RUNS for flag in flags) and not os.environ.get("LOCAL_RANK")
    if runs and not there:
        overrides = with_folder(overrides, flags)
    return [*overrides, *there, *flags]


@contextmanager
def _errors_as_they_are() -> Iterator[None]:
    """Have Hydra hand errors on, for plain_errors to say them; afterwards all is as it was."""
    before = os.environ.get(FULL_ERRORS)
    os.environ[FULL_ERRORS] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[FULL_ERRORS]
        else:
            os.environ[FULL_ERRORS] = before


if __name__ == "__main__":
    main()
