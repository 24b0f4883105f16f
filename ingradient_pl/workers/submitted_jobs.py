"""Jobs that submitit has submitted: none outlives the work that it is for."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Any

from submitit import AutoExecutor
from submitit.slurm.slurm import SlurmJob

from ingradient_pl.workers.stopped import Stopped

TOGETHER = 1.0
"""Seconds within which signals are one: who ends a group of processes may tell each of them twice."""
BEING_SUBMITTED = "Jobs that were just being submitted may run: squeue --me shows them, scancel ends them."


@contextmanager
def cancel_when_left(told: str) -> Iterator[None]:
    """On leaving, however that is, cancel the jobs that were submitted meanwhile and are not over.

    Who is told to stop a second time leaves at once, and names the jobs that may still run.

    Args:
        told: What to tell the user at SIGTERM.

    Raises:
        Stopped: At SIGTERM, once the jobs are cancelled, or at a second signal.
    """
    submitted, waiting = list[Any](), 1

    def stop(number: int, frame: FrameType | None) -> None:
        raise Stopped(told, by_signal=True)

    def submit(executor: AutoExecutor, submissions: Any) -> Any:
        with _hold_signals(1, lambda: BEING_SUBMITTED):
            jobs = give(executor, submissions)
            submitted.extend(jobs)
        return jobs

    methods: Any = AutoExecutor
    give, methods._internal_process_submissions = methods._internal_process_submissions, submit
    try:
        with _handle_signals((signal.SIGTERM,), stop):
            yield
    except (KeyboardInterrupt, Stopped):
        waiting = 0
        raise
    finally:
        methods._internal_process_submissions = give
        with _hold_signals(waiting, lambda: _describe_left(submitted)):
            while submitted:
                if not submitted[0].done():
                    submitted[0].cancel(check=False)
                submitted.pop(0)


def _describe_left(jobs: Sequence[Any]) -> str:
    """Name jobs that nobody has cancelled yet, and how to; a signal may come as the last was cancelled."""
    if not jobs:
        return "All jobs were cancelled."
    names = " ".join(str(job.job_id) for job in jobs)
    command = "scancel" if isinstance(jobs[0], SlurmJob) else "kill"
    return f"Jobs that may still run: {names}. End them: {command} {names}"


@contextmanager
def _hold_signals(most: int, explain: Callable[[], str]) -> Iterator[None]:
    """Have what ends this process wait until its jobs are known, or cancelled: later nobody could.

    Submitit ends local jobs by SIGINT, which they would ignore if it were ignored here as they start, as in
    the background of a script.

    Args:
        most: Signals that wait; one more ends the work at once.
        explain: Gives the line that is said then.

    Raises:
        Stopped: At one more.
    """
    arrived, last = list[int](), time.monotonic()

    def hear(number: int, frame: FrameType | None) -> None:
        nonlocal last
        before, last = last, time.monotonic()
        if (arrived or not most) and last - before < TOGETHER:
            return
        arrived.append(number)
        if len(arrived) > most:
            os.write(2, f"{explain()}\n".encode())
            raise KeyboardInterrupt  # at which no program that was called is waited for

    with _handle_signals((signal.SIGTERM, signal.SIGINT), hear):
        try:
            yield
        except KeyboardInterrupt:
            told = "stopped at once, as it was told to again."
            raise Stopped(told, by_signal=arrived[-1] == signal.SIGTERM) from None
    for number in arrived:
        signal.raise_signal(number)


@contextmanager
def _handle_signals(
    numbers: tuple[signal.Signals, ...], handler: Callable[[int, FrameType | None], None]
) -> Iterator[None]:
    """Set a handler for the time being; only the main thread can."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, handler) for number in numbers}
    try:
        yield
    finally:
        for number, former in before.items():
            signal.signal(number, former)
