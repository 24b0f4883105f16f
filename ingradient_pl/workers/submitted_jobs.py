"""Jobs that submitit has submitted: none outlives the work that it is for."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from submitit import AutoExecutor

from ingradient_pl.workers.stopped import Stopped


@contextmanager
def cancel_when_left(told: str) -> Iterator[None]:
    """On leaving, however that is, cancel the jobs that were submitted meanwhile and are not over.

    Args:
        told: What to tell the user at SIGTERM.

    Raises:
        Stopped: At SIGTERM, once the jobs are cancelled.
    """
    submitted = list[Any]()

    def stop(number: int, frame: FrameType | None) -> None:
        raise Stopped(told, by_signal=True)

    def submit(executor: AutoExecutor, submissions: Any) -> Any:
        with _hold_signals():
            jobs = give(executor, submissions)
            submitted.extend(jobs)
        return jobs

    methods: Any = AutoExecutor
    give, methods._internal_process_submissions = methods._internal_process_submissions, submit
    try:
        with _handle_signals((signal.SIGTERM,), stop):
            yield
    finally:
        methods._internal_process_submissions = give
        with _hold_signals():
            for job in submitted:
                if not job.done():
                    job.cancel(check=False)


@contextmanager
def _hold_signals() -> Iterator[None]:
    """Have what ends this process wait until its jobs are known, or cancelled: later nobody could.

    Submitit ends local jobs by SIGINT, which they would ignore if it were ignored here as they start, as in
    the background of a script.
    """
    arrived = list[int]()
    with _handle_signals((signal.SIGTERM, signal.SIGINT), lambda number, frame: arrived.append(number)):
        yield
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
