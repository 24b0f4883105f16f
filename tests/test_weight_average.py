"""The average of the weights is what its formula says, what validation sees, and what is resumed."""

import pytest
import pytorch_lightning as pl
import torch
from hydra.core.hydra_config import HydraConfig
from runs import composed

from ingradient_pl.cli.train_config import train
from ingradient_pl.inference import checkpoint
from ingradient_pl.lightning.callbacks.weight_average import ENTRY, WeightAverage


@pytest.fixture(autouse=True)
def _forget_hydra():
    yield
    HydraConfig.instance().cfg = None


class Witness(pl.Callback):
    """Remembers the weights of every step and of every validation."""

    steps: list = []  # noqa: RUF012
    validations: list = []  # noqa: RUF012

    def __init__(self, kill=False):
        self.kill = kill
        self.steps.clear()
        self.validations.clear()

    def on_train_start(self, trainer, module):
        self.steps.append(weights_of(module))

    def on_train_batch_end(self, trainer, module, *_):
        self.steps.append(weights_of(module))
        if self.kill and trainer.current_epoch == 1:
            raise RuntimeError("killed")

    def on_validation_batch_end(self, trainer, module, *_):
        self.validations.append(weights_of(module))


def weights_of(module):
    return {name: weight.detach().clone() for name, weight in module.named_parameters()}


def averaged(quick, folder, *more, kill=False):
    folder.mkdir(exist_ok=True)
    witness = f"+callbacks.witness={{_target_: test_weight_average.Witness, kill: {kill}}}"
    train(composed([*quick, "callbacks=averaged", witness, *more], folder))
    return folder / "checkpoints" / "last.ckpt"


@pytest.mark.slow
def test_validation_and_checkpoints_see_the_average(quick, tmp_path):
    file = averaged(quick, tmp_path, "callbacks.average.decay=0.4")
    expected = Witness.steps[0]
    for step, weights in enumerate(Witness.steps[1:], start=1):
        kept = min(0.4, (1 + step) / (10 + step))
        expected = {name: kept * expected[name] + (1 - kept) * weight for name, weight in weights.items()}
    content = torch.load(file, weights_only=True)
    predicting = checkpoint.read(file).networks[0].state_dict()
    for name, weight in expected.items():
        torch.testing.assert_close(Witness.validations[-1][name], weight)
        torch.testing.assert_close(content["state_dict"][name], weight)
        assert torch.equal(predicting[name.removeprefix("network.")], content["state_dict"][name])
        assert torch.equal(content[ENTRY]["weights"][name], Witness.steps[-1][name])
    assert not torch.equal(Witness.steps[-1][name], Witness.validations[-1][name])


@pytest.mark.slow
def test_a_resumed_average_is_that_of_an_uninterrupted_run(quick, tmp_path):
    whole = torch.load(averaged(quick, tmp_path / "whole"), weights_only=True)
    with pytest.raises(RuntimeError, match="killed"):
        averaged(quick, tmp_path / "first", kill=True)
    resume = f"resume={tmp_path / 'first'}/checkpoints/last.ckpt"
    again = torch.load(averaged(quick, tmp_path / "second", resume), weights_only=True)
    assert whole[ENTRY]["steps"] == again[ENTRY]["steps"] == 4
    for name, weight in whole["state_dict"].items():
        assert torch.equal(weight, again["state_dict"][name]), name
        assert torch.equal(whole[ENTRY]["weights"][name], again[ENTRY]["weights"][name]), name


@pytest.mark.slow
def test_a_run_without_averages_starts_one_where_it_is(quick, tmp_path):
    train(composed([*quick, "epochs=1"], tmp_path))
    resume = f"resume={tmp_path}/checkpoints/last.ckpt"
    before = torch.load(tmp_path / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
    averaged(quick, tmp_path / "second", resume)
    assert all(torch.equal(Witness.steps[0][name], before[name]) for name in Witness.steps[0])


def test_a_share_is_no_percentage():
    with pytest.raises(ValueError, match="Divide by 100"):
        WeightAverage(99.9)
