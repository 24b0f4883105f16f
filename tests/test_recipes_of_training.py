"""The keys of a recipe do what they say: nnU-Net's numbers, precision, compilation, the fast recipe."""

import csv
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from hydra.core.hydra_config import HydraConfig
from hydra.utils import instantiate
from runs import composed

from ingradient_pl.cli.train_config import train
from ingradient_pl.inference import checkpoint


@pytest.fixture(autouse=True)
def _forget_hydra():
    yield
    HydraConfig.instance().cfg = None


def optimised(config):
    """Optimiser and schedule of a run of 1000 steps."""
    module, trainer = instantiate(config.module), instantiate(config.trainer, callbacks=[], logger=[])
    module.trainer = trainer
    trainer.fit_loop.setup_data = lambda: None
    trainer.fit_loop.max_batches = 1000
    found = module.configure_optimizers()
    return module, trainer, found["optimizer"], found["lr_scheduler"]


def test_nnunets_recipe_is_nnunets(quick, tmp_path):
    config = composed([*quick, "recipe=nnunet", "epochs=1"], tmp_path)
    module, trainer, sgd, schedule = optimised(config)
    (group,) = sgd.param_groups
    assert type(sgd) is torch.optim.SGD
    assert (group["lr"], group["momentum"], group["weight_decay"]) == (0.01, 0.99, 3e-5)
    assert group["nesterov"]
    assert trainer.gradient_clip_val == 12
    assert trainer.gradient_clip_algorithm in (None, "norm")
    assert schedule["interval"] == "step"
    assert (schedule["scheduler"].total_iters, schedule["scheduler"].power) == (1000, 0.9)
    assert module.loss.level_loss.smooth == 1e-5


def test_the_fast_recipe_is_muon_with_a_warm_start(quick, tmp_path):
    _, _, muon, schedule = optimised(composed([*quick, "recipe=fast", "epochs=1"], tmp_path))
    rates = {(group["muon"], group["transposed"]): group["initial_lr"] for group in muon.param_groups}
    assert rates == {(True, False): 0.02, (False, False): 1e-2, (True, True): 0.02}
    assert muon.defaults["momentum"] == 0.95
    assert muon.param_groups[0]["lr"] == pytest.approx(0.02 / 51)
    for _ in range(1000):
        muon.step()
        schedule["scheduler"].step()
    assert muon.param_groups[0]["lr"] == 0


def test_finetuning_is_what_lost_least_on_every_seed_of_the_study(quick, tmp_path):
    with (Path(__file__).parents[1] / "docs" / "finetune.csv").open(newline="") as file:
        rows = list(csv.reader(file))
    dice = defaultdict(list)
    for trial, _, seed, _, *labels in rows:
        dice[trial, seed] += map(float, labels)
    for seed in "012":
        ours = np.mean(dice["hippocampus", seed])
        others = [
            np.mean(found)
            for (trial, one), found in dice.items()
            if (trial, one) != ("hippocampus", seed) and one == seed
        ]
        assert ours > max(others)
    _, _, sgd, _ = optimised(composed([*quick, "recipe=finetune", "epochs=1"], tmp_path))
    assert type(sgd) is torch.optim.SGD
    (group,) = sgd.param_groups
    assert (group["initial_lr"], group["momentum"], group["weight_decay"]) == (1e-3, 0.99, 3e-5)
    assert group["lr"] == pytest.approx(1e-3 / 101, rel=0.1)  # warmed up over a tenth


@pytest.mark.slow
@pytest.mark.parametrize(("recipe", "mirror"), [("fast", ()), ("nnunet", (0, 1, 2))])
def test_a_model_is_mirrored_as_its_recipe_trained_it(quick, tmp_path, recipe, mirror):
    train(composed([*quick, f"recipe={recipe}", "epochs=1", "callbacks=averaged"], tmp_path))
    model = checkpoint.read(tmp_path / "checkpoints" / "last.ckpt")
    assert model.networks
    assert model.mirror == mirror


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [([], "32-true"), (["trainer.precision=bf16-mixed"], "bf16-mixed")],
    ids=str,
)
def test_precision_fits_the_accelerator_unless_it_is_named(quick, tmp_path, overrides, expected):
    config = composed([*quick, *overrides], tmp_path)
    assert instantiate(config.trainer, callbacks=[], logger=[]).precision == expected


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*not supported by the model summary.*:UserWarning")  # Lightning 2.6
def test_a_run_in_bf16_leaves_weights_in_32_bits(quick, tmp_path):
    train(composed([*quick, "trainer.precision=bf16-mixed", "epochs=1"], tmp_path))
    found = torch.load(tmp_path / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
    assert all(value.dtype == torch.float32 and value.isfinite().all() for value in found.values())


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning")  # torch 2.13 of itself
@pytest.mark.skipif(not hasattr(torch.compiler, "set_stance"), reason="torch >= 2.6 can leave compiling out")
def test_a_compiled_network_keeps_its_names(quick, tmp_path):
    plain, compiled = tmp_path / "plain", tmp_path / "compiled"
    for folder, overrides in ((plain, []), (compiled, ["module.compile=true"])):
        folder.mkdir()
        with torch.compiler.set_stance("force_eager"):  # what is compiled is tested with the network
            train(composed([*quick, *overrides, "epochs=1"], folder))
    one, two = (
        torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
        for folder in (plain, compiled)
    )
    assert list(one) == list(two)
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert checkpoint.read(compiled / "checkpoints" / "last.ckpt").networks
    module = instantiate(composed([*quick, "module.compile=true"], compiled).module)
    assert module.network._compiled_call_impl is not None
    assert isinstance(module, pl.LightningModule)
