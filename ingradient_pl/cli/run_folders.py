"""The folders of runs and sweeps: where Hydra will put them, which are taken, and how one is resumed."""

import shlex
from collections.abc import Sequence
from pathlib import Path

from hydra import initialize_config_module
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from ingradient_pl.cli.overrides import find, is_sweep, parse_trust, quote, read_paths, without

CONF, ROOT = "ingradient_pl.conf", "train"
LAST = Path("checkpoints") / "last.ckpt"
CONFIG = Path(".hydra")
TOLD = CONFIG / "resumed"
MODELS = ("*.ckpt", "checkpoints/*.ckpt")


def compose_config(overrides: Sequence[str], *, swept: bool = False) -> DictConfig:
    """Compose the whole config, Hydra's part included, as Hydra will; the values of a sweep are left out."""
    mode = RunMode.MULTIRUN if swept else RunMode.RUN
    with initialize_config_module(CONF, version_base="1.3"):
        hydra = GlobalHydra.instance().hydra
        assert hydra is not None
        return hydra.compose_config(
            ROOT, list(overrides), run_mode=mode, with_log_configuration=False, validate_sweep_overrides=False
        )


def with_folder(overrides: Sequence[str], flags: Sequence[str]) -> list[str]:
    """Name the folder of a new run or sweep once and for all, and make it.

    A name that is made from the time is made unlike all others; one that somebody chose has to be free.

    Raises:
        FileExistsError: If a run has left its model there.
    """
    kind = "sweep" if is_sweep(flags) else "run"
    key = f"hydra.{kind}.dir"
    config = compose_config(overrides, swept=kind == "sweep")
    before = HydraConfig.instance().cfg
    try:
        HydraConfig.instance().set_config(config)
        folder = Path(str(OmegaConf.select(config, key))).absolute()
    finally:
        HydraConfig.instance().cfg = before
    if "${now:" in OmegaConf.to_yaml(config.hydra[kind]):
        folder = claim(folder)
    elif kind == "run":
        refuse_models(folder)
    return [*without(overrides, key), f"{key}={quote(str(folder))}"]


def claim(folder: Path) -> Path:
    """Make a folder of this name, or of this name and the next free number."""
    number = 0
    while True:
        chosen = folder if number == 0 else folder.with_name(f"{folder.name}-{number}")
        try:
            chosen.mkdir(parents=True)
        except FileExistsError:
            number += 1
        else:
            return chosen


def models(folder: Path) -> list[Path]:
    """Give the checkpoints that a run has left in its folder."""
    return sorted(file for pattern in MODELS for file in folder.glob(pattern))


def refuse_models(folder: Path) -> None:
    """Refuse a folder that holds the model of a run, which a new one would write over.

    Raises:
        FileExistsError: If it holds one.
    """
    found = models(folder)
    if found:
        raise FileExistsError(
            f"{_near(folder)} holds a run already ({_near(found[0])}). Go on with it: "
            f"{shlex.quote(f'resume={_near(folder)}')}; or choose another folder."
        )


def with_run(overrides: Sequence[str], folder: Path) -> tuple[list[str], list[str]]:
    """Make ``resume=RUN`` (the folder of a run) go on with that run: its config, its folder, its last epoch.

    A path to a checkpoint file is left alone: it starts a new run from that file.

    Args:
        overrides: As typed.
        folder: For a copy of the config, which is a stranger's until it has been looked at.

    Returns:
        Overrides, and flags that tell Hydra where the config is.

    Raises:
        FileNotFoundError: If the folder holds no run, or the run no checkpoint yet.
        ValueError: If its config could do anything but train in this folder.
    """
    told = find(overrides, "resume")
    if told is None or told == "null":
        return list(overrides), []
    run = Path(read_paths(told)[0]).absolute()
    if not run.exists():
        raise FileNotFoundError(
            f"There is nothing to resume at {run}: name the folder of a run or a checkpoint."
        )
    if not run.is_dir():
        return list(overrides), []
    config, last = run / CONFIG / "config.yaml", run / LAST
    for file in (config, last):
        if not file.is_file():
            raise FileNotFoundError(f"{run} cannot be resumed: it has no {file.relative_to(run)}.")
    there = [f"hydra.run.dir={quote(str(run))}", f"hydra.output_subdir={TOLD.as_posix()}"]
    rest = [*without(overrides, "resume"), f"resume={quote(str(last))}", *there, "hydra/job_logging=stdout"]
    return rest, [
        "--config-path",
        str(_checked_copy(config, run, overrides, folder)),
        "--config-name",
        "config",
    ]


def _checked_copy(config: Path, run: Path, overrides: Sequence[str], folder: Path) -> Path:
    """Give a folder in which the config of a run lies once more, looked at."""
    from ingradient_pl.cli.foreign_config import read_foreign_config  # it brings torch along

    text = read_foreign_config(config, run, parse_trust(overrides), without(overrides, "resume"))
    copy = folder / "resumed" / "config.yaml"
    copy.parent.mkdir(parents=True)
    copy.write_text(text, encoding="utf-8")
    return copy.parent


def _near(path: Path) -> Path:
    """Name a path from here, where it lies below."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
