"""What becomes of labels that overlap behind prepare: post-processing, several stores, pictures, training."""

import dataclasses
import json

import numpy as np
import pytest
import torch
from hydra.core.hydra_config import HydraConfig
from oracles import plan as made_plan
from overlapping_labels import Knowing, masks_of, save
from runs import composed

import ingradient_pl as ip
from ingradient_pl.cli.train_config import train
from ingradient_pl.datasets.records import CaseFiles
from ingradient_pl.images.formats import read_label
from ingradient_pl.images.packed_masks import (
    clear_under,
    empty_masks,
    find_combinations,
    held_masks,
    number_masks,
    number_together,
    pack_integers,
    put_mask,
    take_mask,
    unpack_masks,
)
from ingradient_pl.inference import checkpoint
from ingradient_pl.inference.answer_files import MAPS, answer_parts
from ingradient_pl.inference.answer_folder import AnswerFolder
from ingradient_pl.inference.checkpoint import Model
from ingradient_pl.inference.postprocess import LargestComponent, SmallestSize, Steps
from ingradient_pl.inference.predictor import Predictor
from ingradient_pl.metrics.evaluation_masks import score_masks
from ingradient_pl.metrics.surface import SurfaceDistances
from ingradient_pl.pictures.levels import Shown, draw_levels, look_at_patch, score_patches
from ingradient_pl.pictures.slices import colour_of, draw_labels
from ingradient_pl.reports.doubts import read_maps
from ingradient_pl.reports.evaluations import describe_evaluation
from ingradient_pl.reports.parts import Items, Viewer
from ingradient_pl.reports.summaries import read_summary
from ingradient_pl.store.unite_tasks import unite_tasks
from ingradient_pl.task import Task

OVERLAP = {"wt": {"file": "{case}_wt"}, "tc": {"file": "{case}_tc"}}
TASK = Task(("MR",), {"background": 0, "wt": (1, 3), "tc": (2, 3)}, overlap=OVERLAP)


def packed_of(masks):
    packed = empty_masks(len(masks), masks[0].shape)
    for number, mask in enumerate(masks, 1):
        put_mask(packed, number, mask)
    return packed


