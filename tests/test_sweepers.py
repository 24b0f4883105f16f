"""Sweepers and launchers of the extra ``sweep``, each run for real."""

import json
import os
import signal
import time
import traceback
from importlib import metadata
from pathlib import Path

import preloaded
import pytest
import yaml
from cluster_work import die_of_seed_0
from hydra.errors import InstantiationException
from hydra.utils import instantiate

from ingradient_pl.cli.overrides import with_direction
from ingradient_pl.cli.submitit_jobs import keep_jobs
from ingradient_pl.cli.sweep_files import write_sweep
from ingradient_pl.cli.sweep_job import check_score
from ingradient_pl.cli.sweep_table import SCORE, keep_table
from ingradient_pl.cli.training_command import run_hydra
from ingradient_pl.commands.info import info
from ingradient_pl.lightning.record_file import write_record
from ingradient_pl.lightning.run_files import REASON, read_reason
from ingradient_pl.workers.stopped import Stopped

CHOSEN = {
    "hydra-optuna-sweeper": [
        "hydra/sweeper=optuna",
        "hydra.sweeper.n_trials=2",
    ],
    "hydra-joblib-launcher": ["hydra/launcher=joblib", "hydra.launcher.n_jobs=1", "data.workers=1"],
    "hydra-submitit-launcher": ["hydra/launcher=submitit_local", "hydra.launcher.timeout_min=10"],
}


@pytest.mark.slow
@pytest.mark.parametrize("package", sorted(CHOSEN))
def test_a_sweep_by_the_package_trains_two_runs_and_leaves_their_table(package, quick, tmp_path):
    try:
        metadata.version(package)
    except metadata.PackageNotFoundError:
        pytest.skip(f"{package} is not installed")
    line = ["-m", *quick, *CHOSEN[package]]
    line += ["epochs=1", "callbacks.images=null", "seed=choice(0,1)", f"hydra.sweep.dir={tmp_path / 'sweep'}"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = preloaded.run("ingradient_pl.cli.train", *line, env=environment, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(list((tmp_path / "sweep").glob("*/checkpoints/last.ckpt"))) == 2
    assert "alembic" not in done.stdout + done.stderr
    table = (tmp_path / "sweep" / "runs.csv").read_text().splitlines()
    assert len(table) == 3
    assert table[0] == "run,overrides,val/dice"
    if package == "hydra-optuna-sweeper":  # whose own default is to look for the lowest
        found = yaml.safe_load((tmp_path / "sweep" / "optimization_results.yaml").read_text())
        assert found["best_value"] == pytest.approx(
            max(float(row.split(",")[-1]) for row in table[1:]), abs=1e-4
        )


def test_why_a_run_of_a_sweep_failed_is_what_was_wrong(tmp_path):
    try:
        instantiate({"part": {"_target_": "fractions.Fraction", "numerator": "x"}})
    except InstantiationException as error:
        (tmp_path / REASON).write_text("".join(traceback.format_exception(error)))
    assert read_reason(tmp_path).startswith('ValueError("Invalid literal for Fraction')
    lost = "CUDA error: unspecified launch failure"
    try:
        raise RuntimeError(f"{lost}\nFor debugging consider passing CUDA_LAUNCH_BLOCKING=1\nCompile with it.")
    except RuntimeError as error:
        (tmp_path / REASON).write_text("".join(traceback.format_exception(error)))
    assert read_reason(tmp_path) == f"RuntimeError: {lost}"
    (tmp_path / REASON).write_bytes(b"\xff" * 2**20 + b"\n \n")
    assert len(read_reason(tmp_path)) < 2**17
    (tmp_path / REASON).write_bytes(b"")
    assert read_reason(tmp_path) == ""
    assert read_reason(tmp_path / "another") is None


@pytest.mark.slow
def test_a_job_that_is_killed_is_a_run_that_failed_and_the_others_are_waited_for(tmp_path, monkeypatch):
    """Submitit's launcher gives up all others at the first job that leaves no result."""
    pytest.importorskip("hydra_plugins.hydra_submitit_launcher")
    submitit = pytest.importorskip("submitit")
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))
    monkeypatch.setattr(submitit.Job, "_results_timeout_s", 1)
    sweep = tmp_path / "a [b]"
    line = ["seed=0,1", "hydra/launcher=submitit_local", f'hydra.sweep.dir="{sweep}"', "-m"]
    with pytest.raises(ChildProcessError, match=r"has not produced any output.*What the job said: .*log.err"):
        run_hydra(line, die_of_seed_0)
    assert (sweep / "runs.csv").read_text().split()[1:] == ["1,seed=1,0.5", "0,seed=0,nan"]
    assert "has not produced any output" in str(read_reason(sweep / "0"))


