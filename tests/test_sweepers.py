"""Sweepers and launchers of the extra ``sweep``, each run for real."""

import os
import subprocess
import sys
from importlib import metadata

import pytest
import yaml

from ingradient_pl.cli.overrides import with_direction

CHOSEN = {
    "hydra-optuna-sweeper": [
        "hydra/sweeper=optuna",
        "hydra.sweeper.n_trials=2",
    ],
    "hydra-joblib-launcher": ["hydra/launcher=joblib", "hydra.launcher.n_jobs=1"],
    "hydra-submitit-launcher": ["hydra/launcher=submitit_local", "hydra.launcher.timeout_min=10"],
}


@pytest.mark.slow
@pytest.mark.parametrize("package", sorted(CHOSEN))
def test_a_sweep_by_the_package_trains_two_runs_and_leaves_their_table(package, quick, tmp_path):
    try:
        metadata.version(package)
    except metadata.PackageNotFoundError:
        pytest.skip(f"{package} is not installed")
    line = [sys.executable, "-m", "ingradient_pl.cli.train", "-m", *quick, *CHOSEN[package]]
    line += ["epochs=1", "callbacks.images=null", "seed=choice(0,1)", f"hydra.sweep.dir={tmp_path / 'sweep'}"]
    done = subprocess.run(
        line,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        encoding="utf-8",
        timeout=300,
        check=False,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(list((tmp_path / "sweep").glob("*/checkpoints/last.ckpt"))) == 2
    table = (tmp_path / "sweep" / "runs.csv").read_text().splitlines()
    assert len(table) == 3
    assert table[0] == "run,told,val/dice"
    if package == "hydra-optuna-sweeper":  # whose own default is to look for the lowest
        found = yaml.safe_load((tmp_path / "sweep" / "optimization_results.yaml").read_text())
        assert found["best_value"] == pytest.approx(
            max(float(row.split(",")[-1]) for row in table[1:]), abs=1e-4
        )


def test_a_direction_that_is_told_is_kept():
    told = ["hydra/sweeper=optuna", "hydra.sweeper.direction=minimize"]
    assert with_direction(told) == told
    assert with_direction(["seed=0,1"]) == ["seed=0,1"]
