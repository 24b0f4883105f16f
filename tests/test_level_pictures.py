"""Pictures of levels while training: which patches, when, and what they are called."""

from types import SimpleNamespace
from unittest.mock import Mock

import pytest
import torch

from ingradient_pl.lightning.callbacks.layer_images import LayerImages, patch_directions
from ingradient_pl.planning.plan_yaml import read_plan
from ingradient_pl.transforms.patch import Batch


def batch_of(first, foreground, cases):
    """Patches whose first voxels are foreground, as many as each entry says."""
    label = torch.zeros(len(foreground), 4, 4, 4, dtype=torch.uint8)
    for patch, count in zip(label, foreground, strict=True):
        patch.view(-1)[:count] = 1
    numbers = list(range(first, first + len(foreground)))
    return Batch(torch.rand(len(foreground), 1, 4, 4, 4), label, None, list(cases), numbers)


def logits_of(batch, right):
    """Answers that are right, or miss everything."""
    inside = torch.where(torch.tensor(right)[:, None, None, None], batch.label.float(), 0.0)
    return {"pyramid": [torch.stack([1 - inside, inside], 1) * 10]}


@pytest.fixture
def watched(monkeypatch):
    """The callback, a way to validate with it, and what it wrote: (file, case, epoch)."""
    written = []
    images = LayerImages(every_n_epochs=2)
    monkeypatch.setattr(
        LayerImages,
        "_write",
        lambda self, file, key, trainer, view, stage: written.append((file, view.case, key)),
    )
    trainer = Mock(current_epoch=0, max_epochs=10, sanity_checking=False, is_global_zero=True)

    def validate(epoch, batches):
        trainer.current_epoch = epoch
        images.on_validation_epoch_start(trainer, None)
        for number, (batch, right) in enumerate(batches):
            images.on_validation_batch_end(trainer, None, logits_of(batch, right), batch, number)
        images.on_validation_epoch_end(trainer, None)

    return SimpleNamespace(images=images, trainer=trainer, validate=validate, written=written)


def test_the_same_cases_are_shown_each_time_and_the_worst_of_the_epoch(watched):
    first, second = batch_of(0, [5, 30, 9], "aab"), batch_of(3, [20, 0, 2], "bcd")
    watched.validate(0, [(first, [True] * 3), (second, [True, True, False])])
    shown = [("val_1", "a"), ("val_2", "b"), ("val_worst", "d")]
    assert [entry[:2] for entry in watched.written] == shown
    assert watched.images.state_dict() == {"fixed": [1, 3]}
    watched.written.clear()
    watched.validate(1, [(first, [True] * 3)])
    assert not watched.written  # not due
    watched.validate(2, [(first, [False, True, True]), (second, [True] * 3)])
    assert [entry[:2] for entry in watched.written] == [*shown[:2], ("val_worst", "a")]
    assert [entry[2] for entry in watched.written] == ["val/levels/1", "val/levels/2", "val/levels/worst"]


def test_a_resumed_run_shows_the_cases_it_showed_before(watched):
    watched.images.load_state_dict({"fixed": [5]})
    watched.validate(0, [(batch_of(3, [20, 0, 2], "bcd"), [True] * 3)])
    assert [entry[:2] for entry in watched.written] == [("val_1", "d"), ("val_worst", "b")]


def test_a_training_step_waits_for_nothing_and_the_richest_patch_is_shown_after_the_epoch(
    watched, monkeypatch
):
    batch = batch_of(0, [1, 7, 3], "abc")
    outputs = logits_of(batch, [True] * 3)
    for waits in ("item", "tolist", "cpu", "numpy", "__int__", "__float__", "__bool__", "__index__"):
        monkeypatch.setattr(
            torch.Tensor, waits, lambda *_, **__: pytest.fail("the step waits for the device")
        )
    watched.images.on_train_batch_end(watched.trainer, None, outputs, batch, 0)
    monkeypatch.undo()
    written = []
    monkeypatch.setattr(
        LayerImages, "_write", lambda self, file, key, trainer, view, stage: written.append(view)
    )
    watched.images.on_train_epoch_end(watched.trainer, None)
    assert [(view.case, int(view.foreground)) for view in written] == [("b", 7)]


@pytest.mark.parametrize("wrong", [{"every_n_epochs": 0}, {"cases": 0}])
def test_numbers_below_one_are_refused(wrong):
    with pytest.raises(ValueError, match="at least 1, got 0"):
        LayerImages(**wrong)


def test_sides_are_known_where_the_plan_brings_cases_to_an_orientation(phantom_plan):
    plan = read_plan(phantom_plan)
    assert patch_directions(plan) == "SPL"
    object.__setattr__(plan, "transpose", (2, 0, 1))
    assert patch_directions(plan) == "LSP"
    object.__setattr__(plan, "orientation", "stored")
    assert patch_directions(plan) == ""
