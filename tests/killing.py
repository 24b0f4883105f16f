"""A run that is harmed at drawn moments and goes on each time, held beside one that was left alone."""

import os
import random
import shutil
import signal
import time
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import processes
import torch
from file_kinds import same

from ingradient_pl.inference.checkpoint_file import CheckpointError, check_sums
from ingradient_pl.lightning.run_epochs import EPOCHS as EPOCHS_FILE
from ingradient_pl.lightning.run_epochs import read_epochs
from ingradient_pl.lightning.run_files import LAST, find_checkpoints, find_state

EPOCHS = 5
GONE = 30.0
"""Seconds within which all processes of a run must be gone."""

LATEST = 6.0
"""Seconds between the first sign of training and the latest harm."""

COMPARED = ("state_dict", "optimizer_states", "lr_schedulers", "epoch", "global_step")
"""What two checkpoints must have in common to the bit."""


class Moment(NamedTuple):
    """What came of one harm.

    Args:
        kind: Of the harm.
        after: Seconds after the start at which it was done; NaN where the run was over first.
        code: Exit code of the run.
        lost: Epochs that were over and are to be trained again.
        faults: What is not as promised.
    """

    kind: str
    after: float
    code: int
    lost: int
    faults: tuple[str, ...]


class Kind(NamedTuple):
    """A kind of harm.

    Args:
        harm: Does it to a session, given the run's folder; returns what undoes it.
        codes: Exit codes that are right.
        line: Overrides of the run.
        in_save: Whether to wait until a checkpoint is being written.
        at_once: Whether the process may be told at any time, start-up included.
    """

    harm: Callable[[int, Path], object]
    codes: tuple[int, ...]
    line: tuple[str, ...] = ("trainer=cpu",)
    in_save: bool = False
    at_once: bool = True


def _kill_all(session, run):
    os.killpg(session, signal.SIGKILL)


def _terminate_all(session, run):
    os.killpg(session, signal.SIGTERM)


def _interrupt(session, run):
    os.kill(session, signal.SIGINT)


def _terminate(session, run):
    os.kill(session, signal.SIGTERM)


def _rank(number, which):
    def harm(session, run):
        os.kill(processes.rank(session, number), which)

    return harm


def fill_disk(session, run):
    """Fill the disk of a run's folder; gives what frees it again."""
    filler = run.parent / "filler"
    with filler.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(2**16))
        except OSError:
            pass
    return filler.unlink


def _fill_and_kill(session, run):
    free = fill_disk(session, run)
    _kill_all(session, run)
    return free


RANKS = ("trainer=ddp_cpu",)
KINDS = {
    "SIGKILL to all": Kind(_kill_all, (-9,)),
    "SIGKILL to all, two readers": Kind(_kill_all, (-9,), ("trainer=cpu", "data.workers=2")),
    "SIGKILL within a save": Kind(_kill_all, (-9,), in_save=True),
    "SIGTERM to one": Kind(_terminate, (143, -15)),
    "SIGTERM to all, two readers": Kind(_terminate_all, (143, -15), ("trainer=cpu", "data.workers=2")),
    "SIGINT": Kind(_interrupt, (130, -2)),
    "ranks, SIGKILL to all": Kind(_kill_all, (-9,), RANKS),
    "ranks, SIGKILL within a save": Kind(_kill_all, (-9,), RANKS, in_save=True),
    "ranks, SIGKILL to one": Kind(_rank(1, signal.SIGKILL), (1,), RANKS, at_once=False),
    "ranks, SIGTERM to all": Kind(_terminate_all, (143, -15), RANKS),
    "ranks, SIGTERM to one": Kind(_rank(1, signal.SIGTERM), (143,), RANKS, at_once=False),
    "SIGKILL within a save on a full disk": Kind(_fill_and_kill, (-9, 1), in_save=True),
    "a full disk": Kind(fill_disk, (1,), at_once=False),
}


