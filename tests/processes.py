"""A run in a session of its own, and who is left of it."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import preloaded

LONGEST = 240.0
"""Seconds to wait for a run to begin, or to end: far more than either takes."""


def start(log, *overrides):
    """Start ``ingradient-train``; all its processes share a session."""
    line = [sys.executable, "-m", "ingradient_pl.cli.train", *map(str, overrides)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(line, env=environment, stdout=log, stderr=log, start_new_session=True)


def fork(log, *overrides, spares=()):
    """Start it as ``start`` does, but from a process that has imported what it needs, as its ranks are."""
    how = {"start_new_session": True, "env": {**os.environ, "OMP_NUM_THREADS": "1"}, "spares": spares}
    return preloaded.Command("ingradient_pl.cli.train", *overrides, stdout=log, stderr=log, **how)


def family(session):
    """Process numbers of a session that still live, and their names and command lines."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            state, _, _, its_session = folder.joinpath("stat").read_text().rpartition(")")[2].split()[:4]
            line = "".join(folder.joinpath(name).read_text() for name in ("comm", "cmdline"))
        except OSError:
            continue
        if int(its_session) == session and state != "Z":
            found[int(folder.name)] = line
    return found


def rank(session, number):
    """The process of a rank beside the first."""
    names = (f"train_ddp_process_{number}", f"rank {number}\n")
    return next(pid for pid, line in family(session).items() if any(name in line for name in names))


def wait_for(condition, what):
    end = time.monotonic() + LONGEST
    while not condition():
        assert time.monotonic() < end, f"{what} did not come"
        time.sleep(0.1)


def end(session):
    """Leave nothing behind, whatever the test found."""
    for pid in family(session):
        os.kill(pid, signal.SIGKILL)
