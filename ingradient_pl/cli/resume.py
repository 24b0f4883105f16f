"""``resume=RUN`` and ``resume=SWEEP``: the config of what is there, with what is told now put over it."""

import os
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from ingradient_pl.cli.overrides import AUTO, find, parse_trust, quote, read_paths, split_override, without
from ingradient_pl.cli.run_folders import compose_config
from ingradient_pl.cli.sweep_files import SWEEP, is_sweep_folder, read_sweep
from ingradient_pl.lightning.run_files import CONFIG, LAST, TOLD, find_state
from ingradient_pl.messages import UsageError

SWAPPED = ("trainer", "logger", "callbacks")
"""Groups that a run may change while it goes on."""
KEPT = (
    *("plan", "recipe", "experiment", "data", "module"),
    *("init_from", "init_folds", "init_split", "init_mapping"),
)
"""Groups and keys that make a run what it is."""
PLANS = Path(".hydra") / "plan"
"""Where a sweep keeps copies of its plans."""
TABLE = "+hydra.callbacks.runs._target_=ingradient_pl.cli.sweep_table.SweepTable"


def resumed_folder(overrides: Sequence[str]) -> Path | None:
    """Give the folder that ``resume`` names; None where it names a file or nothing.

    Args:
        overrides: As typed.

    Raises:
        FileNotFoundError: If nothing is there.
    """
    told = find(overrides, "resume")
    if told in (None, "null", AUTO):
        return None
    run = Path(os.path.abspath(read_paths(str(told))[0]))  # noqa: PTH100 - without '..'
    if not run.exists():
        raise FileNotFoundError(
            f"There is nothing to resume at {run}: name the folder of a run or sweep, or a checkpoint."
        )
    return run if run.is_dir() else None


def with_sweep(overrides: Sequence[str], flags: Sequence[str]) -> tuple[list[str], list[str]]:
    """Make ``resume=SWEEP`` (the folder of a sweep) the line that the sweep was started with.

    Its finished runs are skipped then, those begun go on. What is told besides replaces what was told then.

    Args:
        overrides: As typed.
        flags: Hydra's own.
    """
    sweep = resumed_folder(overrides)
    if sweep is None or not is_sweep_folder(sweep):
        return list(overrides), list(flags)
    now = without(overrides, "resume", "hydra.sweep.dir")
    keys = [key for key, *_ in map(split_override, now)]
    then = _with_own_plans(_checked_line(sweep, without(read_sweep(sweep), *keys), parse_trust(now)), sweep)
    line = [*then, *now, f"hydra.sweep.dir={quote(str(sweep))}"]
    return line, [*(flag for flag in flags if flag not in ("-m", "--multirun")), "-m"]


def _checked_line(sweep: Path, line: Sequence[str], trusted: Sequence[str]) -> list[str]:
    """Look at what a sweep was told, which is a stranger's until then."""
    from ingradient_pl.cli.foreign_config import check_foreign_overrides  # it brings torch along

    check_foreign_overrides(sweep / SWEEP, sweep, line, trusted)
    return list(line)


def _with_own_plans(line: Sequence[str], sweep: Path) -> list[str]:
    """Name the files of the plans that a sweep keeps, for them to be read as plans."""
    names = (find(line, "plan") or "").split(",")
    files = [sweep / PLANS / f"{name}.yaml" for name in names]
    if not all(file.is_file() for file in files):
        return list(line)
    return [*without(line, "plan"), f"plan={','.join(map(str, files))}"]


def with_run(overrides: Sequence[str], folder: Path) -> tuple[list[str], list[str]]:
    """Make ``resume=RUN`` (the folder of a run) go on with that run: its config, its folder, its last epoch.

    A path to a checkpoint file is left alone: it starts a new run from that file.

    Args:
        overrides: As typed.
        folder: For a copy of the config, which is a stranger's until it has been looked at.

    Returns:
        Overrides, and flags that tell Hydra where the config is; no flags where no run is resumed.

    Raises:
        FileNotFoundError: If the folder holds no run, or the run no checkpoint yet.
        UsageError: If something is told that a resumed run keeps.
        ValueError: If its config could do anything but train in this folder.
    """
    run = resumed_folder(overrides)
    if run is None:
        return list(overrides), []
    _check_run(run)
    groups = {key: value for key, _, value in map(split_override, overrides) if key in SWAPPED}
    _refuse_kept(overrides, run)
    place = _checked_copy(run, overrides, groups, folder / "resumed")
    rest = without(overrides, "resume", *groups)
    there = [f"hydra.run.dir={quote(str(run))}", f"hydra.output_subdir={TOLD.as_posix()}"]
    rest += [f"resume={quote(str(find_state(run)))}", *there, "hydra/job_logging=stdout", TABLE]
    return rest, ["--config-path", str(place.parent), "--config-name", place.stem]


def _check_run(run: Path) -> None:
    if not (run / CONFIG).is_file():
        raise FileNotFoundError(
            f"{run} cannot be resumed: it has no {CONFIG}. Name the folder of a run, or of a sweep."
        )
    if find_state(run) is None:
        raise FileNotFoundError(
            f"{run} cannot be resumed: it has no {LAST}. It ended before its first epoch was over, "
            "so there is nothing to go on with; start it again."
        )


def _refuse_kept(overrides: Sequence[str], run: Path) -> None:
    """Refuse by name what would make another run of it."""
    told = [key for key, *_ in map(split_override, overrides)]
    for key in told:
        if key in KEPT or ("@" in key and not key.startswith("hydra")):
            raise UsageError(
                f"{key}=... cannot be given with resume=RUN: a run keeps its {key.split('@')[0]}. epochs=N, "
                f"{', '.join(f'{group}=...' for group in SWAPPED)} and single keys may change; for all else "
                "start a new run."
            )
    if "hydra.run.dir" in told:
        file = shlex.quote(f"resume={run / LAST}")
        raise UsageError(
            f"resume=RUN goes on in RUN itself. To start a new run from its state: {file} hydra.run.dir=DIR"
        )


def _checked_copy(run: Path, overrides: Sequence[str], groups: Mapping[str, str], folder: Path) -> Path:
    """Copy a run's config once it was looked at, with other options of some groups."""
    from ingradient_pl.cli.foreign_config import read_foreign_config  # it brings torch along

    text = read_foreign_config(run / CONFIG, run, parse_trust(overrides), without(overrides, "resume"))
    plain: Any = OmegaConf.to_container(OmegaConf.create(text), resolve=False)
    fresh = compose_config([f"{key}={value}" for key, value in groups.items()]) if groups else {}
    for key in groups:
        plain[key] = OmegaConf.to_container(fresh[key], resolve=False) if fresh[key] is not None else None
    folder.mkdir(parents=True, exist_ok=True)
    OmegaConf.save(OmegaConf.create(plain), folder / CONFIG.name)
    return folder / CONFIG.name