@pytest.mark.parametrize("count", [1, 3, 8, 9, 20])
def test_masks_are_packed_and_numbered_without_loss(count):
    masks = list(masks_of(0, tuple(f"l{n}" for n in range(count)), (3, 5, 4)).values())
    packed = packed_of(masks)
    assert len(packed) == -(-count // 8)
    np.testing.assert_array_equal(unpack_masks(packed, count), np.stack(masks).astype(np.uint8))
    assert held_masks(packed) == list(range(1, count + 1))
    rows = np.stack(masks).reshape(count, -1).T
    wanted = {tuple((np.flatnonzero(row) + 1).tolist()) for row in rows if row.any()}
    assert find_combinations(packed) == wanted
    (label,), values = number_together([packed], count)
    for mask, held in zip(masks, values, strict=True):
        np.testing.assert_array_equal(np.isin(label, held), mask)
    np.testing.assert_array_equal(pack_integers(label, values), packed)
    put_mask(packed, 1, masks[0] & False)
    assert not take_mask(packed, 1).any()
    assert held_masks(packed) == list(range(2, count + 1))


def test_voxels_that_are_ignored_have_no_other_label():
    packed = packed_of(list(masks_of(1, ("a", "b", "ignore")).values()))
    ignored = take_mask(packed, 3)
    clear_under(packed, 3)
    assert find_combinations(packed) == {(1,), (2,), (1, 2), (3,)}
    np.testing.assert_array_equal(take_mask(packed, 3), ignored)
    assert number_masks(packed, {(1,): 1, (2,): 2, (3,): 3, (1, 2): 300}).dtype == np.uint16


def test_post_processing_takes_a_piece_from_one_label_and_leaves_it_to_others():
    wt, tc = np.zeros((2, 6, 8, 8), bool)
    wt[1:5, 1:4, 1:4] = tc[1:3, 1:3, 1:3] = True
    wt[1:3, 6:8, 6:8] = tc[4:6, 5:8, 5:8] = True  # a stray piece of one within reach of the other's largest
    packed = packed_of([wt, tc])
    kept = Steps((LargestComponent((1,), together=True),))(packed, (1.0, 1.0, 1.0))
    assert take_mask(kept, 1).sum() == 36
    np.testing.assert_array_equal(take_mask(kept, 2), tc)
    small = Steps((SmallestSize(voxels=10),))(packed, (1.0, 1.0, 1.0))
    assert [int(take_mask(small, number).sum()) for number in (1, 2)] == [36, 18]
    whole = Steps((LargestComponent(together=True),))(packed, (1.0, 1.0, 1.0))
    assert [int(take_mask(whole, number).sum()) for number in (1, 2)] == [36, 8]
    np.testing.assert_array_equal(packed, packed_of([wt, tc]))


def test_scores_and_distances_are_of_each_mask_by_itself():
    truth = list(masks_of(2, ("a", "b")).values())
    found = [truth[0], truth[1] ^ np.pad(truth[1], ((1, 0), (0, 0), (0, 0)))[:-1]]
    scores = score_masks(packed_of(found), packed_of(truth), [1, 2], [SurfaceDistances(2.0)], (1.5, 1.0, 1.0))
    assert (scores[1]["Dice"], scores[1]["HD95"]) == (1.0, 0.0)
    both = (found[1] & truth[1]).sum()
    assert scores[2]["Dice"] == 2 * both / (found[1].sum() + truth[1].sum())
    assert scores[2]["TP"] + scores[2]["FP"] + scores[2]["FN"] + scores[2]["TN"] == truth[0].size


def test_stores_unite_by_name_where_labels_of_one_overlap():
    plain = Task(("MR",), {"background": 0, "tc": 1, "vessel": 2})
    regions = Task(("MR",), {"background": 0, "wt": (1, 2), "tc": (2,)}, regions_class_order=(1, 2))
    united = unite_tasks({"masks": TASK, "plain": plain, "regions": regions})
    assert list(united.task.foreground) == ["wt", "tc", "vessel"]
    assert united.task.overlap == {name: {"file": f"{{case}}/{name}"} for name in ("wt", "tc", "vessel")}
    meaning = united.task.combinations
    assert meaning[int(united.integers["masks"][3])] == (1, 2)
    assert meaning[int(united.integers["plain"][2])] == (3,)
    assert meaning[int(united.integers["regions"][2])] == (1, 2)
    assert unite_tasks({"one": TASK, "two": regions}).task.overlap == OVERLAP


def test_predict_gives_arrays_a_mask_for_each_label():
    changes = {"outputs": 2, "regions": TASK.regions, "spacing": (1.0, 1.0, 1.0)}
    model = Model([Knowing(2)], dataclasses.replace(made_plan(), **changes), TASK, "test", ())
    image = np.full((1, 8, 8, 8), 1.0, np.float32)
    image[0, 2:4], image[0, 4:6] = 3.0, 7.0  # the first alone, then both
    label = Predictor(model, step=1.0).predict(image, (1.0, 1.0, 1.0))
    assert label.shape == (2, 8, 8, 8)
    assert label[0, 2:6].all()
    assert label[1, 4:6].all()
    assert label.sum() == 6 * 64


def test_pictures_draw_an_outline_for_each_label():
    label = np.zeros((20, 20), np.uint8)
    label[2:12, 2:12], label[6:12, 6:12] = 1, 3
    label[6:18, 12:18], label[12:18, 6:12] = 2, 2
    drawn = draw_labels(np.zeros((80, 80, 3), np.uint8), label, TASK.regions)
    assert tuple(drawn[30, 8]) == colour_of(1)[:3]
    assert tuple(drawn[25, 32]) == colour_of(2)[:3]  # the second begins within the first
    assert tuple(drawn[47, 25]) == colour_of(1)[:3]  # and there the first ends
    same = draw_labels(np.zeros((80, 80, 3), np.uint8), (label > 0) * 3, TASK.regions)
    seen = {tuple(pixel) for pixel in same[8, 8:40].tolist()}
    assert {colour_of(1), colour_of(2)} <= seen  # together they take turns


def test_levels_show_overlapping_labels_as_they_are_learnt():
    label = torch.zeros(4, 8, 8, dtype=torch.uint8)
    label[:, :4], label[:, 2:4], label[:, 4:6] = 1, 3, 2
    logits = torch.stack([torch.isin(label, torch.tensor(held)) * 40.0 - 20 for held in TASK.regions])
    assert score_patches(logits[None], label[None], None, TASK.regions).tolist() == [[1.0, 1.0]]
    view = look_at_patch(
        "a", torch.rand(4, 8, 8), label, [logits, logits[:, :, ::2, ::2]], None, TASK.regions
    )
    assert view.levels[0].prediction.unique().tolist() == [0, 1, 2, 3]  # a bit for each label
    assert (view.levels[0].prediction == view.levels[0].truth).all()
    assert draw_levels(view, Shown(["wt", "tc"], [1, 2])).shape[0] == 3


@pytest.mark.slow
def test_overlapping_labels_train_predict_and_are_reported(tmp_path, capsys):
    for number, case in enumerate("abcdef"):
        wt, tc = np.zeros((2, 16, 16, 16), bool)
        wt[3 : 10 + number % 2, 3:11, 3:11] = tc[6:13, 5:13, 6:13] = True
        noise = np.random.default_rng(number).normal(0, 5, wt.shape)
        save(
            tmp_path / "raw/imagesTr" / f"{case}_0000.nii.gz",
            (100 * wt + 200.0 * tc + noise).astype(np.float32),
        )
        save(tmp_path / "raw/labelsTr" / f"{case}.nii.gz", np.stack([wt, tc]).astype(np.uint8))
    described = {"channel_names": {"0": "MR"}, "labels": ["wt", "tc"], "file_ending": ".nii.gz"}
    (tmp_path / "raw/dataset.json").write_text(json.dumps(described))
    store = ip.prepare(str(tmp_path / "raw"), str(tmp_path / "store"))
    small = {
        "widths": [4, 8],
        "strides": [[1, 1, 1], [2, 2, 2]],
        "kernels": [[3, 3, 3]] * 2,
        "patch": [16] * 3,
    }
    changes = [
        f"plan.{key}={value}" for key, value in {**small, "blocks": [1, 1], "decoder_blocks": [1]}.items()
    ]
    ip.plan(store, str(tmp_path / "plan.yaml"))
    line = [
        f"store={tmp_path / 'store'}",
        f"plan={tmp_path / 'plan.yaml'}",
        "trainer=cpu",
        "epochs=1",
        *changes,
    ]
    line += ["batches_per_epoch=40", "data.workers=0", "loss@module.loss=regions", "plan.batch_size=2"]
    assert train(composed(line, tmp_path)) > 0.5
    HydraConfig.instance().cfg = None
    assert list((tmp_path / "images").glob("*.png"))
    file = tmp_path / "checkpoints/last.ckpt"
    assert checkpoint.read(file).task == store.task
    answers, pictures = tmp_path / "answers", str(tmp_path / "pictures")
    images = str(tmp_path / "raw/imagesTr")
    told = {"device": "cpu", "mirror": False}
    ip.predict(
        str(file), images, str(answers), pictures=pictures, save_probabilities=True, uncertainty=True, **told
    )
    again = ip.predict(str(file), images, str(answers), resume=True, save_probabilities=True, **told)
    assert len(again.skipped) == 6
    assert len(list((tmp_path / "pictures").glob("*.png"))) == 6
    found = ip.evaluate(str(answers), str(tmp_path / "raw"), str(tmp_path / "summary.json"), surface=True)
    assert all(scores["Dice"] > 0.5 for case in found.cases for scores in case.scores.values())
    summary = read_summary(tmp_path / "summary.json")
    assert summary.names == {"1": "wt", "2": "tc"}
    parts = [part for section in describe_evaluation(summary) for part in section.parts]
    assert sum(isinstance(part, Viewer) for part in parts) == 6
    assert not any(isinstance(part, Items) for part in parts)
    capsys.readouterr()


def test_an_answer_of_several_files_is_made_again_where_one_was_cut_short(tmp_path):
    case = CaseFiles("a", (tmp_path / "a_0000.nii.gz",), None, "a")
    targets = {"a": tmp_path / "out" / "a.nii.gz"}
    folder = AnswerFolder(tmp_path / "out", TASK, "model")

    def write():
        folder.begin([case], targets, resume=True)
        for file in answer_parts(targets["a"], TASK):
            file.write_bytes(b"mask")
        folder.finish(targets)

    write()
    assert folder.begin([case], targets, resume=True) == []
    second = answer_parts(targets["a"], TASK)[1]
    second.write_bytes(b"ma")
    (told,) = folder.begin([case], targets, resume=True)
    assert "is made again: it was cut short" in told
    write()
    second.write_bytes(b"")
    assert len(folder.begin([case], targets, resume=True)) == 1


@pytest.mark.parametrize(
    "pattern", ["{case}/{label}", "{case}_{label}", "{label}/{case}", "{case}/seg/{label}"]
)
def test_maps_and_estimates_are_found_from_any_mask(tmp_path, pattern):
    file = tmp_path / f"{pattern.format(case='a', label='wt')}.nii.gz"
    save(file, np.zeros((2, 3, 4), np.uint8))
    for kind in MAPS:
        save(tmp_path / kind / "a.nii.gz", np.full((2, 3, 4), 7, np.uint8))
    found, notes = read_maps(file, "a", read_label(file))
    assert (sorted(found), notes) == (sorted(MAPS), [])
    assert (found["entropy"] == 7).all()


@pytest.mark.slow
def test_crossval_trains_scores_and_resumes_where_labels_overlap(tmp_path, capsys):
    for number, case in enumerate("abcd"):
        masks = list(masks_of(number, ("wt", "tc"), (16, 16, 16)).values())
        save(tmp_path / "raw/imagesTr" / f"{case}_0000.nii.gz", np.float32(masks[0] + 2.0 * masks[1]))
        for name, mask in zip(("wt", "tc"), masks, strict=True):
            save(tmp_path / "raw/labelsTr" / case / f"{name}.nii.gz", mask.astype(np.uint8))
    described = {"channel_names": {"0": "MR"}, "labels": ["wt", "tc"], "file_ending": ".nii.gz"}
    (tmp_path / "raw/dataset.json").write_text(json.dumps(described))
    store = ip.prepare(tmp_path / "raw", tmp_path / "store")
    small = {"widths": (4, 8), "strides": ((1, 1, 1), (2, 2, 2)), "kernels": ((3, 3, 3),) * 2}
    planned = dataclasses.replace(ip.plan(store), **small, blocks=(1, 1), decoder_blocks=(1,))
    settings = {"trainer": "cpu", "logger": "none", "epochs": 1, "batches_per_epoch": 1}
    settings |= {"data.workers": 0, "data.split.count": 2, "trainer.limit_val_batches": 1}
    settings = {key.replace(".", "__"): value for key, value in settings.items()}
    found = ip.crossval(store=store, output=tmp_path / "cv", plan=planned, **settings)
    assert not found.failures
    assert list(found.candidates[0].dice) == ["wt", "tc", "mean of labels"]
    label = found.load(device="cpu").predict(np.zeros((1, 16, 16, 16), np.float32), (1.5, 1.0, 1.0))
    assert label.shape == (2, 16, 16, 16)
    (found.candidates[0].predictions / "a" / "tc.nii.gz").unlink()
    again = ip.crossval(store=store, output=tmp_path / "cv", plan=planned, **settings)
    assert again.candidates[0].dice == found.candidates[0].dice
    capsys.readouterr()
