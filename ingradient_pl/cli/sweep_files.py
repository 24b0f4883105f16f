"""What the folder of a sweep keeps, so that the same line, or ``resume=SWEEP``, goes on with it."""

import json
import shlex
from collections.abc import Sequence
from pathlib import Path

from ingradient_pl.cli.run_settings import read_settings
from ingradient_pl.files import replace_file
from ingradient_pl.json_files import read_object

SWEEP = "sweep.json"
LENGTH = (
    *("epochs", "hydra.launcher", "hydra/launcher", "hydra.searchpath"),
    *("trainer", "logger", "callbacks"),
)
"""Beginnings of keys that may be other when a sweep goes on."""


def is_sweep_folder(folder: Path) -> bool:
    """Whether a folder is that of a sweep.

    Args:
        folder: It need not exist.
    """
    return (folder / SWEEP).is_file()


def read_sweep(folder: Path) -> list[str]:
    """Read what a sweep was told.

    Args:
        folder: Of the sweep.

    Raises:
        ValueError: If the file was damaged.
    """
    found = read_object(folder / SWEEP, "Give the sweep another folder.")
    try:
        return [str(entry) for entry in found["overrides"]]
    except (LookupError, TypeError) as error:
        raise ValueError(f"{folder / SWEEP} does not hold what a sweep was told ({error}).") from error


def write_sweep(folder: Path, overrides: Sequence[str]) -> None:
    """Keep what a sweep is told in its folder.

    Args:
        folder: Of the sweep.
        overrides: All that was typed, swept keys included.

    Raises:
        FileExistsError: If the folder holds a sweep of other settings.
    """
    if is_sweep_folder(folder) and any(file.is_dir() for file in folder.iterdir() if file.name[:1] != "."):
        before = read_settings(read_sweep(folder), LENGTH)
        now = read_settings(overrides, LENGTH)
        if not _continues(before, now):
            changed = ", ".join("=".join(entry) for entry in sorted({*before.items()} ^ {*now.items()})[:4])
            again = shlex.quote(f"resume={folder}")
            raise FileExistsError(
                f"{folder} holds another sweep ({changed}). Go on with that: {again}; or choose another "
                "folder: hydra.sweep.dir=DIR"
            )
    text = json.dumps({"overrides": list(overrides)}, indent=1, ensure_ascii=False)
    replace_file(folder / SWEEP, text.encode())


def _continues(before: dict[str, str], now: dict[str, str]) -> bool:
    """Whether a sweep is the same; values may have been added to its first key, which varies slowest."""
    if before == now:
        return True
    changed = [key for key in now if before.get(key) != now[key]]
    swept = [key for key, value in now.items() if "," in value and not value.startswith(("[", "{", "(", '"'))]
    return (
        before.keys() == now.keys()
        and changed == swept[:1]
        and now[changed[0]].startswith(f"{before[changed[0]]},")
    )
