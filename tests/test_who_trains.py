"""Who trains and who validates, where a data set holds more than labelled cases for training."""

import dataclasses
from types import SimpleNamespace

import pytest
import torch
from tiny_models import TASK, network, plan
from torch.utils.data import DataLoader, random_split

from ingradient_pl.datasets.records import label_values
from ingradient_pl.datasets.split_records import Split
from ingradient_pl.datasets.splits import Fold
from ingradient_pl.draws.training import TrainingDraws
from ingradient_pl.inference import checkpoint
from ingradient_pl.lightning.datamodule import SegmentationData
from ingradient_pl.loading.patches import CasePatches
from ingradient_pl.planning.plan_yaml import read_plan
from ingradient_pl.store.case_store import CaseStore
from ingradient_pl.task import Task
from ingradient_pl.transforms.augment import Augment
from ingradient_pl.transforms.gaussian_noise import GaussianNoise
from ingradient_pl.transforms.normalise import ZScore
from ingradient_pl.transforms.patch import Interpolation, NearestVoxels


def store(**splits):
    """Cases by name: the split a table gives them, and None for those without a label."""
    return {
        name: SimpleNamespace(group=name, split=split or "", labelled=split is not None, store="")
        for name, split in splits.items()
    }


def test_cases_without_a_label_neither_train_nor_validate():
    found = store(a="", b=None, c="", d=None)
    split = Fold(0, count=2).split(found)
    assert sorted(split.train + split.validation) == ["a", "c"]
    assert Fold(None).split(found).train == ("a", "c")
    with pytest.raises(ValueError, match="None of the 1 cases has a label"):
        Fold(0).split(store(a=None))


def test_cases_without_a_label_are_left_out_of_a_file_of_splits(tmp_path):
    (tmp_path / "splits.json").write_text(
        '[{"train": ["a", "b"], "val": ["c", "d"]}, {"train": ["a"], "val": ["b"]}]'
    )
    found = store(a="", b=None, c="", d=None)
    assert Fold(0, file=str(tmp_path / "splits.json")).split(found) == Split(("a",), ("c",))
    with pytest.raises(ValueError, match="Fold 1 has 1 to train on, 0 to validate on, of those with a label"):
        Fold(1, file=str(tmp_path / "splits.json")).split(found)


def test_what_a_table_keeps_for_a_test_never_trains():
    found = store(a="train", b="val", c="test", d="train")
    assert Fold(None).split(found).train == ("a", "b", "d")
    assert Fold(0).split(found) == Split(("a", "d"), ("b",))
    split = Fold(0, count=2).split(store(a="", b="Test", c=""))
    assert sorted(split.train + split.validation) == ["a", "c"]


def test_only_what_did_not_train_was_kept_from_training():
    assert Split(("a", "b"), ("c",)).kept == ("c",)
    assert Split(("a", "b"), ("a", "b")).kept == ()


def test_of_several_folds_only_what_all_kept_was_kept(tmp_path):
    files = [tmp_path / "0.ckpt", tmp_path / "1.ckpt"]
    for number, (file, kept) in enumerate(zip(files, (["p0", "p2"], ["p1", "p2"]), strict=True)):
        checkpoint.write(file, network(number), plan(), TASK)
        held = torch.load(file, weights_only=True)
        held[checkpoint.OURS]["validation"] = kept
        torch.save(held, file)
    assert checkpoint.read(files[:1]).validation == ("p0", "p2")
    assert checkpoint.read(files).validation == ("p2",)


def test_a_plan_for_other_axes_than_the_stores_is_refused(phantom_store, phantom_plan):
    made = read_plan(phantom_plan)
    draws = TrainingDraws()
    SegmentationData(str(phantom_store), made, draws, Augment({}), Fold(count=3))
    turned = dataclasses.replace(made, orientation="RAS")
    with pytest.raises(ValueError, match="orientation RAS, the store holds them in LPS"):
        SegmentationData(str(phantom_store), turned, draws, Augment({}), Fold(count=3))


def test_weights_of_classes_that_there_are_not_are_refused(phantom_store, phantom_plan):
    made = read_plan(phantom_plan)
    draws = TrainingDraws(class_weights={1: 1.0, 7: 2.0})
    with pytest.raises(ValueError, match=r"class_weights names \[7\]"):
        SegmentationData(str(phantom_store), made, draws, Augment({}), Fold(count=3))
    assert 7 not in CaseStore(phantom_store).task.labels.values()


