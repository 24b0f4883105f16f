"""Regions, unannotated voxels and two dimensions: from a data set through a checkpoint to scores."""

import json
import shutil

import nibabel
import numpy as np
import pytest
import yaml
from hydra.core.hydra_config import HydraConfig
from runs import composed

import ingradient_pl as ip
from ingradient_pl.cli.train_config import train
from ingradient_pl.datasets.sources import read_source
from ingradient_pl.inference import checkpoint
from ingradient_pl.store.build import build_store

SMALL = {
    "batch_size": 2,
    "patch": [16, 16, 16],
    "widths": [4, 6, 8],
    "strides": [[1, 1, 1], [2, 2, 2], [2, 2, 2]],
    "kernels": [[3, 3, 3]] * 3,
    "blocks": [1, 1, 1],
    "decoder_blocks": [1, 1],
}
REGIONS = {"labels": {"background": 0, "whole": [1, 2], "lesion": [2]}, "regions_class_order": [1, 2]}
IGNORED = {"labels": {"background": 0, "organ": 1, "lesion": 2, "ignore": 3}}


@pytest.fixture(autouse=True)
def _forget_hydra():
    yield
    HydraConfig.instance().cfg = None


def described(raw, folder, described, sparse=False):
    """The phantoms under another description; ``sparse``: with every other slice unannotated."""
    shutil.copytree(raw, folder / "raw")
    file = folder / "raw" / "dataset.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **described}))
    for path in (folder / "raw" / "labelsTr").glob("*") if sparse else []:
        image = nibabel.load(path)
        voxels = np.asarray(image.dataobj).copy()
        voxels[..., ::2] = 3
        nibabel.save(nibabel.Nifti1Image(voxels, image.affine, image.header), path)
    build_store(read_source(folder / "raw"), folder / "store")
    return folder / "store"


def overrides(store, plan, **changes):
    """A run of two steps with a small network."""
    file = store.parent / "small.yaml"
    file.write_text(yaml.safe_dump({**yaml.safe_load(plan.read_text()), **SMALL, **changes}))
    return [
        *(f"store={store}", f"plan={file}", "trainer=cpu", "epochs=1", "batches_per_epoch=2"),
        *("data.workers=0", "trainer.log_every_n_steps=1"),
    ]


def answered(run, raw, output):
    """Labels and scores of the run's checkpoint through the commands."""
    images = raw / "imagesTr"
    ip.predict(str(run / "checkpoints" / "last.ckpt"), str(images), str(output), mirror=False, device="cpu")
    ip.evaluate(str(output), str(raw / "labelsTr"), str(output / "summary.json"))
    scores = json.loads((output / "summary.json").read_text())
    labels = [np.asarray(nibabel.load(file).dataobj) for file in sorted(output.glob("*.nii.gz"))]
    shapes = [nibabel.load(file).shape for file in sorted((raw / "labelsTr").glob("*.nii.gz"))]
    assert [label.shape for label in labels] == shapes
    return labels, scores


@pytest.mark.slow
def test_regions_train_and_predict(raw_phantoms, tmp_path, capsys):
    store = described(raw_phantoms, tmp_path, REGIONS)
    ip.plan(str(store), str(tmp_path / "plan.yaml"))
    kept = overrides(store, tmp_path / "plan.yaml")
    with pytest.raises(ValueError, match=r"has regions \(whole, lesion\).*loss=regions"):
        train(composed([*kept, "callbacks=none"], tmp_path))
    assert 0 <= train(composed([*kept, "loss@module.loss=regions"], tmp_path)) <= 1
    assert list((tmp_path / "images").glob("*.png"))
    model = checkpoint.read(tmp_path / "checkpoints" / "last.ckpt")
    assert (model.plan.outputs, model.plan.regions, model.plan.ignore) == (2, ((1, 2), (2,)), None)
    labels, scores = answered(tmp_path, tmp_path / "raw", tmp_path / "out")
    assert all(set(np.unique(label)) <= {0, 1, 2} for label in labels)
    assert set(scores["mean"]) == {"(1, 2)", "(2,)"}
    capsys.readouterr()


