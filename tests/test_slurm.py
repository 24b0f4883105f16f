"""SLURM: its queue says which jobs are over, with or without accounts; and a cluster, where there is one."""

import itertools
import os
import shutil
import signal
import subprocess
import threading
import time
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest
import tiny_models
from cluster_work import double, wait_once
from runs import outcome

from ingradient_pl.inference import checkpoint
from ingradient_pl.workers.stopped import Stopped

submitit = pytest.importorskip("submitit")
slurm_queue = pytest.importorskip("ingradient_pl.workers.slurm_queue")
submitted_jobs = pytest.importorskip("ingradient_pl.workers.submitted_jobs")
cluster = pytest.importorskip("ingradient_pl.workers.cluster")


def write_script(path, *lines):
    path.write_text("\n".join(["#!/bin/sh", *lines, ""]))
    path.chmod(0o755)


def test_the_queue_is_asked_where_nobody_keeps_accounts(tmp_path, monkeypatch):
    """A job that ended or is forgotten is over; no other is, and none while the queue does not answer."""
    said = tmp_path / "said"
    write_script(tmp_path / "squeue", f"cat '{said}'")
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    watcher = slurm_queue.QueueWatcher()
    states = [*sorted(slurm_queue.ENDED), "PENDING", "RUNNING", "SUSPENDED", "CONFIGURING", "COMPLETING"]
    numbers = [*(f"7_{place}" for place in range(len(states))), "8"]
    for number in numbers:
        watcher.register_job(number)

    def over():
        watcher.update()
        return [number for number in numbers if watcher.is_done(number, "cache")]

    assert over() == []
    said.write_text("".join(f"{number}|{state}\n" for number, state in zip(numbers, states, strict=False)))
    assert over() == [*numbers[: len(slurm_queue.ENDED)], "8"]
    assert watcher.get_state("8", "cache") == "GONE"


COMMANDS = {
    "prepare": ["--source", "{raw}", "--store", "made"],
    "predict": ["--checkpoint", "model.ckpt", "--source", "{raw}/imagesTr", "--output", "made"],
    "evaluate": ["--predictions", "{raw}/labelsTr", "--labels", "{raw}/labelsTr", "--output", "made"],
}


def run_on_scripts(command, raw_phantoms, folder, monkeypatch, capsys):
    """Run a command whose jobs go to a queue of no cluster: each of its programs is a script in a folder."""
    checkpoint.write(folder / "model.ckpt", tiny_models.network(), tiny_models.plan(), tiny_models.TASK)
    monkeypatch.setenv("PATH", str(folder), prepend=os.pathsep)
    monkeypatch.chdir(folder)
    monkeypatch.setattr(slurm_queue.SlurmJob, "watcher", slurm_queue.SlurmJob.watcher)
    line = [word.format(raw=raw_phantoms) for word in COMMANDS[command]]
    before = [signal.signal(one, signal.default_int_handler) for one in (signal.SIGINT, signal.SIGTERM)]
    try:
        return outcome(
            monkeypatch, capsys, command, *line, "--cluster", "slurm", "--cluster_options", "{jobs: 2}"
        )
    finally:
        for one, handler in zip((signal.SIGINT, signal.SIGTERM), before, strict=True):
            signal.signal(one, handler)


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("moment", ["sbatch", "squeue"], ids=["submitting", "waiting"])
@pytest.mark.parametrize(("name", "code"), [("TERM", 143), ("INT", 130)])
def test_who_stops_a_command_cancels_its_jobs(
    command, moment, name, code, raw_phantoms, tmp_path, monkeypatch, capsys
):
    """A queue of no cluster: each of its programs is a script, one of which stops who called it."""
    stop = {moment: f"mkdir '{tmp_path / 'once'}' 2> /dev/null && kill -{name} $PPID"}
    write_script(tmp_path / "srun")
    write_script(tmp_path / "sbatch", stop.get("sbatch", ""), "echo Submitted batch job 7")
    write_script(tmp_path / "squeue", stop.get("squeue", ""), "echo '7_0|PENDING'", "echo '7_1|RUNNING'")
    write_script(tmp_path / "scancel", f"echo $1 >> '{tmp_path / 'cancelled'}'")
    ended, _, said = run_on_scripts(command, raw_phantoms, tmp_path, monkeypatch, capsys)
    assert ended == code, said
    assert f"ingradient {command}: stopped before its end" in said
    assert (tmp_path / "cancelled").read_text().split() == ["7_0", "7_1"]


