"""Cases through a model: the next is read and the last is finished while the network works on one."""

import dataclasses
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import UInt
from numpy.typing import NDArray
from tqdm import tqdm

from ingradient_pl.datasets.records import CaseFiles
from ingradient_pl.files import keeps_all_out
from ingradient_pl.images.formats import Volume
from ingradient_pl.inference.predictor import Predictor
from ingradient_pl.inference.uncertainty import Uncertainty
from ingradient_pl.inference.unlike_plan import describe_unlike
from ingradient_pl.machine import is_out_of_memory
from ingradient_pl.metrics.evaluation import FAULTS as FAULTS
from ingradient_pl.phrases import first_line
from ingradient_pl.store.metadata import is_stored
from ingradient_pl.store.stored_cases import stored_volume
from ingradient_pl.task import Task

DRAWN, LOGGED = 0.1, 30.0
"""Least seconds between two states of the bar: in a terminal, and where each becomes a line of a log."""

Label = NDArray[Any]


class Beside(NamedTuple):
    """What is filled in while a case is predicted, beside its label.

    Args:
        maps: Probabilities of each output; None where nobody wants them.
        uncertainty: Its maps and sums; None where nobody wants them.
    """

    maps: NDArray[np.float16] | None = None
    uncertainty: Uncertainty | None = None


Finish = Callable[[CaseFiles, Volume, Label, Beside], Any]
"""What is done with a case's answer."""


class Failure(NamedTuple):
    """A case that could not be done, and why."""

    case: str
    reason: str

    def __str__(self) -> str:
        return f"{self.case}: {self.reason}"


def read_case(case: CaseFiles, task: Task, orientation: str) -> Volume:
    """Read the images of a case and hold them against the task's channels.

    Args:
        case: Its files, or a case of a store.
        task: Of the model.
        orientation: The plan's: three letters such as ``LPS``, or ``stored``.

    Raises:
        ImageError: If a file cannot be read or a channel is missing.
    """
    if not is_stored(case.images[0]):
        return case.read_image(orientation, task.channels)
    return case.take_channels(stored_volume(case.images[0], orientation), task.channels)


def run_cases(
    predictor: Predictor,
    cases: Sequence[CaseFiles],
    finish: Finish,
    say: Callable[[str], None],
    scratch: Callable[[Volume], Beside] = lambda volume: Beside(),
    *,
    progress: bool,
) -> tuple[list[Any], list[Failure]]:
    """Read, predict and finish every case, three of them at a time, each in another of these steps.

    Args:
        predictor: The model.
        cases: What to segment.
        finish: What is done with each answer.
        say: Where remarks go, a line each.
        scratch: Makes room for what is filled in beside a label.
        progress: Whether to show a bar.

    Returns:
        What ``finish`` gave of each case, and the cases that could not be done.

    Raises:
        OSError: If the disk takes nothing more: what follows is not tried.
    """
    answers, failures = [], []
    coming = _answers(predictor, cases, finish, say, scratch)
    every = DRAWN if sys.stderr.isatty() else LOGGED
    bar = tqdm(coming, total=len(cases), unit="case", disable=not progress, mininterval=every)
    for case, answer in zip(cases, bar, strict=True):
        try:
            answers.append(answer.result())
        except FAULTS as error:
            if keeps_all_out(error):
                raise
            failures.append(Failure(case.name, _line(error)))
            say(str(failures[-1]))
    return answers, failures


def _answers(
    predictor: Predictor,
    cases: Sequence[CaseFiles],
    finish: Finish,
    say: Callable[[str], None],
    scratch: Callable[[Volume], Beside],
) -> Iterator[Future[Any]]:
    """Give a promise for each case: its answer, or what went wrong."""
    read = partial(read_case, task=predictor.model.task, orientation=predictor.model.plan.orientation)
    with ThreadPoolExecutor(1) as reader, ThreadPoolExecutor(1) as writer:
        coming: list[Future[Volume]] = [reader.submit(read, case) for case in cases[:1]]
        last: Future[Any] | None = None
        for number, case in enumerate(cases):
            current = coming.pop()
            if number + 1 < len(cases):
                current.exception()  # one case at a time is read ahead
                coming.append(reader.submit(read, cases[number + 1]))
            answer: Future[Any] = Future()
            try:
                volume = current.result()
                for remark in [*volume.remarks, *describe_unlike(volume, predictor.model)]:
                    say(f"{case.name}: {remark}")
                beside = scratch(volume)
                predictor, label = _predict(predictor, volume, beside, say)
                answer = writer.submit(finish, case, volume, label, beside)
            except FAULTS as error:
                answer.set_exception(error)
            if last is not None:
                yield last
            last = answer
        if last is not None:
            yield last


def _predict(
    predictor: Predictor, volume: Volume, beside: Beside, say: Callable[[str], None]
) -> tuple[Predictor, UInt[Any, "*plane z y x"]]:
    """Predict; where memory does not suffice try once more with one window at a time, and stay with it."""
    try:
        return predictor, predictor.segment(volume.voxels, volume.frame.spacing, *beside)
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error) or predictor.most_views == 1:
            raise
    say(
        f"There was too little memory for {predictor.most_views} windows at a time; from here on one at a "
        "time (window_batch=1)."
    )
    smaller = dataclasses.replace(predictor, window_batch=1)
    if beside.uncertainty is not None:
        beside.uncertainty.sums.zero_()
    return smaller, smaller.segment(volume.voxels, volume.frame.spacing, *beside)


def _line(error: BaseException) -> str:
    text = first_line(error)
    if is_out_of_memory(error):
        return (
            f"there is too little memory ({text}). Give it a machine with more, or the case a smaller crop."
        )
    return text
