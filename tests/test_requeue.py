"""SLURM's signal before a job's time is over: the job is queued again, by the process that leads it alone."""

import os
import signal

import pytest

from ingradient_pl.cli.requeue import requeue_when_told

LEADS = {"SLURM_JOB_ID": "77", "SLURM_PROCID": "0"}


@pytest.fixture
def asked(tmp_path, monkeypatch):
    """What ``scontrol`` was asked; it refuses job 78."""
    (tmp_path / "scontrol").write_text(
        f'#!/bin/sh\necho "$*" >> "{tmp_path}/asked"\n[ "$2" != 78 ] || {{ echo "not yours" >&2; exit 1; }}\n'
    )
    (tmp_path / "scontrol").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    for name in ("SLURM_JOB_ID", "SLURM_PROCID", "LOCAL_RANK", "RANK"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / "asked"


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        (LEADS, "SIGUSR1: SLURM has queued this job again.\n"),
        ({**LEADS, "SLURM_JOB_ID": "78"}, "SIGUSR1: SLURM did not queue this job again: not yours\n"),
        ({**LEADS, "SLURM_PROCID": "1"}, ""),
    ],
    ids=["queued", "refused", "another rank"],
)
def test_the_first_rank_has_its_job_queued_again(environment, said, asked, monkeypatch, capfd):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with requeue_when_told(), requeue_when_told():
        os.kill(os.getpid(), signal.SIGUSR1)
        child = os.fork()
        if not child:  # a process that reads
            os.kill(os.getpid(), signal.SIGUSR1)
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
    assert signal.getsignal(signal.SIGUSR1) == signal.SIG_DFL
    assert capfd.readouterr().err == said
    assert (asked.read_text() if said else "") == (f"requeue {environment['SLURM_JOB_ID']}\n" if said else "")


def test_outside_a_job_a_signal_is_what_it_was(asked):
    with requeue_when_told():
        assert signal.getsignal(signal.SIGUSR1) == signal.SIG_DFL
    assert not asked.exists()