LEFT = "Jobs that may still run: 7_0 7_1. End them: scancel 7_0 7_1\n"
UNKNOWN = "Jobs that were just being submitted may run"


@pytest.mark.filterwarnings("ignore:subprocess .* is still running:ResourceWarning")  # nobody waits for it
@pytest.mark.parametrize(("name", "code"), [("TERM", 143), ("INT", 130)])
@pytest.mark.parametrize(
    ("first", "second", "said"),
    [("squeue", "scancel", LEFT), ("sbatch", "scancel", LEFT), ("sbatch", "sbatch", UNKNOWN)],
    ids=["waiting", "submitting", "no number yet"],
)
def test_who_stops_a_command_twice_ends_it_at_once(
    first, second, said, name, code, raw_phantoms, tmp_path, monkeypatch, capfd
):
    """The second time where a program of the queue hangs: it would wait for ever."""
    ticks = itertools.count()

    def monotonic():  # asked as signals begin to wait, then at each signal
        (tmp_path / f"tick_{next(ticks)}").touch()
        return time.monotonic()

    monkeypatch.setattr(submitted_jobs, "TOGETHER", 0.0)
    monkeypatch.setattr(submitted_jobs, "time", SimpleNamespace(monotonic=monotonic))
    stop, heard = f"kill -{name} $PPID", f"until [ -e '{tmp_path}/tick_1' ]; do sleep 0.01; done"
    hang = [heard, stop, "exec sleep 60"]
    lines = {first: [f"mkdir '{tmp_path / first}_once' 2> /dev/null && {stop}"]}
    lines[second] = [*lines.get(second, ()), *hang]
    write_script(tmp_path / "srun")
    write_script(tmp_path / "sbatch", *lines.get("sbatch", ()), "echo Submitted batch job 7")
    write_script(tmp_path / "squeue", *lines.get("squeue", ()), "echo '7_0|PENDING'", "echo '7_1|RUNNING'")
    write_script(tmp_path / "scancel", *lines.get("scancel", ()))
    ended, _, error = run_on_scripts("prepare", raw_phantoms, tmp_path, monkeypatch, capfd)
    assert ended == code, error
    assert said in error
    assert "ingradient prepare: stopped at once" in error


def test_a_signal_as_the_last_job_was_cancelled_is_no_fault():
    """Then the list of jobs is empty, and what waits for signals still hears them."""
    assert submitted_jobs._describe_left([]) == "All jobs were cancelled."


@pytest.mark.parametrize("seconds", [0.0, 600.0], ids=["apart", "together"])
def test_signals_that_come_together_are_one(seconds, tmp_path, monkeypatch):
    """As of `timeout`, which tells a process and then its group."""
    monkeypatch.setattr(submitted_jobs, "TOGETHER", seconds)
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    refused = nullcontext() if seconds else pytest.raises(Stopped, match="told to again")
    try:
        with refused, submitted_jobs._hold_signals(0, lambda: "jobs"):
            signal.raise_signal(signal.SIGTERM)
    finally:
        signal.signal(signal.SIGTERM, before)


@pytest.fixture
def slurm():
    """A cluster that takes jobs; who has none skips."""
    if (
        shutil.which("sbatch") is None
        or subprocess.run(["sinfo"], capture_output=True, check=False).returncode
    ):
        pytest.skip("no SLURM")


@pytest.mark.slow
def test_what_a_job_that_somebody_cancelled_had_in_hand_is_done_again(slurm, tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))
    monkeypatch.setattr(submitit.Job, "_results_timeout_s", 1)

    def cancel():
        mark = tmp_path / "waits"
        end = time.monotonic() + 120
        while not mark.is_file() and time.monotonic() < end:
            time.sleep(0.2)
        subprocess.run(["scancel", mark.read_text()], check=True)

    threading.Thread(target=cancel, daemon=True).start()
    options = {"jobs": 2, "timeout_min": 5}
    with cluster.open_workers("slurm", options, folder=tmp_path / "jobs [1]") as workers:
        assert dict(workers.map(double, [3, 1])) == {0: 6, 1: 2}
        assert dict(workers.map(partial(wait_once, str(tmp_path)), range(3))) == {n: n for n in range(3)}
    assert (tmp_path / "waits").exists()
