"""Processes of one run end together, with one line that says why, whichever of them is told or lost."""

import os
import re
import signal
import threading
from pathlib import Path

import processes
import pytest
import pytorch_lightning as pl
from pytorch_lightning.loops.training_epoch_loop import _TrainingEpochLoop
from pytorch_lightning.trainer.connectors.signal_connector import _SignalConnector

from ingradient_pl.lightning import process_watch
from ingradient_pl.lightning.process_watch import LAUNCHER, ProcessWatch


def test_lightning_has_what_is_replaced_in_it():
    assert callable(LAUNCHER._launch_process_observer)
    assert callable(_SignalConnector._sigterm_notifier_fn)
    assert callable(_TrainingEpochLoop._broadcast_sigterm_tensor)
    assert pl.Trainer(logger=False, barebones=True)._signal_connector._original_handlers == {}


def test_a_watch_leaves_signals_and_lightning_as_they_were():
    before = signal.getsignal(signal.SIGTERM), LAUNCHER._launch_process_observer
    with ProcessWatch(pl.Trainer(logger=False, barebones=True), lambda: ""):
        assert signal.getsignal(signal.SIGTERM) != before[0]
        assert "INGRADIENT_FIRST_RANK" in os.environ
    assert (signal.getsignal(signal.SIGTERM), LAUNCHER._launch_process_observer) == before
    assert "INGRADIENT_FIRST_RANK" not in os.environ
    assert signal.set_wakeup_fd(-1) == -1


def test_sigterm_before_training_ends_it_at_once():
    watch = ProcessWatch(pl.Trainer(logger=False, barebones=True), lambda: "")
    with pytest.raises(SystemExit), watch:
        os.kill(os.getpid(), signal.SIGTERM)
    assert watch.terminated


def test_a_rank_whose_first_one_went_while_it_imported_does_not_wait_for_it(monkeypatch):
    monkeypatch.setenv("LOCAL_RANK", "1")
    gone = os.getppid() + 10**6
    monkeypatch.setenv("INGRADIENT_FIRST_RANK", str(gone))
    left = threading.Event()
    monkeypatch.setattr(process_watch, "LOST_GRACE", 0.1)
    monkeypatch.setattr(ProcessWatch, "_leave", lambda watch: left.set())
    with ProcessWatch(pl.Trainer(logger=False, barebones=True), lambda: "") as watch:
        assert left.wait(60)
    assert watch.lost == f"Rank 0 (process {gone}) is gone"


@pytest.mark.parametrize(
    ("said", "is_known"),
    [
        ("[../gloo/transport/tcp/pair.cc:547] Connection closed by peer [127.0.0.1]:8812", True),
        ("NCCL communicator was aborted on rank 0", True),
        ("mat1 and mat2 shapes cannot be multiplied", False),
    ],
)
def test_what_collectives_say_of_a_lost_process_is_known(monkeypatch, said, is_known):
    monkeypatch.setattr(process_watch, "EVERY", 0.01)
    watch = ProcessWatch(pl.Trainer(logger=False, barebones=True), lambda: "")
    with watch:
        assert (watch.explain(RuntimeError(said)) is not None) == is_known
    assert watch.was_terminated(RuntimeError("DataLoader worker (pid 1) is killed by signal: Terminated. "))
    assert not watch.was_terminated(RuntimeError("DataLoader worker (pid 1) is killed by signal: Killed. "))


class Impatient(pl.Callback):
    """Leaves a process less time to end by itself, of which all is waited for."""

    def on_fit_start(self, trainer, pl_module):
        process_watch.GRACE = 4.0


IMPATIENT = "+callbacks.impatient={_target_: test_ending_together.Impatient}"
CASES = {
    "group": ("trainer=ddp_cpu", 1, 143, "The run was stopped after"),
    "rank 1": ("trainer=ddp_cpu", 0, 143, "The run was stopped after"),
    "rank 1 lost": ("trainer=ddp_cpu", 0, 1, "Rank 1 .* is gone .killed by SIGKILL.*Go on with it"),
    "rank 1 asleep": ("trainer=ddp_cpu", 0, 143, "waited for a process that did not"),
    "one process and its readers": ("trainer=cpu", 2, 143, "The run was stopped after.*resume="),
}


def harm(kind, session):
    if kind in ("group", "one process and its readers"):
        os.killpg(session, signal.SIGTERM)
    elif kind == "rank 1":
        os.kill(processes.rank(session, 1), signal.SIGTERM)
    elif kind == "rank 1 lost":
        os.kill(processes.rank(session, 1), signal.SIGKILL)
    else:
        os.kill(processes.rank(session, 1), signal.SIGSTOP)
        os.kill(session, signal.SIGTERM)


@pytest.mark.ddp
@pytest.mark.slow
@pytest.mark.parametrize("kind", CASES)
def test_all_processes_of_a_run_end_with_one_line_and_the_right_code(quick, tmp_path, monkeypatch, kind):
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))
    trainer, readers, expected, told = CASES[kind]
    rest = [
        entry for entry in quick if not entry.startswith(("trainer=", "epochs", "batches", "data.workers"))
    ]
    more = [trainer, "epochs=10000", "batches_per_epoch=4", f"data.workers={readers}", "logger=none"]
    more += [IMPATIENT] if kind == "rank 1 asleep" else []
    run = tmp_path / "run"
    with (tmp_path / "log").open("w") as log:
        line = [*rest, *more, "callbacks.images=null", f"hydra.run.dir={run}"]
        process = processes.fork(log, *line, spares=(1,))
        try:
            processes.wait_for((run / "checkpoints" / "last.ckpt").is_file, "a checkpoint")
            harm(kind, process.pid)
            assert process.wait(processes.LONGEST) == expected, (tmp_path / "log").read_text()
            processes.wait_for(lambda: not processes.family(process.pid), "the end of all")
        finally:
            processes.end(process.pid)
    said = (tmp_path / "log").read_text()
    lines = [line for line in said.replace("\r", "\n").splitlines() if "ingradient-train: " in line]
    assert len(lines) == 1, said
    assert "Traceback" not in said
    assert re.search(told, lines[0]), lines[0]
