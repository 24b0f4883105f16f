"""The files of a run's folder: what they are called, which state a run goes on from, and why it failed."""

import os
import traceback
from pathlib import Path
from typing import Any

from ingradient_pl.files import replace_file
from ingradient_pl.json_files import read_object
from ingradient_pl.lightning.record_file import RECORD
from ingradient_pl.untouched import REASON as REASON

LAST = Path("checkpoints") / "last.ckpt"
"""The state that a run is resumed from."""
REQUEUED = "hpc_ckpt_*.ckpt"
"""What Lightning saves where a cluster stops a run, and prefers to any other checkpoint ever after."""
CONFIG = Path(".hydra") / "config.yaml"
OVERRIDES = Path(".hydra") / "overrides.yaml"
TOLD = Path(".hydra") / "resumed"
"""Where the config of a run that is resumed waits until it trains."""
LOG = "train.log"
IN_SHORT = "In short: "
LONGEST_REASON = 2**16
"""Bytes of its end that are read."""
SWEEP_TABLE = "runs.csv"
"""All runs of a sweep, in its folder."""
CROSSVAL, CASCADE = "crossval.json", "cascade.json"
"""What a cross-validation and a cascade are made of, in their folders."""
KINDS = {
    "cross-validation": (CROSSVAL,),
    "cascade": (CASCADE,),
    "sweep": (SWEEP_TABLE,),
    "run": (RECORD, CONFIG),
}
"""Kinds of folders that training leaves, and files of which each holds one."""


def find_kind(path: Path) -> str | None:
    """Say which of ``KINDS`` a folder is, or a sweep's table; None of any other.

    Args:
        path: It need not exist.
    """
    if path.is_file() and path.name == SWEEP_TABLE:
        return "sweep"
    kinds = (kind for kind, files in KINDS.items() if any((path / file).is_file() for file in files))
    return next(kinds, None)


def find_checkpoints(folder: Path) -> list[Path]:
    """Give the finished checkpoints in a folder, sorted, without what a kill left of one.

    Args:
        folder: It need not be there.
    """
    return sorted(file for file in folder.glob("*.ckpt") if not file.name.startswith("."))


def find_state(run: Path) -> Path | None:
    """Give what a run goes on from: its last state, or where a kill came before the first, the newest.

    Args:
        run: Its folder.
    """
    last = run / LAST
    if last.is_file():
        return last
    found = [*find_checkpoints(last.parent), *run.glob(REQUEUED)]
    return max(found, key=lambda file: file.stat().st_mtime, default=None)


def write_reason(run: Path, error: BaseException, told: str | None) -> None:
    """Leave why a run failed in its folder.

    Args:
        run: Its folder.
        error: What ended it.
        told: What that comes to, in one line; None where it says so itself.
    """
    lines = "".join(traceback.format_exception(error))
    last = "" if told is None else f"{IN_SHORT}{' '.join(told.split())}\n"
    replace_file(run / REASON, (lines + last).encode(errors="backslashreplace"))


def read_reason(run: Path) -> str | None:
    """Give why a run failed in one line: what the last exception says first, as hints of others follow it.

    Args:
        run: Its folder; None where it has not failed.
    """
    file = run / REASON
    if not file.is_file():
        return None
    with file.open("rb") as opened:
        opened.seek(-min(LONGEST_REASON, file.stat().st_size), os.SEEK_END)
        lines = opened.read(LONGEST_REASON).decode(errors="replace").strip().splitlines()
    if lines and lines[-1].startswith(IN_SHORT):
        return lines[-1].removeprefix(IN_SHORT)
    places = [number for number, line in enumerate(lines) if line.startswith("  File ")]
    rest = lines[places[-1] + 1 if places else 0 :]
    said = [line for line in rest if line and not line.startswith((" ", "Traceback "))]
    if len(said) > 1 and said[0].endswith(":"):  # Hydra names the target first
        return said[1]
    return said[0] if said else ""


def read_folds_state(file: Path) -> dict[str, Any]:
    """Read what a cross-validation or a cascade keeps of its settings and results.

    Args:
        file: ``crossval.json`` or ``cascade.json`` in its folder.

    Raises:
        ValueError: If it cannot be read.
    """
    cure = "Call the command again without it (delete the file): it goes on with the runs that are there."
    return read_object(file, cure)
