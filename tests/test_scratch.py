"""Temporary folders: gone on leaving, gone once a run trains, and gone at the next start after a kill."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from ingradient_pl.lightning.run_files import find_checkpoints, find_state
from ingradient_pl.scratch import clear_scratch, scratch_folder

GONE = 2**22 + 1
"""A number that no process has."""


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_a_folder_is_there_while_it_is_wanted(place):
    with scratch_folder() as outer, scratch_folder(until_training=True) as inner:
        (inner / "plan").mkdir()
        assert sorted(place.iterdir()) == sorted([outer, inner])
        clear_scratch()
        assert list(place.iterdir()) == [outer]
    assert not list(place.iterdir())
    clear_scratch()


def test_what_killed_processes_left_goes_and_nothing_else(place):
    host = os.uname().nodename
    lost = place / f".unfinished@{host}@{GONE}@scratch-abc"
    kept = [place / f".unfinished@{host}@{os.getppid()}@scratch-abc", place / "scratch", place / "tmpabc"]
    kept += [
        place / f".unfinished@elsewhere@{GONE}@scratch-abc",
        place / f".unfinished@{host}@{GONE}@plan.yaml",
    ]
    for folder in (lost, *kept):
        (folder / "plan").mkdir(parents=True)
    (place / "victim").mkdir()
    (place / f".unfinished@{host}@{GONE}@scratch-link").symlink_to(place / "victim")
    with scratch_folder():
        assert not lost.exists()
        assert all((folder / "plan").is_dir() for folder in kept)
        assert (place / "victim").is_dir()


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs Linux's list of processes")
def test_a_process_that_was_killed_and_not_reaped_is_gone(place):
    """In a container without an init process the children of a killed run stay in the list for good."""
    lingering = subprocess.Popen([sys.executable, "-c", "pass"])
    os.waitid(os.P_PID, lingering.pid, os.WEXITED | os.WNOWAIT)
    lost = place / f".unfinished@{os.uname().nodename}@{lingering.pid}@scratch-abc"
    lost.mkdir()
    with scratch_folder():
        assert not lost.exists()
    lingering.wait()


def test_a_checkpoint_that_was_being_written_is_none(tmp_path):
    for name in ("last.ckpt", "best.ckpt", f".unfinished@host@{GONE}@last.ckpt"):
        (tmp_path / name).touch()
    assert [file.name for file in find_checkpoints(tmp_path)] == ["best.ckpt", "last.ckpt"]
    assert not find_checkpoints(tmp_path / "nowhere")


def test_a_run_killed_between_its_first_best_and_its_first_last_state_goes_on_from_the_best(tmp_path):
    assert find_state(tmp_path) is None
    (tmp_path / "checkpoints").mkdir()
    for name in (f".unfinished@host@{GONE}@last.ckpt", "best.ckpt", "last.ckpt"):
        (tmp_path / "checkpoints" / name).touch()
        state = find_state(tmp_path)
        assert (None if state is None else state.name) == (None if name.startswith(".") else name)
