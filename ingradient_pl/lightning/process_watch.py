"""Processes of one run end together: by SIGTERM to any of them, or because one of them is gone.

A process that waits for the others in a collective runs no Python, and so no signal handler. A thread beside
it learns of the signal through a pipe, tells the other ranks, and ends what has not ended by itself in time.
"""

import importlib
import logging
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities.exceptions import SIGTERMException

GRACE = 20.0
"""Seconds that a process has to end by itself after SIGTERM: batch systems kill after 30."""

LOST_GRACE = 8.0
"""Seconds that the others have to notice that a process is gone."""

CHILDREN_GRACE = 5.0
"""Seconds that the other ranks have to end once this one has."""

LAUNCHER: Any = importlib.import_module("pytorch_lightning.strategies.launchers.subprocess_script")

EVERY = 0.2
"""Seconds between two looks at the other ranks."""

TERMINATED = 128 + signal.SIGTERM
FIRST_RANK = "INGRADIENT_FIRST_RANK"
"""Environment: the process that started the other ranks on this machine."""

DISCONNECTED = re.compile(
    r"gloo|nccl|Connection (closed|reset|refused)|TCPStore|Broken pipe|c10d", re.IGNORECASE
)
"""What collectives say when another rank is gone."""

LOST_READER = re.compile(r"DataLoader worker .* is killed by signal: Terminated")


class LostRankError(ChildProcessError):
    """Another process of the run is gone; the message says which."""


