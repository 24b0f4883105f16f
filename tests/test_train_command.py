"""``ingradient train`` is ``ingradient-train``: help, runs, faults and ranks."""

import functools
import os
import subprocess
import sys
from pathlib import Path

import preloaded
import pytest
import torch
from runs import outcome

from ingradient_pl.cli import main as entry

PROGRAMS = Path(sys.executable).parent


def call(*line, **options):
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        line, env=environment, capture_output=True, encoding="utf-8", timeout=300, check=False, **options
    )


@pytest.fixture(params=["script", "module"])
def program(request):
    """What runs ``ingradient`` in a process of its own."""
    if request.param == "module":
        return functools.partial(preloaded.run, "ingradient_pl.cli.main", spares=(1,))
    if not (PROGRAMS / "ingradient").is_file():
        pytest.skip("installed without its programs")
    return functools.partial(call, PROGRAMS / "ingradient")


@pytest.mark.slow
@pytest.mark.parametrize(
    "line", [["--help"], ["store=nowhere", "plan=nowhere.yaml"], ["epochs=x", "stroe=x"]]
)
def test_it_says_what_the_program_of_its_own_says(tmp_path, line):
    one = preloaded.run("ingradient_pl.cli.main", "train", *line, cwd=tmp_path)
    other = preloaded.run("ingradient_pl.cli.train", *line, cwd=tmp_path)
    assert (one.returncode, one.stdout, one.stderr) == (other.returncode, other.stdout, other.stderr)


@pytest.mark.ddp
@pytest.mark.slow
def test_its_ranks_are_of_the_same_run(program, quick, tmp_path):
    done = program("train", *quick, "trainer=ddp_cpu", f"hydra.run.dir={tmp_path / 'run'}", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    state = torch.load(tmp_path / "run" / "checkpoints" / "last.ckpt", weights_only=True)
    assert state["global_step"] == 4


@pytest.mark.slow
def test_a_plain_run_in_this_process(monkeypatch, capsys, quick, tmp_path):
    run = tmp_path / "run"
    line = [
        "ingradient",
        "train",
        *quick,
        "epochs=1",
        "callbacks=none",
        "logger=none",
        f"hydra.run.dir={run}",
    ]
    monkeypatch.setattr(sys, "argv", line)
    monkeypatch.setattr(sys.modules["__main__"], "__spec__", None)
    entry.main()
    assert list(run.glob("**/*.ckpt"))
    assert "Training" in capsys.readouterr().out


PATHS_OF_A_LINE = (
    "store",
    "plan",
    "init_from",
    "resume",
    "data.split.file",
    "data.previous",
    "hydra.run.dir",
)


@pytest.mark.parametrize("command", ["train", "crossval", "cascade"])
@pytest.mark.parametrize(
    ("typed", "told"),
    [
        ("--store", "written without dashes, store=VALUE"),
        ("--epochs=2", "written without dashes, epochs=VALUE"),
        ("--batches-per-epoch", "batches_per_epoch=VALUE"),
        ("store", "'store' is not KEY=VALUE"),
        *((f"{key}=", f"'{key}=' names no path") for key in PATHS_OF_A_LINE),
        ("init_from=''", "names no path"),
        ("store= ", "names no path"),
    ],
)
def test_what_is_no_key_with_a_value_is_told_as_it_is_written(monkeypatch, capsys, command, typed, told):
    code, _, error = outcome(monkeypatch, capsys, command, "epochs=1", typed)
    assert code == 2
    assert told in error
    assert "Lexer" not in error
    assert len(error.strip().splitlines()) == 1
