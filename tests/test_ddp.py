"""Two processes train as one."""

import os
import subprocess
import sys

import pytest
import torch

ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}


def train(folder, *overrides):
    line = [sys.executable, "-m", "ingradient_pl.cli.train", *overrides, f"hydra.run.dir={folder}"]
    done = subprocess.run(
        line, env=ENVIRONMENT, capture_output=True, encoding="utf-8", timeout=300, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)


@pytest.mark.ddp
@pytest.mark.slow
@pytest.mark.parametrize("recipe", ["nnunet", "fast"])
def test_two_ranks_end_with_the_weights_of_one(quick, tmp_path, recipe):
    one = train(tmp_path / "one", *quick, f"recipe={recipe}")
    two = train(tmp_path / "two", *quick, f"recipe={recipe}", "trainer=ddp_cpu")
    assert one["global_step"] == two["global_step"] == 4
    for name, value in one["state_dict"].items():
        if recipe == "fast" and name.endswith("conv.bias"):
            continue  # the norm behind takes it away: its gradient is rounding alone, AdamW's step is not
        torch.testing.assert_close(two["state_dict"][name], value, rtol=1e-3, atol=1e-5)
    assert not list(tmp_path.glob("two/**/1/**/*.ckpt"))


@pytest.mark.ddp
@pytest.mark.slow
def test_weights_thaw_on_two_ranks_as_on_one(quick, tmp_path):
    told = [*quick, "module.freeze=[encoder.*]", "module.freeze_epochs=1", "module.layer_decay=0.7"]
    one, two = train(tmp_path / "one", *told), train(tmp_path / "two", *told, "trainer=ddp_cpu")
    for name, value in one["state_dict"].items():
        torch.testing.assert_close(two["state_dict"][name], value, rtol=1e-3, atol=1e-5)


@pytest.mark.ddp
def test_a_batch_that_cannot_be_shared_is_refused_with_the_cure(quick, tmp_path):
    line = [sys.executable, "-m", "ingradient_pl.cli.train", *quick, "trainer=ddp_cpu", "plan.batch_size=3"]
    line.append(f"hydra.run.dir={tmp_path}")
    done = subprocess.run(
        line, env=ENVIRONMENT, capture_output=True, encoding="utf-8", timeout=300, check=False
    )
    assert done.returncode == 1
    assert "plan.batch_size=4" in done.stdout + done.stderr


@pytest.mark.ddp
@pytest.mark.slow
def test_every_job_of_a_sweep_starts_its_own_ranks_in_its_own_folder(quick, tmp_path):
    line = [sys.executable, "-m", "ingradient_pl.cli.train", "-m", *quick, "trainer=ddp_cpu", "seed=0,1"]
    line.append(f"hydra.sweep.dir={tmp_path / 'sweep'}")
    done = subprocess.run(
        line, env=ENVIRONMENT, capture_output=True, encoding="utf-8", timeout=300, check=False, cwd=tmp_path
    )
    assert done.returncode == 0, done.stdout + done.stderr
    folders = (path for path in (tmp_path / "sweep").iterdir() if path.is_dir())
    runs = sorted(path for path in folders if not path.name.startswith("."))
    assert [run.name for run in runs] == ["0", "1"]
    for run in runs:
        assert torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["global_step"] == 4
    table = (tmp_path / "sweep" / "runs.csv").read_text().splitlines()
    assert sorted(row.split(",")[:2] for row in table[1:]) == [["0", "seed=0"], ["1", "seed=1"]]
    assert [path.name for path in tmp_path.iterdir()] == ["sweep"]
