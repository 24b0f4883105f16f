"""What a sweep leaves behind: one table of all its runs, the best first."""

import csv
import io
import json
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from hydra.core.utils import JobReturn, JobStatus
from hydra.experimental.callback import Callback
from hydra.types import RunMode
from omegaconf import DictConfig
from typing_extensions import override

from ingradient_pl.cli.failures import explain_failure
from ingradient_pl.cli.sweep_files import is_sweep_folder, read_sweep
from ingradient_pl.files import replace_file
from ingradient_pl.json_files import read_object
from ingradient_pl.lightning.run_files import CROSSVAL, REASON, read_reason, write_reason
from ingradient_pl.lightning.run_files import SWEEP_TABLE as TABLE
from ingradient_pl.messages import as_cell, printable
from ingradient_pl.phrases import align_columns
from ingradient_pl.spec import check_types

SCORE = Path(".hydra") / "score.json"
DEPTH = 2
"""Folders that runs of one sweep may lie below it: a cross-validation has CONFIGURATION/FOLD."""
PAGE = "report.html"


class Run(NamedTuple):
    """One run of a sweep: its folder, what it was told, and what came of it (NaN: nothing)."""

    folder: str
    overrides: str
    score: float


class SweepTable(Callback):
    """Print the runs of a sweep with what each reached, and keep them as a CSV file in the sweep's folder.

    Each run leaves its score in its own folder, so that launchers which run elsewhere, or after each other
    on several days, come out in one table. The file is written again after each run: one that fails ends the
    sweep with its error, once the others have run.
    """

    @override
    def on_job_end(self, config: DictConfig, job_return: JobReturn, **kwargs: Any) -> None:
        folder = Path(config.hydra.runtime.output_dir)
        if not (folder / SCORE.parent).is_dir():  # the run was told to leave no config behind
            return
        swept = config.hydra.mode == RunMode.MULTIRUN
        above = [Path(config.hydra.sweep.dir)] if swept else folder.parents[:DEPTH]
        try:
            keep_score(folder, config.maximise, job_return)
            for sweep in above:
                if swept or (sweep / TABLE).is_file():
                    keep_table(sweep, config.maximise)
        except OSError as error:
            if _find_score(job_return) is not None:  # or the run itself failed, and tells why
                print(printable(f"The score of {folder} is not kept: {error}"), file=sys.stderr)
        if swept and job_return.status == JobStatus.FAILED:
            reason, failure = read_reason(folder), job_return._return_value
            told = f"{type(failure).__name__}: {failure}" if reason is None else reason
            more = "" if reason is None else f" (more in {folder / REASON})"
            print(printable(f"The run in {folder} failed; the sweep goes on. {told}{more}"), file=sys.stderr)

    @override
    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        sweep = Path(config.hydra.sweep.dir)
        if keep_table(sweep, config.maximise):
            show_table(sweep)
            if not (sweep / CROSSVAL).is_file():  # which writes its page once all is compared
                write_page(sweep)


def keep_score(folder: Path, metric: str, job: JobReturn) -> None:
    """Leave in a run's folder what it was told and what it reached, or why it failed.

    Args:
        folder: Of the run.
        metric: Name of the score.
        job: What Hydra says of it.
    """
    file = folder / SCORE
    before = read_score(file) if file.is_file() else {}
    told = before.get("overrides") or [str(entry).lstrip("+") for entry in job.overrides or ()]
    replace_file(file, json.dumps({"overrides": told, metric: _find_score(job)}).encode())
    (folder / REASON).unlink(missing_ok=True)
    if job.status != JobStatus.COMPLETED:
        error = job._return_value  # the property raises it
        write_reason(folder, error, explain_failure(error))


def _find_score(job: JobReturn) -> float | None:
    """Give what a run reached; None where it failed."""
    reached = job.return_value if job.status == JobStatus.COMPLETED else None
    return reached if isinstance(reached, float) and math.isfinite(reached) else None


class _Score:
    """Types of what a run of a sweep leaves behind, for :func:`check_types`."""

    def __init__(self, overrides: Sequence[str], score: float | None) -> None: ...


def read_score(file: Path) -> dict[str, Any]:
    """Read what a run of a sweep was told (``overrides``), and what it reached, by the metric's name.

    Args:
        file: ``score.json`` of a run.

    Raises:
        ValueError: If the file was damaged.
    """
    found = read_object(file, "Delete it to go on without.")
    try:
        scores = {name: value for name, value in found.items() if name != "overrides"}
        check_types(_Score, {"overrides": found["overrides"]})
        for value in scores.values():
            check_types(_Score, {"score": value})
    except (LookupError, TypeError, AttributeError) as error:
        raise ValueError(
            f"{file} does not hold what a run of the sweep reached ({error}). Delete it to go on without."
        ) from error
    told: dict[str, Any] = found
    return told


def show_table(sweep: Path) -> None:
    """Print the table of a sweep's runs.

    Args:
        sweep: Its folder; nothing is printed where it has no table.
    """
    file = sweep / TABLE
    if not file.is_file():
        return
    with file.open(newline="", encoding="utf-8") as opened:
        columns, *rows = list(csv.reader(opened))
    shown = [columns, *([*entries, _format_score(float(score))] for *entries, score in rows)]
    print(printable(align_columns(shown)))
    print(f"Kept in {file}")


def write_page(sweep: Path) -> None:
    """Write the table as a page, with curves of all runs, where the extra ``report`` is installed.

    Args:
        sweep: Its folder.
    """
    from ingradient_pl.commands.report import report  # a run alone has no page

    try:
        report(sweep, sweep / PAGE)
    except ImportError as error:
        print(f"The table is not drawn as a page ({error})")
    except (OSError, ValueError) as error:  # the runs are done, and their table is there
        print(f"The table is not drawn as a page: {error}", file=sys.stderr)


def keep_table(sweep: Path, metric: str) -> list[Run]:
    """Write the table of the runs so far, the best first, and give them.

    Args:
        sweep: Its folder.
        metric: Name of the score.
    """
    runs = sorted(read_runs(sweep, metric), key=lambda run: (math.isnan(run.score), -run.score))
    if runs:
        text = io.StringIO(newline="")
        rows = [(as_cell(run.folder), as_cell(run.overrides), run.score) for run in runs]
        csv.writer(text).writerows([("run", "overrides", metric), *rows])
        replace_file(sweep / TABLE, text.getvalue().encode())
    return runs


def read_runs(sweep: Path, metric: str) -> list[Run]:
    """Read what the runs in a sweep's folder reached; what all were told is left out.

    Args:
        sweep: Its folder.
        metric: Name of the score.
    """
    told = {}
    for file in sorted(sweep.glob(f"*/**/{SCORE}")):
        told[file.parents[1].relative_to(sweep).as_posix()] = read_score(file)
    lines = [set(one["overrides"]) for one in told.values()]
    if is_sweep_folder(sweep):  # of one run, all that the sweep's line says as it stands
        lines += [{entry.lstrip("+") for entry in read_sweep(sweep)}] if len(told) == 1 else []
    everywhere = set.intersection(*lines) if len(lines) > 1 else set[str]()
    runs = []
    for folder, one in told.items():
        own = " ".join(entry for entry in one["overrides"] if entry not in everywhere)
        score = one.get(metric)
        runs.append(Run(folder, own, math.nan if score is None else score))
    return runs


def _format_score(score: float) -> str:
    return "none" if math.isnan(score) else f"{score:.4f}"
