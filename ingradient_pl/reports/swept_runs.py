"""The table of a sweep, read: its runs, what each was told and what it reached."""

import csv
import io
import math
import shlex
from pathlib import Path
from typing import NamedTuple

from ingradient_pl.lightning.run_files import SWEEP_TABLE
from ingradient_pl.messages import from_cell
from ingradient_pl.plain_values import read_text
from ingradient_pl.reports.page import ReportError

LARGEST = 64 * 2**20
"""Bytes of a sweep's table; one of a thousand runs has a hundred thousand."""


class SweptRun(NamedTuple):
    """A run of a sweep.

    Args:
        folder: Its name in the sweep's.
        told: Keys and values that differ from run to run.
        score: What it reached; NaN where it has not ended well.
    """

    folder: str
    told: dict[str, str]
    score: float


def read_sweep_table(path: Path) -> tuple[list[SweptRun], str]:
    """Read the table of a sweep: its runs, the best first, and the name of the score.

    Args:
        path: The sweep's folder, or its table.

    Raises:
        ReportError: If it is not such a table, or holds no run.
    """
    file = path if path.is_file() else path / SWEEP_TABLE
    try:
        heads, *rows = list(csv.reader(io.StringIO(read_text(file, LARGEST), newline="")))
        runs = [_read_run(*row) for row in rows]
        score = heads[2]
    except (OSError, ValueError, IndexError, TypeError, csv.Error) as error:
        raise ReportError(
            f"{file} is not the table of a sweep ({error}): a row has run, overrides and score."
        ) from error
    if not runs:
        raise ReportError(f"{file} holds no run: there is nothing to report. Run the sweep first.")
    return sorted(runs, key=lambda run: (math.isnan(run.score), -run.score)), score


def _read_run(folder: str, told: str, score: str) -> SweptRun:
    if Path(folder).is_absolute() or ".." in Path(folder).parts:
        raise ValueError(f"the run {folder[:200]!r} lies outside the sweep's folder")
    return SweptRun(from_cell(folder), _split_told(from_cell(told)), float(score))


def _split_told(text: str) -> dict[str, str]:
    """Give the overrides of a run as keys and values."""
    try:
        words = shlex.split(text)
    except ValueError:
        words = text.split()
    pairs = [word.lstrip("+~").partition("=") for word in words]
    return {key: value for key, _, value in pairs}
