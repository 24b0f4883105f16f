"""What of a training step is logged, and when."""

from types import SimpleNamespace

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.profilers import PassThroughProfiler, SimpleProfiler
from torch import nn

from ingradient_pl.lightning.callbacks.time_left import TRAIN_LOSS, TimeLeft, is_told_to_bar
from ingradient_pl.lightning.module import SegmentationModule
from ingradient_pl.lightning.quiet import STEP_HOOKS, NoProfiler, leave_out_idle_hooks, spare_steps
from ingradient_pl.lightning.step_values import is_logged


def trainer(step, every=10, refresh=0, batches=50, **others):
    bar = SimpleNamespace(refresh_rate=refresh, is_enabled=refresh > 0)
    told = {"should_stop": False, "fast_dev_run": False, "is_last_batch": False, **others}
    return SimpleNamespace(
        global_step=step,
        log_every_n_steps=every,
        progress_bar_callback=bar,
        num_training_batches=batches,
        **told,
    )


@pytest.mark.parametrize(
    ("step", "batch", "given", "logged"),
    [
        (0, 0, {}, True),
        (1, 1, {}, False),
        (9, 9, {}, True),  # what Lightning hands to loggers is that of every tenth step
        (109, 9, {}, True),
        (110, 10, {}, False),
        (149, 49, {"every": 1000}, True),  # the epoch's last
        (104, 4, {"refresh": 5}, True),
        (105, 5, {"refresh": 5}, False),
        (101, 1, {"every": 1}, True),
        (101, 1, {"every": 0}, False),
        (101, 1, {"should_stop": True}, True),
        (101, 1, {"fast_dev_run": True}, True),
        (101, 1, {"is_last_batch": True, "batches": float("inf")}, True),
    ],
)
def test_a_loss_is_logged_where_somebody_sees_it(step, batch, given, logged):
    assert is_logged(trainer(step, **given), batch) is logged


class Ends(pl.Callback):
    def on_train_batch_end(self, *_):
        """Do something."""


def test_hooks_of_a_step_that_do_nothing_are_passed_by():
    own, plain = Ends(), pl.Callback()
    plain.on_before_backward = lambda *_: None
    leave_out_idle_hooks([own, plain])
    found = [[hook for hook in STEP_HOOKS if callable(getattr(one, hook))] for one in (own, plain)]
    assert found == [["on_train_batch_end"], ["on_before_backward"]]


@pytest.mark.parametrize("given", [PassThroughProfiler(), SimpleProfiler()])
def test_a_profiler_that_was_asked_for_measures(given):
    run = SimpleNamespace(callbacks=[], profiler=given)
    spare_steps(run)
    with run.profiler.profile("a hook"), run.profiler.profile("one in it"):
        pass
    if isinstance(given, SimpleProfiler):
        assert set(given.recorded_durations) == {"a hook", "one in it"}
    else:
        assert isinstance(run.profiler, NoProfiler)


def test_the_bar_shows_the_loss_of_a_step():
    run = SimpleNamespace(
        callback_metrics={"train/loss": torch.tensor(0.5)},
        progress_bar_metrics={"val/dice": 0.8},
        loggers=[],
        global_step=0,
        estimated_stepping_batches=10,
        training=True,
    )
    assert TimeLeft().get_metrics(run, SimpleNamespace()) == {"train/loss": 0.5, "val/dice": 0.8}


class Stepped(pl.LightningModule):
    """Logs its loss as the module does: the number of its batch, counted over epochs."""

    def __init__(self):
        super().__init__()
        self.weight, self.batches = nn.Parameter(torch.zeros(())), 0

    def training_step(self, batch, batch_idx):
        self.batches += 1
        loss = 0 * self.weight + float(self.batches)
        if is_logged(self.trainer, batch_idx):
            self.log(TRAIN_LOSS, loss, prog_bar=is_told_to_bar(self.trainer), batch_size=1)
        return loss

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 0.1)


@pytest.mark.parametrize("accumulated", [1, 2, 3])
@pytest.mark.parametrize("refresh", [1, 3])
def test_what_the_bar_draws_is_the_loss_of_the_batch_it_draws(
    accumulated, refresh, tmp_path, monkeypatch, capsys
):
    drawn = []

    class Watched(TimeLeft):
        def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
            super().on_train_batch_end(trainer, pl_module, outputs, batch, batch_idx)
            if (batch_idx + 1) % refresh == 0 or batch_idx == 6:
                shown = dict(part.split("=") for part in self.train_progress_bar.postfix.split(", "))
                drawn.append((float(shown[TRAIN_LOSS]), pl_module.batches))

    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    trainer = pl.Trainer(
        accelerator="cpu",
        max_epochs=2,
        logger=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        accumulate_grad_batches=accumulated,
        callbacks=[Watched(refresh)],
        default_root_dir=tmp_path,
    )
    trainer.fit(Stepped(), torch.utils.data.DataLoader(range(7)))
    assert len(drawn) == {1: 14, 3: 6}[refresh]
    assert all(shown == batch for shown, batch in drawn), drawn


def test_what_lightning_notes_at_each_hook_is_not_looked_at_as_a_weight(monkeypatch):
    module = SegmentationModule(nn.Identity(), nn.Identity())
    monkeypatch.delattr(nn.Module, "__setattr__")
    module._current_fx_name = "training_step"
    monkeypatch.undo()
    assert module._current_fx_name == "training_step"
    module.further = nn.Linear(1, 1)
    assert "further.weight" in dict(module.named_parameters())
