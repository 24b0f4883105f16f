"""What the host does for a training step while a device works: a recorded step that is replayed as nothing.

Patches are tiny, so that time is that of calling; seconds are those of the training process's own thread,
told beside a small operation of torch in the same run. Calls are counted, and they are what a bar is set to.
"""

import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from figure import Figure
from hydra.utils import instantiate
from torch.overrides import TorchFunctionMode
from training_plans import Setting, build_data, make_config

from ingradient_pl.cli.train_config import instantiate_group
from ingradient_pl.lightning import graph
from ingradient_pl.optimizers.recorder import Outputs
from ingradient_pl.optimizers.step_graph import StepGraph

ISO = (1.0, 1.0, 1.0)
TINY = Setting(20, (36, 50, 36), ISO, ISO, (8, 8, 8), 7, (8, 8))
STEPS, SETTLING, BATCHES, COUNTED = 300, 60, 60, 20


class NoRecorder:
    """Records a step, and replays it as nothing: what is left is what is not the device's."""

    def warm_up(self, step: Callable[[], Outputs], times: int) -> None:
        step()

    def record(self, step: Callable[[], Outputs]) -> tuple[Callable[[], None], Outputs]:
        outputs = step()
        return (lambda: None), outputs


class ThreadClock(pl.Callback):
    """Seconds of this thread from the end of one step to the end of the next."""

    def __init__(self) -> None:
        self.ends: list[float] = []

    def on_train_batch_end(self, *_: object) -> None:
        self.ends.append(time.thread_time())

    @property
    def median(self) -> float:
        ends = self.ends[SETTLING:]
        return statistics.median(stop - start for start, stop in pairwise(ends))


class CallCounter(pl.Callback):
    """Counts what Python calls in some steps, its own functions and built-in ones."""

    def __init__(self) -> None:
        self.calls = 0

    def on_train_batch_end(self, *args: Any) -> None:
        *_, batch_idx = args
        if batch_idx == STEPS - COUNTED - 2:
            sys.setprofile(self._count)
        elif batch_idx == STEPS - 2:
            sys.setprofile(None)

    def _count(self, frame: object, event: str, argument: object) -> None:
        self.calls += event in ("call", "c_call")


class TorchCalls(TorchFunctionMode):
    """Counts what is called of torch from Python: kernels, copies and views."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += getattr(func, "__name__", "") not in ("__get__", "__len__", "numel")
        return func(*args, **(kwargs or {}))


def figures() -> list[Figure]:
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        overrides = ["epochs=1", f"batches_per_epoch={STEPS}", "trainer.limit_val_batches=0"]
        overrides += ["data.resident=true", "data.workers=2", "trainer.accelerator=cpu"]
        config = make_config(Path(folder) / "run", TINY, [*overrides, "trainer.precision=32-true"])
        before, (step, called) = _small_operation(), _through_lightning(config)
        parts = _parts(config)
        unit = (before + _small_operation()) / 2
    print(f"a small operation {unit * 1e6:.2f} us")
    for name, (seconds, calls) in {"a step through Lightning": (step, None), **parts}.items():
        told = f"{called:6.0f} calls of Python" if calls is None else f"{calls:6.0f} calls of torch"
        print(f"{name:<28}{seconds * 1e6:7.0f} us {seconds / unit:7.0f} small operations {told}")
    prepared, augmented = parts["prepare a batch"], parts["augment it"]
    calls = prepared[1] + augmented[1]
    return [
        Figure("host_prepare_and_augment", calls, "calls of torch", "a batch of 7 patches", 280),
        Figure("host_step", called, "calls of Python", "a step through Lightning", 2650),
    ]


def _through_lightning(config: Any) -> tuple[float, float]:
    """Give seconds and calls of the training thread for a step with all callbacks and loggers as shipped."""
    with _recorded_as_nothing():
        clock, counter = ThreadClock(), CallCounter()
        callbacks = [*instantiate_group(config.callbacks), clock, counter]
        trainer = instantiate(config.trainer, callbacks=callbacks, logger=instantiate_group(config.logger))
        trainer.fit(instantiate(config.module), instantiate(config.data))
    return clock.median, counter.calls / COUNTED


@contextmanager
def _recorded_as_nothing() -> Iterator[None]:
    check = StepGraph._check
    graph.RECORDERS["cpu"] = NoRecorder
    StepGraph._check = lambda self, before: None  # type: ignore[method-assign]
    try:
        yield
    finally:
        del graph.RECORDERS["cpu"]
        StepGraph._check = check  # type: ignore[method-assign]


def _parts(config: Any) -> dict[str, tuple[float, float]]:
    """Give seconds and calls of torch for each part of preparing a batch."""
    config.data.workers = 0
    data = build_data(config)
    batches, read = iter(data.train_dataloader()), list[float]()
    found = []
    for _ in range(BATCHES):
        start = time.thread_time()
        found.append(next(batches))
        read.append(time.thread_time() - start)
    prepared, augmented = list[float](), list[float]()
    for batch in found * 3:
        start = time.thread_time()
        made = data.prepare(batch)
        middle = time.thread_time()
        data.augment(made)
        prepared.append(middle - start)
        augmented.append(time.thread_time() - middle)
    with TorchCalls() as preparing:
        made_batches = [data.prepare(batch) for batch in found]
    with TorchCalls() as augmenting:
        for made in made_batches:
            data.augment(made)
    return {
        "draw and pack it (a reader)": (statistics.median(read), float("nan")),
        "prepare a batch": (statistics.median(prepared[BATCHES:]), preparing.count / BATCHES),
        "augment it": (statistics.median(augmented[BATCHES:]), augmenting.count / BATCHES),
    }


def _small_operation(times: int = 20000) -> float:
    one = torch.ones(4)
    start = time.thread_time()
    for _ in range(times):
        torch.add(one, one)
    return (time.thread_time() - start) / times
