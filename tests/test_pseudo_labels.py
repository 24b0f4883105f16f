"""Pseudo-labels fill what a case did not annotate, in training alone, and nothing that somebody annotated."""

import numpy as np
import pytest
import torch

import ingradient_pl as ip
from ingradient_pl.lightning.datamodule import SegmentationData
from ingradient_pl.lightning.loss_agreement import check_use_of_data
from ingradient_pl.losses.dice_ce import DiceCE
from ingradient_pl.store.case_store import StoreError
from ingradient_pl.task import Task
from ingradient_pl.transforms.patch import Batch
from ingradient_pl.transforms.pseudo_labels import PseudoLabels

LABELS = {"background": 0, "a": 1, "b": 2, "c": 3}
SPARSE = Task(("MR",), {"background": 0, "a": 4, "b": 7, "c": 9}).consecutive()


def batch_of(annotated, task, known=None, ignore=None):
    """A line of every pair of what stands in the label and what the model says."""
    integers = (0, *task.in_files.foreground_values)
    told = [number for number in range(len(integers)) if number == 0 or known[number]]
    told += [] if ignore is None else [ignore]
    pairs = [(number, said) for number in told for said in integers]
    label, extra = (torch.tensor(part).view(1, 1, 1, -1) for part in zip(*pairs, strict=True))
    image = torch.zeros(1, 1, *label.shape[1:])
    given = Batch(image, label, None, ["case"], [0], extra=extra, known=torch.tensor([known]))
    return given, pairs, integers


@pytest.mark.parametrize("task", [Task(("MR",), LABELS), SPARSE], ids=["integers", "sparse integers"])
@pytest.mark.parametrize("annotated", [(), ("a",), ("b", "c"), ("a", "b", "c")])
def test_what_nobody_annotated_is_filled_and_nothing_else(task, annotated):
    known = [True, *(name in annotated for name in "abc")]
    given, pairs, integers = batch_of(annotated, task, known, ignore=4)
    change = PseudoLabels()
    change.check(task, filled=True)
    filled = change(given, [])
    assert filled.known.all()
    for (label, said), found in zip(pairs, filled.label.flatten().tolist(), strict=True):
        number = integers.index(said)
        assert found == (number if label == 0 and not known[number] else label)


def test_a_batch_that_knows_everything_stays():
    given, *_ = batch_of((), SPARSE, [True] * 4)
    change = PseudoLabels()
    change.check(SPARSE, filled=True)
    assert change(given._replace(known=None), []) == given._replace(known=None)


def data_of(store, plan, folder, change=None):
    return SegmentationData(
        str(store.path),
        plan,
        ip.TrainingDraws(cases_per_batch=4),
        ip.Augment([PseudoLabels() if change is None else change]),
        ip.Fold(None),
        workers=0,
        resident=False,
        extra=folder,
    )


def write_volumes(folder, store, voxels):
    for name, case in store.cases.items():
        ip.write_volume(folder, store, name, voxels(case.grid.shape))
    return str(folder)


def test_training_sees_it_and_validation_does_not(partial_store, partial_plan, tmp_path):
    folder = write_volumes(tmp_path, partial_store, lambda shape: np.full(shape, 2, np.uint8))
    data = data_of(partial_store, partial_plan, folder)
    check_use_of_data(DiceCE(), data)
    batch = data.prepare(next(iter(data.train_dataloader())))
    trained = data.augment(batch)
    assert trained.known.all()
    for name, label, before in zip(batch.cases, trained.label, batch.label, strict=True):
        annotated = partial_store.cases[name].annotated
        outside = before == 0
        if annotated is None or "lesion" in annotated:
            assert torch.equal(label, before)
        else:
            assert (label[outside & (batch.extra[batch.cases.index(name)] == 2)] == 2).all()
    assert not batch.known.all()  # as validation has it, which no augmentation sees


@pytest.mark.parametrize(
    ("voxels", "says"),
    [
        (None, "data.extra"),
        (lambda shape: np.full(shape, 0.5, np.float32), "as integers"),
        (lambda shape: np.full(shape, 5, np.uint8), "no label of the task has"),
    ],
    ids=["no volumes", "shares", "another task's"],
)
def test_what_it_cannot_fill_from_is_refused_before_a_step(
    partial_store, partial_plan, tmp_path, voxels, says
):
    folder = None if voxels is None else write_volumes(tmp_path, partial_store, voxels)
    data = data_of(partial_store, partial_plan, folder)
    with pytest.raises((ValueError, StoreError), match=says):
        check_use_of_data(DiceCE(), data)


def test_regions_are_refused():
    regions = Task(("MR",), {"background": 0, "whole": (1, 2), "core": 2}, regions_class_order=(1, 2))
    with pytest.raises(ValueError, match="whole, core"):
        PseudoLabels().check(regions, filled=True)
