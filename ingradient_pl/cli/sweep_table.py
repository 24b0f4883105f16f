"""What a sweep leaves behind: one table of all its runs, the best first."""

import csv
import json
import math
import sys
from pathlib import Path
from typing import Any, NamedTuple

from hydra.core.utils import JobReturn, JobStatus
from hydra.experimental.callback import Callback
from hydra.types import RunMode
from omegaconf import DictConfig
from typing_extensions import override

SCORE = Path(".hydra") / "score.json"
TABLE = "runs.csv"


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
        done = job_return.status == JobStatus.COMPLETED and isinstance(job_return.return_value, float)
        score = job_return.return_value if done and math.isfinite(job_return.return_value) else None
        told = {"overrides": list(job_return.overrides or ()), config.maximise: score}
        (folder / SCORE).write_text(json.dumps(told), encoding="utf-8")
        if config.hydra.mode == RunMode.MULTIRUN:
            _keep(config)
            if job_return.status == JobStatus.FAILED:
                print(f"The run in {folder} failed; the sweep goes on.", file=sys.stderr)

    @override
    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        runs = _keep(config)
        if not runs:
            return
        shown = [_columns(config), *((run.folder, run.overrides, _format_score(run.score)) for run in runs)]
        widths = [max(map(len, entries)) for entries in zip(*shown, strict=True)]
        for line in shown:
            print("  ".join(entry.ljust(width) for entry, width in zip(line, widths, strict=True)).rstrip())
        print(f"Kept in {Path(config.hydra.sweep.dir) / TABLE}")


def _keep(config: DictConfig) -> list[Run]:
    """Write the table of the runs so far, the best first, and give them."""
    sweep = Path(config.hydra.sweep.dir)
    runs = sorted(read_runs(sweep, config.maximise), key=lambda run: (math.isnan(run.score), -run.score))
    if runs:
        with (sweep / TABLE).open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([_columns(config), *runs])
    return runs


def _columns(config: DictConfig) -> tuple[str, str, str]:
    return "run", "told", str(config.maximise)


def read_runs(sweep: Path, metric: str) -> list[Run]:
    """Read what the runs in a sweep's folder reached; what all were told is left out."""
    told = {}
    for file in sorted(sweep.glob(f"*/{SCORE}")):
        told[file.parents[1].name] = json.loads(file.read_text(encoding="utf-8"))
    everywhere = set[str]()
    if len(told) > 1:
        everywhere = set.intersection(*(set(one["overrides"]) for one in told.values()))
    runs = []
    for folder, one in told.items():
        own = " ".join(entry for entry in one["overrides"] if entry not in everywhere)
        score = one.get(metric)
        runs.append(Run(folder, own, math.nan if score is None else score))
    return runs


def _format_score(score: float) -> str:
    return "none" if math.isnan(score) else f"{score:.4f}"
