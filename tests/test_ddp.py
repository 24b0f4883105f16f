"""Two processes train as one."""

import os
import subprocess
import sys
from types import SimpleNamespace

import preloaded
import pytest
import torch
from hydra.core.hydra_config import HydraConfig
from hydra.utils import instantiate
from runs import composed
from two_hosts import two_hosts

from ingradient_pl.cli.train_config import train

RECIPES = ("nnunet", "fast")
THAWING = ["module.freeze=[encoder.*]", "module.freeze_epochs=1", "module.layer_decay=0.7"]
"""The first of two epochs trains the decoder alone, and stages learn at rates of their own."""
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}


@pytest.fixture(scope="module")
def sweep(quick, tmp_path_factory):
    """The folder in which a sweep over two recipes was started, each job with two ranks."""
    folder = tmp_path_factory.mktemp("sweep")
    line = ["-m", *quick, "trainer=ddp_cpu"]
    line += [*THAWING, f"recipe={','.join(RECIPES)}", f"hydra.sweep.dir={folder / 'sweep'}"]
    done = preloaded.run("ingradient_pl.cli.train", *line, env=ENVIRONMENT, cwd=folder, spares=(2, 1))
    assert done.returncode == 0, done.stdout + done.stderr
    (folder / "said.txt").write_text(done.stderr, encoding="utf-8")
    return folder


def last(run):
    return torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)


def train_alone(folder, overrides):
    """Train in this process; give what the last checkpoint holds."""
    folder.mkdir()
    try:
        train(composed(overrides, folder))
    finally:
        HydraConfig.instance().cfg = None
    return last(folder)


@pytest.mark.ddp
@pytest.mark.slow
@pytest.mark.parametrize("recipe", RECIPES)
def test_two_ranks_end_with_the_weights_of_one(quick, sweep, tmp_path, recipe):
    one = train_alone(tmp_path / "one", [*quick, *THAWING, f"recipe={recipe}"])
    two = last(sweep / "sweep" / str(RECIPES.index(recipe)))
    assert one["global_step"] == two["global_step"] == 4
    for name, value in one["state_dict"].items():
        if recipe == "fast" and name.endswith("conv.bias"):
            continue  # the norm behind takes it away: its gradient is rounding alone, AdamW's step is not
        torch.testing.assert_close(two["state_dict"][name], value, rtol=1e-3, atol=1e-5)


@pytest.mark.ddp
@pytest.mark.slow
def test_two_hosts_by_torchrun_end_with_the_weights_of_one(quick, sweep, tmp_path):
    """Each host has an agent of torchrun of its own; they see each other over the network alone."""
    told = [*quick, *THAWING, "recipe=nnunet", "trainer=ddp_cpu"]
    told += ["trainer.num_nodes=2", "trainer.devices=1"]
    agent = [sys.executable, "-m", "torch.distributed.run", "--nnodes=2", "--nproc-per-node=1"]
    with two_hosts() as (before, environments, address), (tmp_path / "log").open("w") as log:
        agents = []
        for host in (0, 1):
            line = [*before[host], *agent, f"--node-rank={host}", f"--master-addr={address}"]
            line += ["--master-port=29400", "-m", "ingradient_pl.cli.train", *told]
            line.append(f"hydra.run.dir={tmp_path / 'run'}")
            environment = {**ENVIRONMENT, **environments[host]}
            agents.append(subprocess.Popen(line, env=environment, cwd=tmp_path, stdout=log, stderr=log))
        try:
            codes = [one.wait(timeout=240) for one in agents]
        finally:
            for one in agents:
                one.kill()
    assert codes == [0, 0], (tmp_path / "log").read_text()[-4000:]
    left = sorted(path.name for path in tmp_path.iterdir())
    assert left == ["log", "run"]  # nothing by the second host
    found, wanted = last(tmp_path / "run"), last(sweep / "sweep" / str(RECIPES.index("nnunet")))
    assert all(torch.equal(value, found["state_dict"][name]) for name, value in wanted["state_dict"].items())


def test_a_batch_that_cannot_be_shared_is_refused_with_the_cure(quick, tmp_path):
    config = composed([*quick, "trainer=ddp_cpu", "plan.batch_size=3"], tmp_path)
    HydraConfig.instance().cfg = None
    data = instantiate(config.data)
    data.trainer = SimpleNamespace(world_size=2, global_rank=1, num_devices=2)
    for loader in (data.train_dataloader, data.val_dataloader):
        with pytest.raises(ValueError, match=r"3 patches cannot be shared among 2 ranks.*plan\.batch_size=4"):
            loader()


@pytest.mark.ddp
@pytest.mark.slow
def test_every_job_of_a_sweep_starts_its_own_ranks_in_its_own_folder(sweep):
    folders = (path for path in (sweep / "sweep").iterdir() if path.is_dir())
    runs = sorted(path for path in folders if not path.name.startswith("."))
    assert [run.name for run in runs] == ["0", "1"]
    for run in runs:
        assert last(run)["global_step"] == 4
        assert not list(run.glob("**/1/**/*.ckpt"))
    table = (sweep / "sweep" / "runs.csv").read_text().splitlines()
    wanted = [[str(number), f"recipe={recipe}"] for number, recipe in enumerate(RECIPES)]
    assert sorted(row.split(",")[:2] for row in table[1:]) == wanted
    assert {path.name for path in sweep.iterdir()} == {"sweep", "said.txt"}


@pytest.mark.ddp
@pytest.mark.slow
def test_several_ranks_hear_no_advice_that_they_cannot_follow(sweep):
    said = (sweep / "said.txt").read_text(encoding="utf-8")
    assert "recommended" not in said, said
