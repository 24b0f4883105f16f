"""SLURM: its queue says which jobs are over, with or without accounts; and a cluster, where there is one."""

import os
import shutil
import subprocess
import threading
import time
from functools import partial
from pathlib import Path

import pytest
from cluster_work import double, wait_once

submitit = pytest.importorskip("submitit")
slurm_queue = pytest.importorskip("ingradient_pl.workers.slurm_queue")
cluster = pytest.importorskip("ingradient_pl.workers.cluster")


def test_the_queue_is_asked_where_nobody_keeps_accounts(tmp_path, monkeypatch):
    """A job that ended or is forgotten is over; no other is, and none while the queue does not answer."""
    said, script = tmp_path / "said", tmp_path / "squeue"
    script.write_text(f"#!/bin/sh\ncat '{said}'\n")
    script.chmod(0o755)
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