@pytest.fixture
def interrupts():
    """What is done at Ctrl-C afterwards as before."""
    before = signal.getsignal(signal.SIGINT)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "at_interrupt"),
    [
        (signal.SIGINT, signal.default_int_handler),
        (signal.SIGTERM, signal.default_int_handler),
        (signal.SIGTERM, signal.SIG_IGN),  # as what a script starts in the background
    ],
    ids=["SIGINT", "SIGTERM", "SIGTERM in the background"],
)
def test_who_stops_a_sweep_stops_its_jobs(number, at_interrupt, tmp_path, interrupts):
    submitit = pytest.importorskip("submitit")
    signal.signal(signal.SIGINT, at_interrupt)
    executor = submitit.AutoExecutor(folder=tmp_path, cluster="local")
    jobs = []

    def sweep():
        with keep_jobs(["hydra/launcher=submitit_local"]):
            jobs.append(executor.submit(time.sleep, 600))
            signal.raise_signal(number)

    with pytest.raises(Stopped) as stopped:
        sweep()
    assert stopped.value.by_signal == (number == signal.SIGTERM)
    assert jobs[0]._process.wait(timeout=60) != 0
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    assert signal.getsignal(signal.SIGINT) == at_interrupt


def test_a_score_that_no_run_has_stops_a_sweeper_and_is_told_otherwise(tmp_path, capsys):
    write_record(tmp_path, {"state": "finished", "scores": {"val/dice": 0.5, "train/loss": 1.0}})
    check_score(tmp_path, "val/dice", "optuna")
    with pytest.raises(ValueError, match=r"maximise=val/dize.*val/dice\. Did you mean val/dice\?.*optuna"):
        check_score(tmp_path, "val/dize", "optuna")
    check_score(tmp_path, "val/dize", "basic")
    assert "Note: maximise=val/dize" in capsys.readouterr().out
    check_score(tmp_path / "without a record", "val/dice", "optuna")


@pytest.mark.slow
def test_optuna_ends_with_the_first_runs_where_their_score_has_another_name(quick, tmp_path):
    pytest.importorskip("hydra_plugins.hydra_optuna_sweeper")
    line = ["-m", *quick, "hydra/sweeper=optuna"]
    line += ["hydra.sweeper.n_trials=3", "hydra.sweeper.n_jobs=1", "epochs=1", "callbacks.images=null"]
    line += ["seed=choice(0,1,2)", "maximise=val/dize", f"hydra.sweep.dir={tmp_path / 'sweep'}"]
    done = preloaded.run("ingradient_pl.cli.train", *line, cwd=tmp_path)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "Did you mean val/dice?" in done.stderr
    assert [file.parts[-3] for file in (tmp_path / "sweep").glob("*/checkpoints/last.ckpt")] == ["0"]


def test_a_direction_that_is_told_is_kept():
    told = ["hydra/sweeper=optuna", "hydra.sweeper.direction=minimize"]
    assert with_direction(told) == told
    assert with_direction(["seed=0,1"]) == ["seed=0,1"]


@pytest.mark.parametrize("swept", [["seed=1"], ["seed=1", "seed=2"]], ids=["one", "two"])
def test_the_table_of_a_sweep_shows_what_sets_its_runs_apart(tmp_path, swept):
    write_sweep(
        tmp_path, ["store=a", "++trainer.max_time=1", "lr=1", "seed=1" if len(swept) == 1 else "seed=1,2"]
    )
    for number, own in enumerate(swept):
        (tmp_path / str(number) / ".hydra").mkdir(parents=True)
        told = {"overrides": ["store=a", "trainer.max_time=1", "lr=1", own], "val/dice": number / 4}
        (tmp_path / str(number) / SCORE).write_text(json.dumps(told))
    keep_table(tmp_path, "val/dice")
    found = info(tmp_path)
    assert (found["kind"], found["score"]) == ("sweep", "val/dice")
    expected = [{"folder": "0", "overrides": {}, "val/dice": 0.0}]
    if len(swept) > 1:
        expected[0]["overrides"] = {"seed": "1"}
        expected.insert(0, {"folder": "1", "overrides": {"seed": "2"}, "val/dice": 0.25})
    assert found["runs"] == expected
