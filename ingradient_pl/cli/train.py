"""``ingradient-train``: one run, or ``-m`` for a sweep, composed by Hydra."""

import json
import math
import os
import shutil
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import hydra
import pytorch_lightning as pl
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException, InstantiationException
from hydra.types import RunMode
from hydra.utils import instantiate
from lightning_fabric.utilities.exceptions import MisconfigurationException
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from ingradient_pl.cli.failures import FULL_ERRORS, MISUSED, UsageError, fail, plain_errors
from ingradient_pl.cli.sweep_table import SCORE
from ingradient_pl.inference import checkpoint
from ingradient_pl.planning.plan_yaml import read_plan

COMMAND = "ingradient-train"
LAST = Path("checkpoints") / "last.ckpt"
RESUMED = Path(".hydra") / "resumed"
"""Where the config of a run that is taken up again waits until it trains."""

PATHS = ("store", "data.split.file")
TERMINATED, INTERRUPTED = 143, 130
"""Exit codes of a run that was told to stop, as shells have them."""


def train(config: DictConfig) -> float:
    """Fit what ``config`` describes; return the metric that a sweep maximises (NaN where none was logged).

    Raises:
        UsageError: If no plan was given.
    """
    if "plan" not in config:
        raise UsageError(
            "No plan was given. Write one with `ingradient plan --store DIR --output plan.yaml` "
            "and name it: plan=plan.yaml"
        )
    _check_counts(config)
    if config.resume is not None and "optimizer_states" not in checkpoint.read_content(Path(config.resume)):
        raise ValueError(
            f"{config.resume} holds a model, but no state of its training (it was imported, perhaps): it can "
            "predict, but not be trained further by resume=."
        )
    pl.seed_everything(config.seed, workers=True)
    data = instantiate(config.data)
    module = instantiate(config.module)
    callbacks = [
        *instantiate_group(config.callbacks),
        pl.callbacks.LambdaCallback(on_train_start=_keep_config),
    ]
    trainer = instantiate(config.trainer, callbacks=callbacks, logger=instantiate_group(config.logger))
    try:
        trainer.fit(module, data, ckpt_path=config.resume, weights_only=True)
    except SystemExit as asked:  # how Lightning leaves when it is told to, whatever the reason
        run, epoch = trainer.default_root_dir, trainer.current_epoch
        told = f"The run was stopped in epoch {epoch} (from 0). Go on with it: resume={run}"
        raise Stopped(told, trainer.received_sigterm) from asked
    metric = float(trainer.callback_metrics.get(config.maximise, float("nan")))
    last = Path(trainer.default_root_dir) / LAST
    if trainer.is_global_zero and last.is_file():
        print(f"Trained, {config.maximise} {metric:.4f}. The model: {last}; its scores:")
        print(f"  ingradient predict --checkpoint {last} --source DATASET --only validation")
    return metric


class Stopped(Exception):  # noqa: N818 - no error of anybody's
    """A run that was told to stop before its end: what to do, and whether by SIGTERM or from the keyboard."""


def _check_counts(config: DictConfig) -> None:
    """Refuse what is no count before anything is built of it."""
    for name in ("seed", "epochs", "batches_per_epoch"):
        found = config[name]
        none = name == "batches_per_epoch" and found is None
        if not none and (not isinstance(found, int) or (found == 0 and name != "seed")):
            raise UsageError(f"{name} must be a whole number and not 0, got {found!r}.")


