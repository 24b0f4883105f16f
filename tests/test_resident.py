"""Patches cut out of cases in the device's memory are those that are read from the store."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from ingradient_pl.draws.affine import RandomAffine
from ingradient_pl.draws.training import TrainingDraws
from ingradient_pl.lightning.datamodule import Fold, SegmentationData
from ingradient_pl.loading import resident as resident_module
from ingradient_pl.loading.resident import plan_residence, why_not
from ingradient_pl.planning.plan_yaml import read_plan
from ingradient_pl.store.case_store import CaseStore
from ingradient_pl.transforms.augment import Augment
from ingradient_pl.transforms.normalise import ZScore

MOVED = RandomAffine(rotation_p=0.5, scaling_p=0.5, flat=False)
FLAT = replace(MOVED, flat=True)


def data_of(store, plan, *, masked=False, affine=MOVED, **settings):
    planned = replace(plan, batch_size=6, normalisation=(ZScore(masked=masked),))
    draws = TrainingDraws(affine=affine, seed=3, cases_per_batch=3)
    module = SegmentationData(
        *(str(store), planned, draws, Augment(), Fold(count=3)),
        **{"batches_per_epoch": 3, "workers": 0, **settings},
    )
    module.trainer = SimpleNamespace(global_rank=0, world_size=1, training=True)
    return module


@pytest.mark.parametrize(
    ("spacing", "affine", "masked"),
    [
        ((1.5, 1.0, 1.0), RandomAffine(rotation_p=0, scaling_p=0), True),
        ((1.5, 1.0, 1.0), MOVED, True),
        ((1.5, 1.0, 1.0), None, False),
        ((1.3, 1.1, 0.9), MOVED, False),
        ((1.3, 1.1, 0.9), FLAT, True),
        ((5.0, 0.7, 0.7), FLAT, False),
    ],
)
def test_the_same_patches_come_from_memory_as_from_the_store(
    phantom_store, phantom_plan, spacing, masked, affine
):
    plan = replace(read_plan(phantom_plan), spacing=spacing, patch=(16, 32, 16))
    for order in (0, 1) if affine is FLAT else (1,):
        told = {"masked": masked, "affine": affine, "label_order": order, "batches_per_epoch": 1}
        kept = data_of(phantom_store, plan, resident=True, **told)
        read = data_of(phantom_store, plan, resident=False, **told)
        for ours, theirs in zip(kept.train_dataloader(), read.train_dataloader(), strict=True):
            assert ours.buffer.nbytes < 400_000  # numbers, no voxels
            found, expected = kept.prepare(ours.to("cpu")), read.prepare(theirs)
            assert found.numbers == expected.numbers
            assert found.cases == expected.cases
            assert_close(found.image, expected.image, atol=2e-4, rtol=0)
            assert (found.label != expected.label).float().mean() < 1e-4
            assert found.label.dtype == expected.label.dtype
            if masked:
                assert (found.body != expected.body).float().mean() < 1e-4


def test_workers_make_the_same_and_read_nothing(phantom_store, phantom_plan, monkeypatch):
    plan = read_plan(phantom_plan)
    kept = data_of(phantom_store, plan, resident=True, workers=1)
    loader = kept.train_dataloader()
    monkeypatch.setattr(CaseStore, "read", lambda *_, **__: pytest.fail("voxels were read"))
    batches = list(loader)
    monkeypatch.undo()
    read = data_of(phantom_store, plan, resident=False)
    for ours, theirs in zip(batches, read.train_dataloader(), strict=True):
        assert_close(kept.prepare(ours).image, read.prepare(theirs).image, atol=2e-4, rtol=0)


def test_validation_is_read_and_augmentation_is_that_of_the_numbers(phantom_store, phantom_plan):
    plan = read_plan(phantom_plan)
    kept, read = (data_of(phantom_store, plan, resident=on) for on in (True, False))
    assert isinstance(next(iter(kept.val_dataloader())), list)
    ours, theirs = (next(iter(data.train_dataloader())) for data in (kept, read))
    found, expected = kept.on_after_batch_transfer(ours, 0), read.on_after_batch_transfer(theirs, 0)
    assert_close(found.image, expected.image, atol=2e-3, rtol=0)


def test_auto_leaves_the_host_as_it_is_and_what_does_not_fit_is_said(
    phantom_store, phantom_plan, monkeypatch, capsys
):
    plan = read_plan(phantom_plan)
    assert isinstance(next(iter(data_of(phantom_store, plan).train_dataloader())), list)
    store = CaseStore(phantom_store)
    layout = plan_residence(store, sorted(store.cases), bodies=False)
    voxels = sum(int(np.prod(case.grid.shape)) for case in store.cases.values())
    assert layout.size == 3 * voxels
    device = torch.device("cuda")
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (layout.size * 4, layout.size * 9))
    assert why_not(layout, device, 0.3) is None
    assert "data.resident_share=0.2" in why_not(layout, device, 0.2)
    monkeypatch.setattr("ingradient_pl.lightning.datamodule.why_not", lambda *_: "They do not fit.")
    data = data_of(phantom_store, plan, resident=True)
    assert isinstance(next(iter(data.train_dataloader())), list)
    assert "They do not fit." in capsys.readouterr().out
    assert data.resident_share == resident_module.SHARE


@pytest.mark.parametrize("told", [{"resident": "always"}, {"resident_share": 30}], ids=str)
def test_other_settings_are_refused(phantom_store, phantom_plan, told):
    with pytest.raises(ValueError, match=r"data\.resident"):
        data_of(phantom_store, read_plan(phantom_plan), **told)
