"""Ways to look for a fault in a run: ``debug=...``, and any argument of the Trainer by its name."""

import inspect

import pytest
import pytorch_lightning as pl
import torch
from hydra.core.hydra_config import HydraConfig
from hydra.utils import instantiate
from runs import composed, outcome

from ingradient_pl.cli.overrides import quote_paths
from ingradient_pl.cli.train_config import train

NEVER = {"self", "callbacks", "logger", "plugins", "model_registry", "strategy", "accelerator", "devices"}
ARGUMENTS = sorted(set(inspect.signature(pl.Trainer.__init__).parameters) - NEVER)
TOLD = {
    "max_time": "00:01:00:00",
    "accumulate_grad_batches": 2,
    "limit_train_batches": 0.5,
    "limit_val_batches": 3,
    "limit_test_batches": 3,
    "overfit_batches": 1,
    "profiler": "simple",
    "fast_dev_run": True,
    "deterministic": True,
    "gradient_clip_algorithm": "value",
    "sync_batchnorm": False,
    "min_epochs": 2,
    "max_steps": 7,
    "detect_anomaly": False,
}


@pytest.fixture(autouse=True)
def _forget_hydra():
    yield
    HydraConfig.instance().cfg = None


def seen(config):
    """Sum of each image that training saw, by epoch."""
    data = instantiate(config.data)
    trainer = instantiate(config.trainer, logger=False, enable_checkpointing=False)
    data.trainer = trainer
    loader = data.train_dataloader()
    found = []
    for epoch in range(2):
        loader.numbers.set_epoch(epoch)
        found.append([float(batch.image.sum()) for batch in map(data.prepare, loader)])
    return found


def test_every_argument_of_the_trainer_is_a_key_without_a_plus(quick, tmp_path):
    told = {key: TOLD.get(key) for key in ARGUMENTS}
    lines = [f"trainer.{key}={'null' if value is None else value}" for key, value in told.items()]
    config = composed([*quick, *quote_paths(lines)], tmp_path)
    assert {key: config.trainer[key] for key in told} == told


@pytest.mark.parametrize("key", ["max_time", "accumulate_grad_batches", "profiler", "min_epochs"])
def test_a_command_takes_them_so_and_a_name_that_is_none_is_refused(
    monkeypatch, capsys, quick, tmp_path, key
):
    line = [*quick, "--cfg", "job", f"hydra.run.dir={tmp_path}"]
    code, out, _ = outcome(monkeypatch, capsys, "train", *line, f"trainer.{key}={TOLD[key]}")
    assert code == 0
    assert f"  {key}: " in out


@pytest.mark.slow
def test_overfitting_sees_the_same_batches_without_random_changes(quick, tmp_path):
    config = composed([*quick, "debug=overfit"], tmp_path)
    assert not config.data.augment.transforms
    assert config.data.draws.affine is None
    assert config.trainer.overfit_batches == 2
    first, second = seen(config)
    assert first[:2] == second[:2]
    before, after = seen(composed(quick, tmp_path))
    assert before != after


@pytest.mark.slow
@pytest.mark.parametrize("name", ["overfit", "limit", "profiler", "detect"])
def test_each_trains_a_run_to_its_end(quick, tmp_path, name):
    short = {"overfit": ["epochs=1"], "profiler": ["batches_per_epoch=2"], "detect": ["batches_per_epoch=2"]}
    train(composed([*quick, f"debug={name}", *short.get(name, []), "epochs=1"], tmp_path))
    assert (tmp_path / "checkpoints" / "last.ckpt").is_file()
    assert bool(list(tmp_path.glob("*profile*.txt"))) == (name == "profiler")


class Broken(torch.autograd.Function):
    """Whose gradient is not a number."""

    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, gradient):
        return gradient * float("nan")


class Breaks(pl.Callback):
    """Puts it in front of the first convolution's weights."""

    def on_fit_start(self, trainer, pl_module):
        pl_module.network.register_forward_hook(
            lambda module, given, made: [Broken.apply(level) for level in made]
        )


@pytest.mark.slow
def test_a_gradient_that_is_not_a_number_is_stopped_at_and_named(quick, tmp_path):
    breaks = "+callbacks.breaks={_target_: test_debug.Breaks}"
    with pytest.raises(RuntimeError, match="'BrokenBackward' returned nan"):
        train(composed([*quick, breaks, "debug=detect", "epochs=1"], tmp_path))
