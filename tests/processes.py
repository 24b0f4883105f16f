"""A run in a session of its own, and who is left of it."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

LONGEST = 240.0
"""Seconds to wait for a run to begin, or to end: far more than either takes."""


def start(log, *overrides):
    """Start ``ingradient-train``; all its processes share a session."""
    line = [sys.executable, "-m", "ingradient_pl.cli.train", *map(str, overrides)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(line, env=environment, stdout=log, stderr=log, start_new_session=True)


def family(session):
    """Process numbers of a session that still live, and their command lines."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            state, _, _, its_session = folder.joinpath("stat").read_text().rpartition(")")[2].split()[:4]
            line = folder.joinpath("cmdline").read_text()
        except OSError:
            continue
        if int(its_session) == session and state != "Z":
            found[int(folder.name)] = line
    return found


def rank(session, number):
    """The process of a rank beside the first."""
    return next(pid for pid, line in family(session).items() if f"train_ddp_process_{number}" in line)


def wait_for(condition, what):
    end = time.monotonic() + LONGEST
    while not condition():
        assert time.monotonic() < end, f"{what} did not come"
        time.sleep(0.1)


def end(session):
    """Leave nothing behind, whatever the test found."""
    for pid in family(session):
        os.kill(pid, signal.SIGKILL)
