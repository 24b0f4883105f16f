"""A run without a length ends when validation flattens, when asked, or in time for its last epoch."""

from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch
from hydra.core.hydra_config import HydraConfig
from hydra.utils import instantiate
from runs import composed

from ingradient_pl.cli.train_config import train
from ingradient_pl.lightning.callbacks.cooldown import Cooldown


@pytest.fixture(autouse=True)
def _forget_hydra():
    yield
    HydraConfig.instance().cfg = None


@pytest.fixture(scope="module")
def open_ended(quick):
    told = ["recipe=open", "epochs=-1", "~callbacks.learning_rate", "module.scheduler.warmup=2"]
    return [*quick, *told, "~callbacks.images", "~callbacks.best"]


@pytest.fixture(scope="module")
def whole(open_ended, tmp_path_factory):
    """Rates and weights of a run of five epochs."""
    rates, module, _ = run([*open_ended, "epochs=5"], tmp_path_factory.mktemp("whole"))
    return rates, module.state_dict()


class Watch(pl.Callback):
    """The rate of every step, and what is done after an epoch."""

    def __init__(self, after=lambda epoch: None):
        self.rates, self.after = [], after

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        self.rates.append(trainer.optimizers[0].param_groups[0]["lr"] / 0.02)

    def on_train_epoch_start(self, trainer, pl_module):
        self.after(trainer.current_epoch)
        assert trainer.current_epoch < 20, "the run has no end"


def run(overrides, folder, after=lambda epoch: None, checkpoint=None):
    folder.mkdir(exist_ok=True)
    config = composed(overrides, folder)
    watch = Watch(after)
    callbacks = [watch, *instantiate(config.callbacks).values()]
    trainer = instantiate(config.trainer, callbacks=callbacks, logger=[])
    pl.seed_everything(0)
    module = instantiate(config.module)
    trainer.fit(module, instantiate(config.data), ckpt_path=checkpoint, weights_only=True)
    return watch.rates, module, trainer


@pytest.mark.slow
def test_it_ends_when_validation_flattens(open_ended, tmp_path):
    flat = ["callbacks.cooldown.patience=2", "callbacks.cooldown.smallest_gain=1.0"]
    rates, _, trainer = run([*open_ended, *flat], tmp_path)
    # three epochs of two steps to see it is flat, then 40 % of the run: two epochs
    assert rates == pytest.approx([1 / 3, 2 / 3, 1, 1, 1, 1, 1, 0.75, 0.5, 0.25])
    assert trainer.current_epoch == 5
    last = torch.load(tmp_path / "checkpoints" / "last.ckpt", weights_only=True)
    assert last["global_step"] == 10


@pytest.mark.slow
def test_a_flat_run_made_longer_waits_anew(open_ended, tmp_path):
    flat = [*open_ended, "callbacks.cooldown.patience=2", "callbacks.cooldown.smallest_gain=1.0"]
    run(flat, tmp_path / "short")
    before = tmp_path / "short" / "checkpoints" / "before_decay.ckpt"
    rates, _, trainer = run(flat, tmp_path / "longer", checkpoint=before)
    # two epochs of two steps more to see it is flat, then 40 % of the run: three epochs
    assert rates == pytest.approx([1, 1, 1, 1, 1, *(share / 6 for share in (5, 4, 3, 2, 1))])
    assert trainer.current_epoch == 8


@pytest.mark.slow
def test_it_ends_when_asked(open_ended, tmp_path):
    def ask(epoch):
        if epoch == 1:
            (tmp_path / "finish").touch()

    rates, _, _ = run(open_ended, tmp_path, ask)
    assert rates == pytest.approx([1 / 3, 2 / 3, 1, 1, 1, 0.5])
    assert not (tmp_path / "finish").exists(), "a run taken up again would end again"


@pytest.mark.slow
def test_it_falls_in_time_for_the_last_epoch(whole):
    rates, _ = whole
    assert rates == pytest.approx([1 / 3, 2 / 3, 1, 1, 1, 1, 1, 0.75, 0.5, 0.25])


@pytest.mark.slow
def test_a_run_killed_while_it_ends_comes_to_the_same_weights(whole, open_ended, tmp_path):
    overrides = [*open_ended, "epochs=5"]
    stop = [*overrides, "+trainer.max_steps=8"]
    run(stop, tmp_path / "killed")
    rates, resumed, _ = run(
        overrides, tmp_path / "again", checkpoint=tmp_path / "killed" / "checkpoints" / "last.ckpt"
    )
    assert rates == pytest.approx([0.5, 0.25])
    for name, weight in whole[1].items():
        torch.testing.assert_close(resumed.state_dict()[name], weight, rtol=0, atol=0)


@pytest.mark.slow
def test_a_finished_run_can_be_made_longer(whole, open_ended, tmp_path):
    run([*open_ended, "epochs=3"], tmp_path / "short")
    before = tmp_path / "short" / "checkpoints" / "before_decay.ckpt"
    rates, longer, _ = run([*open_ended, "epochs=5"], tmp_path / "longer", checkpoint=before)
    assert rates[-5:] == pytest.approx([1, 1, 0.75, 0.5, 0.25])
    for name, weight in whole[1].items():
        torch.testing.assert_close(longer.state_dict()[name], weight, rtol=0, atol=0)


@pytest.mark.slow
def test_the_command_ends_it_too(open_ended, tmp_path):
    train(composed([*open_ended, "epochs=3"], tmp_path))
    assert (tmp_path / "checkpoints" / "before_decay.ckpt").exists()


@pytest.mark.slow
def test_a_schedule_that_cannot_end_is_refused(quick, tmp_path):
    with pytest.raises(ValueError, match="recipe=open"):
        train(composed([*quick, "callbacks=open_ended"], tmp_path))


@pytest.mark.parametrize("wrong", [{"share": 1.0}, {"patience": 0}, {"mode": "best"}])
def test_settings_without_sense_are_refused(wrong):
    with pytest.raises(ValueError, match="patience is at least 1"):
        Cooldown(str(Path()), **wrong)


@pytest.mark.slow
def test_early_stopping_is_a_key(quick, tmp_path):
    flat = ["callbacks.early_stopping.patience=1", "callbacks.early_stopping.min_delta=1.0", "epochs=9"]
    _, _, trainer = run([*quick, "callbacks=early_stopping", "~callbacks.learning_rate", *flat], tmp_path)
    assert trainer.current_epoch == 2
