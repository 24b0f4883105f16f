"""One job of a sweep: skipped where it is done, gone on with where it was begun, else trained."""

import math
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, open_dict

from ingradient_pl.cli.failures import INTERRUPTED, TERMINATED
from ingradient_pl.cli.overrides import quote
from ingradient_pl.cli.run_folders import hold_folder, models, near
from ingradient_pl.cli.run_settings import differences, first_differences
from ingradient_pl.cli.sweep_table import SCORE, read_score
from ingradient_pl.cli.train_config import train
from ingradient_pl.lightning.callbacks.run_config import keep_config
from ingradient_pl.lightning.record_file import is_finished, read_record
from ingradient_pl.lightning.run_files import CONFIG, LAST, TOLD, find_state
from ingradient_pl.messages import nearest, say
from ingradient_pl.workers.stopped import Stopped

BASIC = "basic"
"""Hydra's own sweeper, which asks for no score."""


ELSEWHERE = "Choose another folder: hydra.sweep.dir=DIR"


def train_job(config: DictConfig, cure: str = ELSEWHERE) -> float:
    """Train what one job of a sweep was told, or go on with it; give its score.

    Args:
        config: Of the job, Hydra's part left out.
        cure: What to do where its folder holds something else.

    Raises:
        FileExistsError: If its folder holds a run with other settings, or another process is at work there.
        ValueError: If a sweeper asks for a score that the run has not logged.
    """
    folder = Path(HydraConfig.get().runtime.output_dir)
    take_up(folder, config, cure)
    if config.resume is not None and is_finished(folder, config.epochs):
        score = train(config)  # which says that it is done
    elif config.trainer.get("strategy", "auto") != "auto":
        score = _apart(config, folder)
    else:
        with hold_folder(folder):
            score = train(config)
    check_score(folder, config.maximise, str(HydraConfig.get().runtime.choices.get("hydra/sweeper", BASIC)))
    return score


def check_score(folder: Path, metric: str, sweeper: str) -> None:
    """Say that a run has not logged the score that its sweep compares; a sweeper that looks for it must stop.

    Args:
        folder: Of the run.
        metric: Name of the score.
        sweeper: Name of the sweeper; Hydra's own, ``basic``, runs what it was told whatever comes of it.

    Raises:
        ValueError: If another sweeper would choose what to try next by a score that no run has.
    """
    logged = sorted(read_record(folder).get("scores", {}))
    if metric in logged or not logged:
        return
    told = (
        f"maximise={metric}, but the run logged no such score; there are {', '.join(logged)}."
        f"{nearest(metric, logged)}"
    )
    if sweeper != BASIC:
        raise ValueError(f"{told} The sweeper {sweeper} cannot choose by it. The run is kept: {near(folder)}")
    say(f"Note: {told}")


def take_up(folder: Path, config: DictConfig, cure: str = ELSEWHERE) -> None:
    """Have ``config`` go on with what its folder holds.

    Args:
        folder: Of the job.
        config: Of the job, changed in place.
        cure: What to do where its folder holds something else.

    Raises:
        FileExistsError: If that is a run with other settings, or without a state to go on from.
    """
    if not models(folder):
        if (folder / TOLD).is_dir():
            keep_config(folder / TOLD)
        return
    state = find_state(folder)
    if state is None or not (folder / CONFIG).is_file():
        lost = LAST if state is None else CONFIG
        raise FileExistsError(
            f"{near(folder)} holds a run already, but not its {lost}: nothing can go on with it. {cure}"
        )
    other = differences(folder, config)
    if other:
        raise FileExistsError(
            f"{near(folder)} holds a run with other settings ({first_differences(other)}), and it is not "
            f"written over. {cure}"
        )
    with open_dict(config):
        config.resume = str(state)
    say(f"Going on with {near(folder)}.")


def _apart(config: DictConfig, folder: Path) -> float:
    """Train in a process of its own, which starts its ranks as any single run does.

    A rank is started with its parent's command line, which would be the sweep's; and the parent of one job
    is no good for the next: Lightning leaves the ranks' environment behind in it.

    Raises:
        ChildProcessError: If it fails.
        Stopped: If it was told to stop.
    """
    told = HydraConfig.get().overrides
    paths = [entry for entry in told.hydra if entry.startswith("hydra.searchpath=")]
    line = [sys.executable, "-m", "ingradient_pl.cli.train", *told.task, *paths]
    line.append(f"hydra.run.dir={quote(str(folder))}")
    if config.resume is not None:
        line.append(f"resume={quote(str(config.resume))}")
    code = _run(line)
    if code in (INTERRUPTED, TERMINATED, -signal.SIGINT, -signal.SIGTERM):
        raise Stopped("The sweep was stopped.", by_signal=code in (TERMINATED, -signal.SIGTERM))
    if code:
        raise ChildProcessError(f"The run in {folder} ended with exit code {code}: see what it said above.")
    score = read_score(folder / SCORE).get(config.maximise)
    return math.nan if score is None else float(score)


def _run(line: list[str]) -> int:
    """Run a process to its end, whoever is interrupted meanwhile; hand SIGTERM on."""
    process = subprocess.Popen(line)
    with _handing_on(process):
        while True:
            try:
                return process.wait()
            except KeyboardInterrupt:  # the child was interrupted, too, and says so by its exit code
                continue


@contextmanager
def _handing_on(process: "subprocess.Popen[bytes]") -> Iterator[None]:
    def hand_on(number: int, frame: Any) -> None:
        process.send_signal(number)

    before = signal.signal(signal.SIGTERM, hand_on)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