class ProcessWatch:
    """Watch over the processes of a run while it trains; a context around ``trainer.fit``.

    Args:
        trainer: Of this process.
        last_words: Says how to go on, for a process that cannot end by itself.
    """

    def __init__(self, trainer: pl.Trainer, last_words: Callable[[], str]) -> None:
        self.trainer, self.last_words = trainer, last_words
        self.terminated = False
        self.lost: str | None = None
        self.finished = threading.Event()
        self.deadline = float("inf")
        self.thread: threading.Thread | None = None

    def __enter__(self) -> "ProcessWatch":
        if threading.current_thread() is not threading.main_thread() or os.name != "posix":
            return self
        self.parent = self._find_parent()
        self.reads, self.writes = os.pipe()
        os.set_blocking(self.writes, False)
        self.logged = logging.raiseExceptions
        self.before = signal.signal(signal.SIGTERM, self._on_signal)
        self.wakeup = signal.set_wakeup_fd(self.writes, warn_on_full_buffer=False)
        self._take_over()
        self.thread = threading.Thread(target=self._watch, name="process-watch", daemon=True)
        self.thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.finished.set()
        if self.thread is None:
            return
        self.thread.join()
        logging.raiseExceptions = self.logged
        LAUNCHER._launch_process_observer = self.observer
        signal.set_wakeup_fd(self.wakeup)
        os.close(self.reads)
        os.close(self.writes)
        if os.environ.get(FIRST_RANK) == str(os.getpid()):
            del os.environ[FIRST_RANK]
        if error is not None:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)  # a rank may hand it on only now
            self._end_children()
        signal.signal(signal.SIGTERM, self.before if self.before is not None else signal.SIG_DFL)

    def was_terminated(self, error: BaseException) -> bool:
        """Whether an error is what SIGTERM to this process, or to one that reads for it, led to.

        Args:
            error: What ended the run.
        """
        return self.terminated or LOST_READER.search(str(error)) is not None

    def explain(self, error: BaseException) -> str | None:
        """Say which process is gone where that is what an error tells; None where it tells something else.

        Args:
            error: What ended the run.
        """
        if self.lost is None and DISCONNECTED.search(str(error)):
            self._look(patience=EVERY * 10)
            self.lost = self.lost or "Another process of the run is gone"
        return self.lost if self.lost and DISCONNECTED.search(str(error)) else None

    @property
    def children(self) -> "list[subprocess.Popen[bytes]]":
        """The ranks that this one started."""
        return list(getattr(self.trainer.strategy.launcher, "procs", ()))

    def _find_parent(self) -> int | None:
        """Give the first rank, where it started this one; while this one imported it may have gone."""
        told = os.environ.setdefault(FIRST_RANK, str(os.getpid()))
        started = int(os.environ.get("LOCAL_RANK") or 0) > 0 and told != str(os.getpid())
        return int(told) if started else None

    def _take_over(self) -> None:
        """Replace Lightning's handler, which waits for the others, and its observer, which kills."""
        connector: Any = self.trainer._signal_connector
        connector._sigterm_notifier_fn = lambda number, frame: None
        self.observer = LAUNCHER._launch_process_observer
        LAUNCHER._launch_process_observer = lambda children: None
        loop: Any = self.trainer.fit_loop.epoch_loop
        loop._broadcast_sigterm_tensor = self._agree

    def _agree(self) -> None:
        """Stop at the same step on all ranks, once the first was told to."""
        flag = torch.tensor([int(self.terminated)], device=self.trainer.strategy.root_device)
        torch.distributed.broadcast(flag, src=0)
        if flag.item():
            self.terminated = True
            raise SIGTERMException

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        """End at once what does not train yet; a run that trains is stopped at the end of a step."""
        logging.raiseExceptions = False  # a line that the signal broke into is not worth a traceback
        connector: Any = self.trainer._signal_connector
        if not connector._original_handlers:
            self.terminated = True
            raise SIGTERMException

    def _watch(self) -> None:
        os.set_blocking(self.reads, False)
        while not self.finished.wait(EVERY):
            try:
                told = signal.SIGTERM in os.read(self.reads, 64)
            except BlockingIOError:
                told = False
            if told and not self.terminated:
                self._terminate()
            if self.lost is None:
                self._look()
            if time.monotonic() > self.deadline:
                self._leave()

    def _terminate(self) -> None:
        """Remember SIGTERM and hand it on, once."""
        self.terminated = True
        self.deadline = time.monotonic() + GRACE
        if self.trainer.world_size == 1:
            connector: Any = self.trainer._signal_connector
            connector.received_sigterm = True
        for child in self.children:
            _send(child.pid, signal.SIGTERM)
        if self.parent is not None:
            _send(self.parent, signal.SIGTERM)

    def _look(self, patience: float = 0.0) -> None:
        """See whether another rank is gone; after ``patience`` seconds at the latest."""
        end = time.monotonic() + patience
        while self.lost is None:
            self.lost = self._describe_lost()
            if self.lost is not None:
                self.deadline = min(self.deadline, time.monotonic() + LOST_GRACE)
            elif time.monotonic() >= end:
                return
            else:
                time.sleep(EVERY)

    def _describe_lost(self) -> str | None:
        if self.parent is not None and os.getppid() != self.parent:
            return f"Rank 0 (process {self.parent}) is gone"
        for rank, child in enumerate(self.children, start=1):
            code = child.poll()
            if code:
                self.terminated = self.terminated or code in (TERMINATED, -signal.SIGTERM)
                how = (
                    f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}, see above"
                )
                return f"Rank {rank} (process {child.pid}) is gone ({how})"
        return None

    def _leave(self) -> None:
        """End this process and those it started; it waits in code that no Python error can reach."""
        if self.parent is None:
            told = (
                "The run was told to stop, and waited for a process that did not"
                if self.terminated
                else self.lost
            )
            sys.stderr.write(f"ingradient-train: {told}. {self.last_words()}\n")
            sys.stderr.flush()
        for child in self.children:
            _send(child.pid, signal.SIGKILL)
        os._exit(TERMINATED if self.terminated else 1)

    def _end_children(self) -> None:
        children = self.children
        for child in children:
            if child.poll() is None and not self.terminated:
                _send(child.pid, signal.SIGTERM)
        end = time.monotonic() + CHILDREN_GRACE
        while any(child.poll() is None for child in children) and time.monotonic() < end:
            time.sleep(EVERY)
        for child in children:
            if child.poll() is None:
                _send(child.pid, signal.SIGKILL)


def _send(process: int, number: int) -> None:
    try:
        os.kill(process, number)
    except ProcessLookupError:  # it has ended already
        return


def _forget_in_child() -> None:
    """Have a forked process, such as one that reads, write its signals into no pipe of its parent's."""
    if threading.current_thread() is threading.main_thread():
        signal.set_wakeup_fd(-1)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_in_child)
