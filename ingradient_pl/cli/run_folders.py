"""The folders of runs and sweeps: where Hydra will put them, which are taken, and who writes there."""

import os
import shlex
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from hydra import initialize_config_module
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from ingradient_pl.cli.overrides import AUTO, find, is_sweep, quote, read_paths, without
from ingradient_pl.cli.run_settings import same_settings
from ingradient_pl.cli.search_path import SEARCHED, searched_places, with_searched
from ingradient_pl.cli.sweep_files import write_sweep
from ingradient_pl.files import check_can_be_folder, replace_file
from ingradient_pl.lightning.run_files import LAST, TOLD, find_checkpoints, find_state
from ingradient_pl.messages import UsageError
from ingradient_pl.store.metadata import DATASET, find_store
from ingradient_pl.untouched import FolderBefore, keep_noted, note_folder, restore_unbegun

CONF, ROOT = "ingradient_pl.conf", "train"
MODELS = (".", "checkpoints")
"""Folders of a run that hold its checkpoints."""
OWN = ".hydra"
"""Below a run or a sweep: its config, and copies of its plans."""
BY_TIME = "${now:"


def is_requeued() -> bool:
    """Whether SLURM has started this job before."""
    return int(os.environ.get("SLURM_RESTART_COUNT") or 0) > 0


def compose_config(overrides: Sequence[str], *, swept: bool = False) -> DictConfig:
    """Compose the whole config, Hydra's part included, as Hydra will; the values of a sweep are left out.

    Args:
        overrides: As typed.
        swept: Whether some of them have several values.
    """
    mode = RunMode.MULTIRUN if swept else RunMode.RUN
    with initialize_config_module(CONF, version_base="1.3"):
        hydra = GlobalHydra.instance().hydra
        assert hydra is not None
        return hydra.compose_config(
            ROOT, list(overrides), run_mode=mode, with_log_configuration=False, validate_sweep_overrides=False
        )


def with_folder(overrides: Sequence[str], flags: Sequence[str], copies: Path) -> list[str]:
    """Name the folder of a run or sweep once and for all, make it, and put copies of its plans there.

    A folder named by the time gets a name unlike all others; one that somebody chose has to be free, or what
    lies there has to be what ``resume`` goes on with.

    Args:
        overrides: Of a new run; plans are named as :func:`ingradient_pl.cli.plan_overrides.name_plans` does.
        flags: Of Hydra.
        copies: Where the copies of the plans are so far.

    Raises:
        FileExistsError: If a run has left its model there.
        UsageError: If ``resume=auto`` has no folder to look into, or a config asks for a sweep on its own.
    """
    swept = is_sweep(flags)
    key = "hydra.sweep.dir" if swept else "hydra.run.dir"
    planned = (copies / "plan").is_dir()
    config = compose_config(with_searched(overrides, copies) if planned else overrides, swept=swept)
    if not swept and config.hydra.mode == RunMode.MULTIRUN:
        raise UsageError("The config says hydra.mode=MULTIRUN, which starts a sweep: say -m beside it.")
    folder, by_time = _resolve(config, key), BY_TIME in OmegaConf.to_yaml(config.hydra[key.split(".")[1]])
    if by_time:
        folder = _choose(folder, config, overrides, key)
    else:
        note_folder(FolderBefore.of(folder))
    refuse_data(folder)
    refuse_links(folder)
    rest = [*without(overrides, key), f"{key}={quote(str(folder))}"]
    if swept:
        write_sweep(
            folder, [*without(overrides, key, "resume", SEARCHED), *_foreign_places(overrides, folder)]
        )
        rest = [*without(rest, "resume", "hydra.output_subdir"), f"hydra.output_subdir={TOLD.as_posix()}"]
    else:
        rest = take_folder(folder, rest, config)
    if planned:
        for file in (copies / "plan").iterdir():
            replace_file(folder / OWN / "plan" / file.name, file.read_bytes())
        rest = with_searched(rest, folder / OWN)
    return rest


def _foreign_places(overrides: Sequence[str], folder: Path) -> list[str]:
    """Give where configs are looked for but in the sweep's own folder, which may be moved."""
    own = f"file://{folder / OWN}"
    places = [quote(place) for place in searched_places(overrides) if place != own]
    return [f"{SEARCHED}=[{','.join(places)}]"] if places else []


def _resolve(config: DictConfig, key: str) -> Path:
    before = HydraConfig.instance().cfg
    try:
        HydraConfig.instance().set_config(config)
        return Path(os.path.abspath(str(OmegaConf.select(config, key))))  # noqa: PTH100 - without '..'
    finally:
        HydraConfig.instance().cfg = before


def _choose(folder: Path, config: DictConfig, overrides: Sequence[str], key: str) -> Path:
    """Make a folder that is named by the time; within a job of SLURM its name is that of job and line."""
    job = os.environ.get("SLURM_JOB_ID")
    again = find(overrides, "resume") == AUTO or is_requeued()
    if job:
        plain: Any = OmegaConf.to_container(config.hydra[key.split(".")[1]], resolve=False)
        line = zlib.crc32(" ".join(sorted(without(overrides, "resume"))).encode())
        folder = Path(plain["dir"].split(BY_TIME)[0]).absolute() / f"slurm-{job}-{line:08x}"
        if again and folder.is_dir():
            note_folder(FolderBefore.of(folder))
            return folder
    elif again:
        raise UsageError(f"resume=auto needs a folder that is the same each time: {key}=DIR")
    return claim(folder)