def test_a_list_of_one_integer_is_that_integer_unless_there_are_regions():
    def labels(told):
        return Task(("MR",), label_values(told)).labels

    assert labels({"background": 0, "tumour": [1]}) == {"background": 0, "tumour": 1}
    regions = {"background": 0, "whole": [1, 2], "tumour": [2]}
    assert labels(regions) == {"background": 0, "whole": (1, 2), "tumour": (2,)}


def test_torchs_random_split_divides_the_cases(phantom_store, phantom_plan):
    made, found = read_plan(phantom_plan), CaseStore(phantom_store)
    draws = TrainingDraws(cases_per_batch=1)
    train, validation = random_split(sorted(found.cases), [4, 2])
    patches = [CasePatches(found, made, draws, names) for names in (train, validation)]
    assert [len(one) for one in patches] == [8, 4]
    drawn = [{batch[0].case for batch in DataLoader(one, 2, collate_fn=list)} for one in patches]
    assert drawn == [set(train), set(validation)]
    assert not drawn[0] & drawn[1]


def test_an_epoch_has_iterations_batches_of_each_patient(phantom_store, phantom_plan):
    made = read_plan(phantom_plan)
    for cases_per_batch, batches in ((1, 3 * 4), (2, 3 * 4 // 2)):
        draws = TrainingDraws(cases_per_batch=cases_per_batch)
        data = SegmentationData(
            *(str(phantom_store), made, draws, Augment({}), Fold(count=3)), iterations=3, workers=0
        )
        assert len(data.split.train) == 4
        drawn = [patch.case for batch in data.train_dataloader() for patch in batch]
        assert len(drawn) == 2 * batches
        assert {drawn.count(name) for name in data.split.train} == {2 * batches // 4}


def test_what_the_plan_says_of_normalising_and_resampling_is_done_in_training(phantom_store, phantom_plan):
    made = dataclasses.replace(read_plan(phantom_plan), spacing=(3.0, 3.0, 3.0), normalisation=(ZScore(),))
    draws = TrainingDraws(affine=None)

    def patches(**told):
        planned = dataclasses.replace(made, **told)
        data = SegmentationData(str(phantom_store), planned, draws, Augment({}), Fold(count=3), workers=0)
        return data, next(iter(data.train_dataloader()))[0]

    data, plain = patches()
    assert data.prepare.masked == (False,)
    assert plain.body is None
    assert plain.image.dtype == getattr(torch, data.store.cases[plain.case].dtype) == torch.int16
    assert all(isinstance(axis, Interpolation) for axis in plain.sampling.axes)
    masked, _ = patches(normalisation=(ZScore(masked=True),))
    assert masked.prepare.masked == (True,)
    _, averaged = patches(low_pass_above=1.0)
    assert not torch.equal(averaged.sampling.axes[2].image, plain.sampling.axes[2].image)
    told = (str(phantom_store), made, draws, Augment({}), Fold(count=3))
    assert [SegmentationData(*told, label_order=order).prepare.label_order for order in (0, 1)] == [0, 1]
    _, apart = patches(separate_z_above=1.0)
    assert any(isinstance(axis, NearestVoxels) for axis in apart.sampling.axes)


@pytest.mark.parametrize("training", [True, False])
def test_training_batches_are_augmented_and_no_others(phantom_store, phantom_plan, training):
    made = read_plan(phantom_plan)
    draws = TrainingDraws()
    augment = Augment({"noise": GaussianNoise(sigma=(0.5, 0.5), p=1.0)}, 3)
    data = SegmentationData(str(phantom_store), made, draws, augment, Fold(count=3), workers=0)
    data.trainer = SimpleNamespace(training=training, global_rank=0, world_size=1)
    patches = next(iter(data.val_dataloader()))
    plain, found = data.prepare(patches), data.on_after_batch_transfer(patches, 0)
    assert torch.equal(found.label, plain.label)
    changed = float((found.image - plain.image).std())
    assert abs(changed - 0.5) < 0.01 if training else changed == 0