@pytest.mark.slow
def test_voxels_that_nobody_annotated_count_nowhere(raw_phantoms, tmp_path, capsys):
    store = described(raw_phantoms, tmp_path, IGNORED, sparse=True)
    ip.plan(str(store), str(tmp_path / "plan.yaml"))
    kept = overrides(store, tmp_path / "plan.yaml")
    with pytest.raises(ValueError, match=r"ignore: 3.*plan.ignore=3"):
        train(composed([*kept, "plan.ignore=null", "callbacks=none"], tmp_path))
    assert 0 <= train(composed(kept, tmp_path)) <= 1
    model = checkpoint.read(tmp_path / "checkpoints" / "last.ckpt")
    assert (model.plan.outputs, model.plan.regions, model.plan.ignore) == (3, None, 3)
    labels, scores = answered(tmp_path, tmp_path / "raw", tmp_path / "out")
    assert all(set(np.unique(label)) <= {0, 1, 2} for label in labels)
    counts = scores["metric_per_case"][0]["metrics"]["1"]
    assert sum(counts[one] for one in ("TP", "FP", "FN", "TN")) == labels[0][..., 1::2].size
    capsys.readouterr()


@pytest.mark.slow
def test_integers_of_any_size_train_and_predict(raw_phantoms, tmp_path, capsys):
    shutil.copytree(raw_phantoms, tmp_path / "raw")
    for path in (tmp_path / "raw" / "labelsTr").glob("*"):
        image = nibabel.load(path)
        voxels = np.array([0, 1001, 2035], np.uint16)[np.asarray(image.dataobj)]
        nibabel.save(nibabel.Nifti1Image(voxels, image.affine), path)
    file = tmp_path / "raw" / "dataset.json"
    labels = {"background": 0, "organ": 1001, "lesion": 2035}
    file.write_text(json.dumps({**json.loads(file.read_text()), "labels": labels}))
    build_store(read_source(tmp_path / "raw"), tmp_path / "store")
    ip.plan(str(tmp_path / "store"), str(tmp_path / "plan.yaml"))
    weights = "draws.class_weights={1001: 1, 2035: 3}"  # by the integers that people know
    kept = overrides(tmp_path / "store", tmp_path / "plan.yaml")
    assert 0 <= train(composed([*kept, f"data.{weights}"], tmp_path)) <= 1
    model = checkpoint.read(tmp_path / "checkpoints" / "last.ckpt")
    assert (model.plan.outputs, model.task.output_names) == (3, ["background", "organ", "lesion"])
    answers, scores = answered(tmp_path, tmp_path / "raw", tmp_path / "out")
    assert all(set(np.unique(label)) <= {0, 1001, 2035} for label in answers)
    assert set(scores["mean"]) == {"1001", "2035"}
    capsys.readouterr()


@pytest.mark.slow
def test_a_loss_for_regions_is_refused_where_there_are_none(quick, tmp_path):
    wrong = ["loss@module.loss=regions", "plan.regions=[[1,2],[1],[2]]", "callbacks=none"]
    with pytest.raises(ValueError, match=r"organ, lesion\) do not.*loss=dice_ce"):
        train(composed([*quick, *wrong], tmp_path))


def test_the_second_stage_of_a_cascade_is_refused_without_the_first(quick, tmp_path):
    with pytest.raises(ValueError, match=r"second stage of a cascade.*3d_lowres.*nt cascade.*data.previous"):
        train(composed([*quick, "plan.previous_stage=3d_lowres", "callbacks=none"], tmp_path))


@pytest.mark.slow
def test_slices_train_and_predict_volumes(raw_phantoms, phantom_store, tmp_path, capsys):
    ip.plan(str(phantom_store), str(tmp_path / "plan.yaml"), configuration="2d")
    plan = yaml.safe_load((tmp_path / "plan.yaml").read_text())
    assert plan["patch"][0] == 1
    assert plan["spacing"][0] is None
    flat = {
        "batch_size": 12,
        "patch": [1, 16, 16],
        "strides": [[1, 1, 1], [1, 2, 2], [1, 2, 2]],
        "kernels": [[1, 3, 3]] * 3,
        "widths": [8, 12, 16],
    }
    shutil.copytree(phantom_store, tmp_path / "store")
    kept = overrides(tmp_path / "store", tmp_path / "plan.yaml", **flat)
    kept = [entry for entry in kept if not entry.startswith("batches")]
    train(composed([*kept, "batches_per_epoch=120", "module.optimizer.lr=0.05"], tmp_path))
    labels, scores = answered(tmp_path, raw_phantoms, tmp_path / "out")
    assert all(set(np.unique(label)) <= {0, 1, 2} for label in labels)
    assert scores["mean"]["1"]["Dice"] > 0.5