class Chain:
    """One run, harmed again and again.

    Args:
        line: Overrides: store, plan and what else makes it small.
        folder: For the run, its log and its temporary files; another disk than ``elsewhere``.
        elsewhere: For temporary files of the system.
        begin: Starts a process.
    """

    def __init__(self, line, folder: Path, elsewhere: Path, begin=processes.start) -> None:
        self.begin = begin
        self.run, self.log, self.elsewhere = folder / "run", elsewhere / "log", elsewhere / "tmp"
        self.elsewhere.mkdir(parents=True)
        self.line = [*line, f"epochs={EPOCHS}", "batches_per_epoch=4", "callbacks.images=null", "resume=auto"]
        self.line.append(f"hydra.run.dir={self.run}")

    def harm(self, name: str, draws: random.Random) -> Moment:
        """Start or go on, and do the harm at a drawn moment."""
        kind, before = KINDS[name], (self.done(), self._written())
        with self.start(kind.line) as process:
            began = time.monotonic()
            self._wait(process, kind, before, draws)
            over, undo = process.poll() is not None, None
            after = float("nan") if over else time.monotonic() - began
            training = self._trains(*before)
            if not over:
                undo = self._do(kind, process)
            faults = self._end(process)
            if callable(undo):
                undo()
            code = process.wait()
        faults += self.check(kind, code, over=over, training=training)
        lost = max(0, len(read_epochs(self.run)) - self.done())
        if lost > 1:
            faults.append(f"{lost} epochs were lost")
        return Moment(name, after, code, lost, tuple(faults))

    def finish(self, line=("trainer=cpu",)) -> list[str]:
        """Go on to the end; say what is left behind then."""
        with self.start(line) as process:
            code = process.wait(processes.LONGEST * 3)
        faults = [] if code == 0 else [f"the last part ended with {code}: {self.log.read_text()[-600:]}"]
        left = list(self.run.rglob(".unfinished@*")) + list(self.elsewhere.iterdir())
        return faults + [f"left behind: {path}" for path in left]

    def start(self, line):
        """Start the run in a session of its own, of which nothing is left afterwards."""
        return _session(self.begin, self.log, [*line, *self.line], self.elsewhere)

    def done(self) -> int:
        """How many epochs there are in what the run goes on from; 0 where there is nothing."""
        file = find_state(self.run)  # the best, where a kill came before the first save of the last
        if file is None:
            return 0
        found = torch.load(file, weights_only=True, mmap=True)
        return int(found["loops"]["fit_loop"]["epoch_progress"]["current"]["processed"])

    def check(self, kind, code, *, over, training) -> list[str]:
        """What is not as promised after a run has ended."""
        faults, said = [], self.log.read_text(errors="replace")
        try:
            for file in find_checkpoints((self.run / LAST).parent):
                check_sums(file)
        except CheckpointError as error:
            faults.append(str(error))
        if not over and code not in (*kind.codes, 0):
            faults.append(f"exit code {code} instead of {kind.codes}: {said[-600:]}")
        if -9 not in kind.codes and "Traceback" in said:
            faults.append(f"a traceback: {said[-600:]}")
        if training:
            faults += [f"left in the temporary folder: {path.name}" for path in self.elsewhere.iterdir()]
        return faults

    def _written(self):
        """When the epochs of a run were last written down."""
        file = self.run / EPOCHS_FILE
        return file.stat().st_mtime_ns if file.is_file() else 0

    def _trains(self, done, written) -> bool:
        """Whether a run that went on from so many epochs has one of its own, not a killed one's."""
        return self._written() != written and len(read_epochs(self.run)) > done

    def _wait(self, process, kind, before, draws):
        """Wait for the drawn moment, or until the run is over."""
        if kind.at_once and not kind.in_save and draws.random() < 0.25:
            _sleep(process, draws.uniform(0.2, 8.0))
            return
        end = time.monotonic() + processes.LONGEST
        while process.poll() is None and time.monotonic() < end and not self._trains(*before):
            time.sleep(0.01)
        _sleep(process, draws.uniform(0, 0.5 if kind.in_save else LATEST / 2))
        while kind.in_save and process.poll() is None and time.monotonic() < end:
            if any((self.run / LAST).parent.glob(".unfinished@*")):
                return
            time.sleep(0.0005)

    def _do(self, kind, process):
        try:
            return kind.harm(process.pid, self.run)
        except (ProcessLookupError, StopIteration):  # it was over in that moment
            return None

    def _end(self, process) -> list[str]:
        """Wait until all are gone; whoever is not is a fault."""
        end = time.monotonic() + GONE
        while processes.family(process.pid) and time.monotonic() < end:
            time.sleep(0.05)
        left = processes.family(process.pid)
        return [f"{len(left)} processes are left after {GONE:.0f} s"] if left else []


def differences(run: Path, reference: Path) -> list[str]:
    """Name what differs between the last checkpoints of two runs."""
    one, two = (torch.load(folder / LAST, weights_only=True) for folder in (run, reference))
    differs = [name for name in COMPARED if not _equal(one[name], two[name])]
    return [f"'{name}' differs from that of a run left alone" for name in differs]


def _equal(one, two):
    if isinstance(one, torch.Tensor):
        return torch.equal(one, two)
    if isinstance(one, dict):
        return one.keys() == two.keys() and all(_equal(value, two[name]) for name, value in one.items())
    if isinstance(one, (list, tuple)):
        return len(one) == len(two) and all(map(_equal, one, two))
    return same(one, two)


@contextmanager
def _session(begin, log, line, temporary):
    before = os.environ.get("TMPDIR")
    os.environ["TMPDIR"] = str(temporary)
    try:
        with log.open("w") as file:
            process = begin(file, *line)
            try:
                yield process
            finally:
                processes.end(process.pid)
                process.wait()
    finally:
        os.environ.pop("TMPDIR")
        if before is not None:
            os.environ["TMPDIR"] = before


def _sleep(process, seconds):
    end = time.monotonic() + seconds
    while process.poll() is None and time.monotonic() < end:
        time.sleep(0.01)


def small_disk(folder: Path, size: str = "4m"):
    """Mount a small disk in memory, as root may; whether it is there."""
    folder.mkdir(parents=True)
    mount = shutil.which("mount")
    line = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    return mount is not None and os.spawnv(os.P_WAIT, mount, line) == 0


def unmount(folder: Path):
    umount = shutil.which("umount")
    if umount is not None:
        os.spawnv(os.P_WAIT, umount, ["umount", "-l", str(folder)])
