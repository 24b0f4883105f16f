"""What the comments of the shipped config say of a number holds: generated from them, key by key."""

import copy
import math
from types import SimpleNamespace

import pytest
import torch
from omegaconf import OmegaConf
from pytorch_lightning.callbacks import EarlyStopping
from runs import composed

from ingradient_pl.cli.number_values import check_numbers
from ingradient_pl.cli.train_config import train
from ingradient_pl.lightning.callbacks.freeze import Freeze
from ingradient_pl.lightning.callbacks.idle import find_idle
from ingradient_pl.lightning.check_ranges import check_ranges
from ingradient_pl.lightning.key_ranges import KeyRange, key_comments, read_range
from ingradient_pl.messages import UsageError
from ingradient_pl.optimizers.schedules import OpenEnded
from ingradient_pl.spec import TARGET

STATED = {key: comment for key, comment in key_comments().items() if comment.allowed or comment.usual}
HUGE = 1e30
NUMBERS_OF_A_RUN = [
    *("module.optimizer.lr", "module.optimizer.momentum", "module.optimizer.weight_decay"),
    *("module.optimizer.adam_lr", "module.scheduler.warmup", "module.scheduler.power", "module.layer_decay"),
    *("trainer.gradient_clip_val", "trainer.limit_train_batches", "trainer.accumulate_grad_batches"),
    *("trainer.check_val_every_n_epoch", "trainer.log_every_n_steps", "callbacks.last.every_n_epochs"),
    *("data.draws.affine.rotation_p", "data.draws.oversampling.share", "data.draws.margin"),
    *("module.loss.level_loss.dice", "module.network.dropout", "data.resident_share", "data.iterations"),
]


@pytest.fixture(scope="module")
def fast(quick, tmp_path_factory):
    """The config of a run, to be copied."""
    return composed([*quick, "recipe=fast"], tmp_path_factory.mktemp("run"))


def outside(given: KeyRange) -> list[float]:
    """Numbers that a range does not hold."""
    wrong = [math.nan, math.inf, -math.inf, given.least - 1]
    wrong += [given.least] if given.open_below else []
    if math.isfinite(given.most):
        wrong += [given.most + 1, given.most + 15, HUGE, *([given.most] if given.open_above else [])]
    return wrong


def node(target: tuple[str, str], key: str, value: object) -> dict[str, object]:
    return {TARGET: ".".join(target), key: value}


@pytest.mark.parametrize(("package", "kind", "key"), STATED, ids=lambda part: str(part))
def test_a_number_out_of_the_range_that_is_stated_is_refused_or_asked_about(capsys, package, kind, key):
    comment = STATED[package, kind, key]
    for wrong in outside(comment.allowed) if comment.allowed else ():
        for value in (wrong, [comment.allowed.least + 1e-3, wrong], {"a": wrong}):
            with pytest.raises(UsageError, match=rf"place\.{key} must lie .*got"):
                check_ranges("place", node((package, kind), key, value))
    for seldom in outside(comment.usual) if comment.usual else ():
        if comment.allowed is None or comment.allowed.holds(seldom):
            check_ranges("place", node((package, kind), key, seldom))
            assert f"Note: place.{key} is {seldom:g}" in capsys.readouterr().out
    check_ranges("place", node((package, kind), key, None))
    check_ranges("place", node((package, kind), key, "${plan.patch}"))


def test_ranges_are_stated_for_the_numbers_that_decide_a_run(fast):
    for name in NUMBERS_OF_A_RUN:
        place, _, key = name.rpartition(".")
        target = OmegaConf.select(fast, place)[TARGET]
        assert (target.partition(".")[0], target.rpartition(".")[2], key) in STATED, name


@pytest.mark.parametrize("recipe", ["finetune", "nnunet", "open"])
def test_what_is_shipped_lies_within_what_is_usual(quick, tmp_path, capsys, recipe):
    more = ["draws@data.draws=heavy", "augment@data.augment=heavy", "loss@module.loss=dice_topk"]
    check_numbers(composed([*quick, f"recipe={recipe}", *more], tmp_path))
    assert "Note" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("module.optimizer.momentum", 2, r"momentum must lie in \[0, 1\), got 2"),
        ("module.scheduler.warmup", 15, r"warmup must lie in \[0, 1\), got 15\. A percentage\? Write 0\.15"),
        ("trainer.gradient_clip_val", 0, "must lie above 0, got 0.*null: not clipped"),
        ("trainer.limit_train_batches", 0, "limit_train_batches must lie above 0"),
        ("trainer.val_check_interval", 0, "val_check_interval must lie above 0"),
        ("data.draws.affine.rotation", [-500, 30], "rotation must lie in"),
    ],
)
def test_a_run_is_refused_with_key_value_and_cure(fast, key, value, words):
    config = copy.deepcopy(fast)
    OmegaConf.update(config, key, value, force_add=True)
    with pytest.raises(UsageError, match=words):
        train(config)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("in (0, 1]", KeyRange("in (0, 1]", 0, 1, open_below=True)),
        ("epochs from one to the next, from 1", KeyRange("from 1", 1, math.inf)),
        ("from -1: all; in [0, 1] elsewhere", KeyRange("from -1", -1, math.inf)),
        ("in [0, count)", None),
        ("voxels from the plan", None),
    ],
)
def test_a_range_is_read_as_it_is_written(text, found):
    assert read_range(text) == found


@pytest.mark.slow
def test_a_run_that_learns_validates_and_saves_nothing_says_so(quick, tmp_path, capsys):
    told = ["module.optimizer.lr=0", "module.optimizer.weight_decay=0", "recipe=nnunet"]
    told += ["trainer.limit_val_batches=0", "callbacks.last.every_n_epochs=5", "callbacks.best=null"]
    train(composed([*quick, *told, "epochs=1", "batches_per_epoch=2"], tmp_path))
    out = capsys.readouterr().out
    assert "Note: module.optimizer.lr is 0, which is seldom meant: it usually lies in (0, 1]." in out
    assert "no weight changed in this epoch" in out
    assert "nothing will be validated (trainer.limit_val_batches=0)" in out
    assert "last.ckpt will never be saved: every_n_epochs=5, and the run has 1" in out
    assert "No callback saved" in out


@pytest.mark.parametrize(
    ("epochs", "steps", "words"),
    [
        (4, 30, ["rises to 59 % of what module.optimizer says", "freeze_epochs=5", "stopped early after 7"]),
        (5, 50, ["freeze_epochs=5", "stopped early after 7"]),
        (7, 51, ["stopped early after 7"]),
        (8, 10**6, []),
        (-1, math.inf, []),
    ],
)
def test_what_would_begin_after_the_last_epoch_is_told(epochs, steps, words):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1)
    trainer = SimpleNamespace(
        max_epochs=epochs,
        estimated_stepping_batches=steps,
        check_val_every_n_epoch=1,
        limit_val_batches=1.0,
        datamodule=None,
        checkpoint_callbacks=[],
        callbacks=[Freeze(["encoder.*"], 5), EarlyStopping("val/dice", patience=7)],
        lr_scheduler_configs=[SimpleNamespace(interval="step", scheduler=OpenEnded(optimizer, 50))],
    )
    found = list(find_idle(trainer))
    assert len(found) == len(words)
    assert all(one in told for one, told in zip(words, found, strict=True))
