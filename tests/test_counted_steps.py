"""A resumed run whose epochs take another number of steps ends at the rate at which it should end."""

from types import SimpleNamespace

import pytest
from hydra.core.hydra_config import HydraConfig
from runs import composed

from ingradient_pl.cli.train_config import train
from ingradient_pl.lightning.callbacks.changed_settings import ChangedSettings
from ingradient_pl.lightning.counted_steps import count_steps, steps_per_epoch
from ingradient_pl.lightning.record_file import read_record
from ingradient_pl.lightning.run_files import LAST


@pytest.fixture(autouse=True)
def _forget_hydra():
    yield
    HydraConfig.instance().cfg = None


def trainer(batches, epochs, done=0, accumulated=1, most=-1):
    stepping = -(-batches // accumulated) * epochs
    return SimpleNamespace(
        num_training_batches=batches,
        accumulate_grad_batches=accumulated,
        max_epochs=epochs,
        max_steps=most,
        global_step=done,
        estimated_stepping_batches=stepping if most < 0 else min(most, stepping),
    )


def resumed(one, before):
    """What a run keeps once it was resumed with a trainer, and the steps that its schedule is told."""
    now = {
        "length": one.estimated_stepping_batches,
        "counted": {"steps": 0, "epochs": 0.0, "per_epoch": steps_per_epoch(one)},
    }
    return now, count_steps(one, before, now)


@pytest.mark.parametrize(
    ("first", "later", "wanted"),
    [
        (trainer(10, 4), trainer(10, 8, 40), None),  # longer, epochs alike: the trainer is right
        (trainer(10, 4), trainer(10, 8, 40, 2), 40 + 4 * 5),
        (trainer(10, 4), trainer(10, 8, 40, 3), 40 + 4 * 4),
        (trainer(10, 4), trainer(1, 8, 40), 40 + 4),
        (trainer(10, 4), trainer(30, 8, 40), 40 + 4 * 30),
        (trainer(10, 4, accumulated=2), trainer(10, 6, 20), 20 + 2 * 10),
        (trainer(10, 4), trainer(20, 8, 25), 25 + 110),  # killed in the middle of the third epoch
        (trainer(10, 4), trainer(10, 8, 40, 2, most=50), 50),
        (trainer(10, 4), trainer(10, 4, 40, 2), 41),  # nothing left to train
        (trainer(10, 4), trainer(float("inf"), 8, 40), None),
    ],
)
def test_steps_of_the_whole_run_are_those_done_and_those_to_come(first, later, wanted):
    before, _ = resumed(first, {})
    if later.num_training_batches == float("inf"):
        later.estimated_stepping_batches = float("inf")
    now, steps = resumed(later, before) if wanted or later.num_training_batches == 10 else ({}, wanted)
    assert steps == wanted
    if wanted:
        assert now["length"] == wanted


def test_a_run_that_was_changed_twice_counts_on():
    before, _ = resumed(trainer(10, 4), {})
    second, steps = resumed(trainer(10, 8, 40, 2), before)
    assert steps == 60
    third, steps = resumed(trainer(10, 8, 50, 2), second)  # killed half way, and resumed as it was
    assert steps == 60
    assert third["length"] == 60
    _, steps = resumed(trainer(10, 10, 60, 1), third)
    assert steps == 60 + 2 * 10


@pytest.mark.parametrize(
    ("epoch", "done", "steps", "known"), [(3, 4, 40, 10), (3, 3, 35, 0), (0, 1, 7, 7), (3, 4, 41, 0)]
)
def test_steps_that_an_older_checkpoint_did_not_write_down_follow_from_its_epochs(epoch, done, steps, known):
    one, progress = ChangedSettings(), {"current": {"processed": done}}
    checkpoint = {"epoch": epoch, "global_step": steps, "loops": {"fit_loop": {"epoch_progress": progress}}}
    one.on_load_checkpoint(SimpleNamespace(checkpoint_callbacks=[]), None, checkpoint)
    one.load_state_dict({"length": 40})
    assert one.before["counted"] == {"steps": 0, "epochs": 0.0, "per_epoch": known}
    one.load_state_dict({})
    assert not one.before


def test_a_schedule_without_a_length_is_left_alone():
    before, _ = resumed(trainer(10, 4), {})
    one = trainer(10, 8, 40, 2)
    now = {"length": None, "counted": {"steps": 0, "epochs": 0.0, "per_epoch": steps_per_epoch(one)}}
    assert count_steps(one, before, now) is None


@pytest.mark.slow
def test_a_resumed_run_that_accumulates_trains_at_a_rate_that_falls_to_its_end(quick, tmp_path):
    told = [*quick, "logger=none", "~callbacks.images", "recipe=nnunet", "epochs=2", "batches_per_epoch=2"]
    train(composed(told, tmp_path))
    changed = ["epochs=4", "+trainer.accumulate_grad_batches=2", f"resume='{tmp_path / LAST}'"]
    train(composed([*told, *changed], tmp_path))
    lines = [line for line in (tmp_path / "train.log").read_text().splitlines() if "Epoch " in line]
    rates = [float(line.split(" lr ")[1].split(",")[0]) for line in lines]
    assert len(rates) == 4
    assert rates[-1] == pytest.approx(0.01 * (1 / 6) ** 0.9, rel=1e-3)  # 4 steps, then one an epoch
    losses = [float(line.split(" loss ")[1].split(",")[0]) for line in lines]
    assert max(losses) < 1.5 * min(losses)  # Lightning halves those of two batches
    assert read_record(tmp_path)["epochs_done"] == 4