def claim(folder: Path) -> Path:
    """Make a folder of this name, or of this name and the next free number.

    Args:
        folder: The name that is tried first; folders above are made.
    """
    number = 0
    while True:
        chosen = folder if number == 0 else folder.with_name(f"{folder.name}-{number}")
        before = FolderBefore.of(chosen)
        try:
            chosen.mkdir(parents=True)
        except FileExistsError:
            number += 1
        else:
            note_folder(before)
            return chosen


def take_folder(folder: Path, overrides: Sequence[str], config: DictConfig) -> list[str]:
    """Say what becomes of a run's folder: a new run, or one that goes on with what is there.

    Args:
        folder: Of the run.
        overrides: What was told; ``resume=auto`` becomes the checkpoint, or null.
        config: What they compose to.

    Raises:
        FileExistsError: If a new run would write over the model of another one.
    """
    told = find(overrides, "resume")
    last, found = find_state(folder) or folder / LAST, models(folder)
    goes_on = told == AUTO or (told in (None, "null") and is_requeued())
    if found and told not in (None, "null", AUTO):
        file = Path(read_paths(str(told))[0]).absolute()
        goes_on = file.is_relative_to(folder)
        last = file if goes_on else last
        goes_on = goes_on or same_settings(folder, config, ignored=())
    if found and not (goes_on and last.is_file()):
        refuse_models(folder)
    rest = without(overrides, "resume") if goes_on else list(overrides)
    if found:
        rest = [*without(rest, "hydra.output_subdir"), f"hydra.output_subdir={TOLD.as_posix()}"]
        return [*rest, f"resume={quote(str(last))}"]
    return rest


def models(folder: Path) -> list[Path]:
    """Give the checkpoints that a run has left in its folder.

    Args:
        folder: Of a run; it need not exist.
    """
    return sorted(file for place in MODELS for file in find_checkpoints(folder / place))


def refuse_models(folder: Path) -> None:
    """Refuse a folder that holds the model of a run, which a new one would write over.

    Args:
        folder: It need not exist.

    Raises:
        FileExistsError: If it holds one.
    """
    found = models(folder)
    if found:
        raise FileExistsError(
            f"{near(folder)} holds a run already ({near(found[0])}). Go on with it: "
            f"{shlex.quote(f'resume={near(folder)}')}; or choose another folder."
        )


def refuse_data(folder: Path) -> None:
    """Refuse for a run a file, a case store, a folder in one, and a data set: files of theirs would mix.

    Args:
        folder: Of a run, a sweep, a cross-validation or a cascade; it need not exist.

    Raises:
        UsageError: If it is one of the latter.
        NotADirectoryError: If it is a file, or what is above it.
    """
    check_can_be_folder(near(folder), "runs")
    own, store = Path(os.path.realpath(folder)), find_store(folder)
    if store is not None or ((own / DATASET).is_file() and _holds_raw_data(own)):
        what = "a data set" if store is None else "a case store"
        raise UsageError(f"{near(store or own)} is {what}: nothing is trained there. Name another folder.")


def _holds_raw_data(folder: Path) -> bool:
    from ingradient_pl.datasets.layouts import RAW_FOLDERS  # with readers of images, which no help needs

    return any((folder / part).is_dir() for part in RAW_FOLDERS)


def refuse_links(folder: Path) -> None:
    """Refuse a folder in which a link leads elsewhere: logs and states would be written over what lies there.

    Args:
        folder: Of a run or sweep; it may be a link itself, and need not exist.

    Raises:
        ValueError: If one does.
    """
    own = Path(os.path.realpath(folder))
    for place, folders, files in os.walk(own):
        for path in (Path(place, name) for name in (*folders, *files)):
            there = Path(os.path.realpath(path)) if path.is_symlink() else own
            if not there.is_relative_to(own):
                raise ValueError(
                    f"{near(path)} is a link to {there}, and what a run writes there would land outside "
                    f"{near(folder)}. Take the link away; to have a run on another disk, make a link of its "
                    "whole folder."
                )


@contextmanager
def hold_folder(folder: Path) -> Iterator[None]:
    """Keep other processes out of a run's folder; whoever dies lets go of it.

    Where an error ends what is done within before anything was trained, the folder is as it was.

    Args:
        folder: Of the run; it is made where it does not exist.

    Raises:
        FileExistsError: If another process is at work there.
        ValueError: If a link in it leads out of it.
    """
    refuse_data(folder)
    refuse_links(folder)
    lock, before = FileLock(folder / OWN / "lock"), FolderBefore.of(folder)
    (folder / OWN).mkdir(parents=True, exist_ok=True)
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        keep_noted()  # what is new there is the other's
        raise FileExistsError(
            f"Another process is training in {near(folder)}. Wait for its end, or choose another folder."
        ) from error
    with restore_unbegun():
        note_folder(before)
        try:
            yield
        finally:
            lock.release()


def near(path: Path) -> Path:
    """Name a path from here, where it lies below.

    Args:
        path: Whole.
    """
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