def _keep_config(trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
    """Once a resumed run trains, what it was told becomes its config; what failed before leaves none."""
    told = Path(trainer.default_root_dir) / RESUMED
    if trainer.is_global_zero and told.is_dir():
        for file in told.iterdir():
            file.replace(told.parent / file.name)
        told.rmdir()


def instantiate_group(group: DictConfig | None) -> list[Any]:
    """Make what a group names; null switches the group or one of its entries off."""
    return [made for made in instantiate(group or {}).values() if made is not None]


@hydra.main(version_base="1.3", config_path="pkg://ingradient_pl.conf", config_name="train")
def _job(config: DictConfig) -> float:
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
    """Console entry: make ``plan=FILE`` and ``resume=RUN`` words that Hydra knows, then run."""
    # Lightning 2.6 on torch >= 2.12: nothing a user can act on
    warnings.filterwarnings("ignore", message=".*LeafSpec.*", category=FutureWarning)
    with tempfile.TemporaryDirectory() as folder, plain_errors(COMMAND), _errors_as_they_are():
        try:
            refuse_used(sys.argv[1:])
            told = with_plans(with_absolute_paths(sys.argv[1:]), Path(folder))
            sys.argv[1:] = flags_last(with_run(told))
            _job()
        except Stopped as stopped:
            said, by_signal = stopped.args
            print(f"{COMMAND}: {said}", file=sys.stderr)
            sys.exit(TERMINATED if by_signal else INTERRUPTED)
        except InstantiationException as error:
            if isinstance(error.__cause__, (ValueError, OSError)):
                raise error.__cause__ from error
            if isinstance(error.__cause__, MisconfigurationException):
                fail(COMMAND, error.__cause__)
            fail(COMMAND, ValueError(" ".join(str(error).split())))
        except (HydraException, OmegaConfBaseException) as error:
            fail(COMMAND, error, MISUSED)
        except MisconfigurationException as error:
            fail(COMMAND, error)


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


def flags_last(arguments: list[str]) -> list[str]:
    """Let ``-m`` stand anywhere: Hydra's parser takes no flag between overrides.

    >>> flags_last(["store=store", "-m", "seed=0,1"])
    ['store=store', 'seed=0,1', '-m']
    """
    flags = [argument for argument in arguments if argument in ("-m", "--multirun")]
    return [*(argument for argument in arguments if argument not in flags), *flags]


def with_plans(arguments: list[str], folder: Path) -> list[str]:
    """Make each ``plan=FILE.yaml[,FILE.yaml]`` an option of the config group ``plan``.

    Plans are copied into ``folder``, which joins Hydra's search path: so any key of a plan can be overridden
    or swept, and child processes of the run find it too.

    Raises:
        FileNotFoundError: If a plan does not exist.
    """
    given = [argument for argument in arguments if argument.startswith("plan=")]
    files = [Path(name) for argument in given for name in argument.removeprefix("plan=").split(",")]
    if not files or not all(file.suffix in (".yaml", ".yml") for file in files):
        return arguments
    (folder / "plan").mkdir()
    names = []
    for i, file in enumerate(files):
        if not file.is_file():
            raise FileNotFoundError(
                f"No plan at {file}. Write one: ingradient plan --store DIR --output {file}"
            )
        names.append(file.stem if file.stem not in names else f"{file.stem}_{i}")
        read_plan(file)  # refused here with a clear line, or not at all
        shutil.copyfile(file, folder / "plan" / f"{names[-1]}.yaml")
    rest = [argument for argument in arguments if argument not in given]
    paths = [entry for entry in rest if entry.startswith("hydra.searchpath=[")]
    others = "".join(f",{entry[len('hydra.searchpath=[') : -1]}" for entry in paths)
    rest = [argument for argument in rest if argument not in paths]
    return [*rest, f"plan={','.join(names)}", f"hydra.searchpath=[file://{folder}{others}]"]


def with_run(arguments: list[str]) -> list[str]:
    """Make ``resume=RUN`` (the folder of a run) go on with that run: its config, its folder, its last epoch.

    A path to a checkpoint file is left alone: it starts a new run from that file.

    Raises:
        FileNotFoundError: If the folder holds no run, or the run no checkpoint yet.
    """
    given = next((argument for argument in arguments if argument.startswith("resume=")), None)
    if given is None or given == "resume=null":
        return arguments
    run = Path(given.removeprefix("resume=")).absolute()
    if not run.exists():
        raise FileNotFoundError(
            f"There is nothing to resume at {run}: name the folder of a run or a checkpoint."
        )
    if not run.is_dir():
        return arguments
    config, last = run / ".hydra" / "config.yaml", run / LAST
    for file in (config, last):
        if not file.is_file():
            raise FileNotFoundError(
                f"{run} is no run that can be resumed: it has no {file.relative_to(run)}."
            )
    rest = [argument for argument in arguments if argument != given]
    own = ["--config-path", str(config.parent), "--config-name", "config"]
    there = [f"hydra.run.dir={run}", f"hydra.output_subdir={RESUMED.as_posix()}", "hydra/job_logging=stdout"]
    return [*own, *rest, f"resume={last}", *there]


def refuse_used(arguments: list[str]) -> None:
    """Refuse a new run in the folder of a finished one, whose model it would write over.

    Raises:
        FileExistsError: If there is one.
    """
    given = {name: value for name, _, value in (argument.partition("=") for argument in arguments)}
    run = Path(given.get("hydra.run.dir", ""))
    if "hydra.run.dir" in given and "resume" not in given and (run / LAST).is_file():
        raise FileExistsError(
            f"{run} holds a run already ({run / LAST}). Go on with it: resume={run}; or choose another "
            "folder."
        )


def with_absolute_paths(arguments: list[str]) -> list[str]:
    """Name stores and splits by their whole path, so that a run can be taken up from any folder.

    >>> with_absolute_paths(["store=/a/b,/c", "seed=1"])
    ['store=/a/b,/c', 'seed=1']
    """
    out = []
    for argument in arguments:
        name, _, value = argument.partition("=")
        if name in PATHS and Path(value.split(",")[0]).exists():
            value = ",".join(str(Path(one).absolute()) for one in value.split(","))
        out.append(f"{name}={value}" if name in PATHS else argument)
    return out


if __name__ == "__main__":
    main()
