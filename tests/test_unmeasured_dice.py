"""Validation in which no label occurs has no Dice: that is neither a gain nor a reason to stop."""

from types import SimpleNamespace

import pytest
import torch
from hydra.core.hydra_config import HydraConfig
from hydra.utils import instantiate
from runs import composed

from ingradient_pl.lightning.callbacks.cooldown import Cooldown
from ingradient_pl.optimizers.schedules import OpenEnded

NAN = float("nan")


@pytest.fixture(autouse=True)
def _forget_hydra():
    yield
    HydraConfig.instance().cfg = None


def after_epochs(cooldown, scores):
    """What a callback remembers of a run that reached these scores, epoch by epoch."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1)
    schedule = SimpleNamespace(scheduler=OpenEnded(optimizer, 2), interval="step")
    trainer = SimpleNamespace(
        sanity_checking=False,
        callbacks=[],
        max_epochs=-1,
        lr_scheduler_configs=[schedule],
        strategy=SimpleNamespace(broadcast=lambda value: value),
    )
    for epoch, score in enumerate(scores):
        trainer.current_epoch, trainer.callback_metrics = epoch, {"val/dice": torch.tensor(score)}
        cooldown.on_validation_end(trainer, None)
        cooldown.on_train_epoch_end(trainer, None)
    return cooldown.state_dict()


@pytest.mark.filterwarnings("ignore:val/dice is not a number")
@pytest.mark.parametrize(
    ("scores", "best", "waited"),
    [
        ([NAN, 0.1, 0.2], 0.2, 0),
        ([0.1, NAN, NAN, 0.2], 0.2, 0),
        ([0.3, NAN, 0.1, 0.2], 0.3, 2),
        ([NAN, NAN], None, 0),
    ],
)
def test_the_end_of_an_open_run_waits_for_what_is_measured(tmp_path, scores, best, waited):
    found = after_epochs(Cooldown(str(tmp_path)), scores)
    assert found["best"] == (None if best is None else pytest.approx(best))
    assert found["waited"] == waited


def test_early_stopping_goes_on_where_nothing_is_measured(quick, tmp_path):
    stop = instantiate(composed([*quick, "callbacks=early_stopping"], tmp_path).callbacks.early_stopping)
    for score in (NAN, 0.1, NAN, 0.2):
        assert not stop._evaluate_stopping_criteria(torch.tensor(score))[0]
    assert stop.best_score == pytest.approx(0.2)
