"""``ingradient-train``: one run, or ``-m`` for a sweep, composed by Hydra."""

import os
import shutil
import sys
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import hydra
import pytorch_lightning as pl
from hydra.errors import HydraException, InstantiationException
from hydra.utils import instantiate
from lightning_fabric.utilities.exceptions import MisconfigurationException
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from ingradient_pl.cli.failures import FULL_ERRORS, MISUSED, fail, plain_errors
from ingradient_pl.inference import checkpoint

COMMAND = "ingradient-train"


def train(config: DictConfig) -> float:
    """Fit what ``config`` describes; return the metric that a sweep maximises (NaN where none was logged).

    Raises:
        ValueError: If no plan was given.
    """
    if "plan" not in config:
        raise ValueError(
            "No plan was given. Write one with `ingradient plan --store DIR --output plan.yaml` "
            "and name it: plan=plan.yaml"
        )
    if config.resume is not None:
        checkpoint.content(Path(config.resume))  # refused here with a clear line, or not at all
    pl.seed_everything(config.seed, workers=True)
    data = instantiate(config.data)
    module = instantiate(config.module)
    trainer = instantiate(config.trainer, callbacks=built(config.callbacks), logger=built(config.logger))
    trainer.fit(module, data, ckpt_path=config.resume, weights_only=True)
    metric = trainer.callback_metrics.get(config.maximise)
    return float("nan") if metric is None else float(metric)


def built(group: DictConfig | None) -> list[Any]:
    """Make what a group names; null switches the group or one of its entries off."""
    return [made for made in instantiate(group or {}).values() if made is not None]


@hydra.main(version_base="1.3", config_path="pkg://ingradient_pl.conf", config_name="train")
def _job(config: DictConfig) -> float:
    return train(config)


def main() -> None:
    """Console entry: make ``plan=FILE`` and ``resume=RUN`` words that Hydra knows, then run."""
    # Lightning 2.6 on torch >= 2.12: nothing a user can act on
    warnings.filterwarnings("ignore", message=".*LeafSpec.*", category=FutureWarning)
    with tempfile.TemporaryDirectory() as folder, plain_errors(COMMAND), _errors_as_they_are():
        try:
            sys.argv[1:] = flags_last(with_run(with_plans(sys.argv[1:], Path(folder))))
            _job()
        except InstantiationException as error:
            if isinstance(error.__cause__, MisconfigurationException):
                fail(COMMAND, error.__cause__)
            if isinstance(error.__cause__, Exception):
                raise error.__cause__ from error
            raise
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
    config, last = run / ".hydra" / "config.yaml", run / "checkpoints" / "last.ckpt"
    for file in (config, last):
        if not file.is_file():
            raise FileNotFoundError(
                f"{run} is no run that can be resumed: it has no {file.relative_to(run)}."
            )
    rest = [argument for argument in arguments if argument != given]
    own = ["--config-path", str(config.parent), "--config-name", "config"]
    return [*own, *rest, f"resume={last}", f"hydra.run.dir={run}"]


if __name__ == "__main__":
    main()
