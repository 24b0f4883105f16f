"""However labels are numbered: one output a label, and Dice 1 for a network that knows the answer."""

import dataclasses
import json

import nibabel
import numpy as np
import pytest
import torch
from label_conventions import CONVENTIONS, Knowing, integers_of, write_convention
from oracles import plan as made_plan
from runs import outcome

import ingradient_pl as ip
from ingradient_pl.datasets.sources import read_source
from ingradient_pl.images.formats import read_volume
from ingradient_pl.inference.checkpoint import Model
from ingradient_pl.inference.predict_cases import save_cases, score_cases
from ingradient_pl.inference.predictor import Predictor
from ingradient_pl.lightning.datamodule import SegmentationData
from ingradient_pl.losses.deep_supervision import DeepSupervision
from ingradient_pl.metrics.dice import PooledDice
from ingradient_pl.store.build import build_store
from ingradient_pl.store.case_store import CaseStore, StoreError
from ingradient_pl.store.metadata import encode
from ingradient_pl.store.stored_cases import stored_cases
from ingradient_pl.task import Task


@pytest.fixture(scope="module", params=list(CONVENTIONS), ids=lambda name: name.replace(" ", "_"))
def convention(request):
    return CONVENTIONS[request.param]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory, convention):
    """A data set, its store, and a predictor that knows the answer; they are left as they are."""
    folder = tmp_path_factory.mktemp("prepared")
    raw = write_convention(folder / "raw", convention)
    summary = build_store(read_source(raw), folder / "store", progress=False)
    assert not summary.faults, summary
    store = CaseStore(folder / "store")
    task = store.task
    changes = {"outputs": task.outputs, "ignore": task.ignore, "regions": task.regions, "spacing": (1.0,) * 3}
    made = dataclasses.replace(made_plan(), **changes)
    return raw, store, Predictor(Model([Knowing(convention, task)], made, task, "test", ()), step=1.0)


@pytest.mark.slow
def test_a_network_that_knows_scores_one(prepared, tmp_path, convention):
    raw, store, predictor = prepared
    source = read_source(raw)
    for name, cases in (("files", source.cases), ("store", stored_cases(store.path, store.task).cases)):
        report = save_cases(predictor, cases, tmp_path / name, say=lambda line: None)
        assert not report.failures
        scored = score_cases(predictor, cases, say=lambda line: None).evaluation
        for labels in (raw / "labelsTr", store.path):
            found = ip.evaluate(tmp_path / name, labels, dataset=source.task)
            for evaluation in (found, scored):
                scores = [entry["Dice"] for case in evaluation.cases for entry in case.scores.values()]
                assert {score for score in scores if not np.isnan(score)} == {1.0}
                assert not evaluation.remarks
                assert sorted(evaluation.labels.values()) == sorted(source.task.foreground)
    for case in source.cases:
        answer = np.asarray(nibabel.load(tmp_path / "files" / f"{case.name}.nii.gz").dataobj)
        truth = np.asarray(nibabel.load(case.label).dataobj)
        annotated = truth != (source.task.ignore or -1)
        np.testing.assert_array_equal(answer[annotated], truth[annotated])
    described = json.loads(json.dumps(predictor.model.task.described))
    assert Task(("x",), described["labels"]).values == source.task.values


def test_what_trains_sees_one_output_a_label(prepared, convention):
    _, store, predictor = prepared
    task, model = store.task, predictor.model
    named = len(integers_of(convention)) - (source_ignores := "ignore" in convention["labels"])
    assert task.outputs == (len(task.foreground) if task.has_regions else named)
    assert len(task.output_names) == task.outputs
    assert source_ignores == (task.ignore is not None)
    dice = PooledDice(task.foreground, ignore=task.ignore, regions=task.has_regions)
    loss = ip.loss(model.plan)
    assert isinstance(loss, DeepSupervision)
    for case in store.cases.values():
        voxels = store.read(case.name, case.grid.whole)
        assert voxels.label.dtype == np.min_scalar_type(max(task.values))
        assert set(case.classes) <= set(task.foreground_values)
        label = torch.from_numpy(voxels.label.astype(np.int64))[None]
        logits = model.networks[0](torch.from_numpy(voxels.image)[None].float())
        dice.update(logits[0], label)
        assert loss(logits, label) < -0.4
    assert dice.compute()["mean"] == 1


def test_the_plan_counts_labels(tmp_path, monkeypatch, capsys):
    raw = write_convention(tmp_path / "raw", CONVENTIONS["freesurfer"])
    for command, *arguments in (
        ("prepare", "--source", raw, "--store", tmp_path / "store", "--progress", "false"),
        ("plan", "--store", tmp_path / "store", "--output", tmp_path / "plan.yaml"),
    ):
        code, said, err = outcome(monkeypatch, capsys, command, *arguments)
        assert code == 0, err
        if command == "prepare":
            assert "1001" in said  # people know their labels by these
    assert ip.read_plan(tmp_path / "plan.yaml").outputs == 3


@pytest.mark.parametrize(
    ("labels", "order", "words"),
    [
        ({"background": 0, "whole": [1, 2], "core": [2]}, None, "needs 'regions_class_order'"),
        ({"background": 0, "whole": [1, 2], "core": [2]}, [1], "needs 'regions_class_order'"),
        (
            {"background": 0, "whole": [1, 2], "core": [2]},
            [2, 1],
            "writes 1 .whole. as 2, which is whole, core",
        ),
        ({"background": 0, "core": [2], "whole": [1, 2]}, [2, 1], "the smaller must come later"),
        ({"background": 0, "whole": [1, 2], "core": [2]}, [1, 7], "as 7, which is no region"),
        ({"background": 0, "whole": [1, 2], "core": [2]}, [1, 0], "as 0, which is no region"),
        ({"background": 0, "whole": [1, 2, 3], "core": [2, 3], "enhancing": [3]}, [3, 2, 1], "writes 1"),
        ({"background": 0, "whole": [1, 2], "core": [2], "ignore": [2, 3]}, [1, 2], "'ignore' is"),
        ({"background": 0, "whole": [1, 2], "core": [2], "ignore": 2}, [1, 2], "which is 'ignore'"),
        ({"background": 0, "a": 1, "ignore": 0}, None, "'ignore' is 0"),
        ({"background": 1, "a": 2}, None, "'background' is 1; it must be 0"),
        ({"background": 0, "a": 1, "b": 1}, None, "labels a, b are all 1"),
        ({"background": 0, "a": 0, "b": 1}, None, "labels background, a are all 0"),
        ({"background": 0, "a": [0, 1], "b": [1]}, [1, 1], "'a' holds 0, which is 'background'"),
    ],
)
def test_labels_that_cannot_mean_what_they_say_are_refused(tmp_path, labels, order, words):
    raw = write_convention(tmp_path / "raw", {"labels": labels, "regions_class_order": order})
    with pytest.raises(ValueError, match=words):
        build_store(read_source(raw), tmp_path / "store", progress=False)
    assert not (tmp_path / "store").exists()


def test_a_store_whose_integers_change_is_made_again(tmp_path):
    raw = write_convention(tmp_path / "raw", CONVENTIONS["freesurfer"])
    build_store(read_source(raw), tmp_path / "store", progress=False)
    described = json.loads((raw / "dataset.json").read_text())
    described["labels"]["middle"] = 1500
    (raw / "dataset.json").write_text(json.dumps(described))
    assert build_store(read_source(raw), tmp_path / "store", progress=False).outcomes == {"rebuilt": 2}
    assert CaseStore(tmp_path / "store").task.integers == (0, 1001, 1500, 2035)


def test_a_store_that_kept_the_integers_of_files_is_refused(tmp_path):
    raw = write_convention(tmp_path / "raw", CONVENTIONS["freesurfer"])
    build_store(read_source(raw), tmp_path / "store", progress=False)
    file = tmp_path / "store" / "dataset.json"
    plain = json.loads(file.read_text())
    plain["task"] |= {"integers": None, "labels": CONVENTIONS["freesurfer"]["labels"]}
    file.write_bytes(encode(plain))
    with pytest.raises(StoreError, match="Prepare the data set again"):
        CaseStore(tmp_path / "store")


def test_a_label_is_read_back_from_a_store_as_its_file_had_it(prepared):
    raw, store, _ = prepared
    for name, label in (
        __import__("ingradient_pl.store.label_maps", fromlist=["x"]).find_labels(store.path).items()
    ):
        truth = read_volume([raw / "labelsTr" / f"{name}.nii.gz"]).voxels
        np.testing.assert_array_equal(label.read().voxels, truth)


@pytest.mark.parametrize("name", ["many", "many sparse", "ignore 256", "sparse ignore"])
def test_patches_of_any_case_hold_every_label(tmp_path, name):
    """A case without large integers is no exception: its patches are of the type that all others have."""
    build_store(
        read_source(write_convention(tmp_path / "raw", CONVENTIONS[name], cases=5)),
        tmp_path / "store",
        progress=False,
    )
    task = CaseStore(tmp_path / "store").task
    changes = {"outputs": task.outputs, "ignore": task.ignore, "spacing": (1.0,) * 3}
    plan = dataclasses.replace(made_plan((12, 12, 12)), **changes)
    still = dataclasses.replace(ip.draws(plan), affine=None, elastic=None)
    data = SegmentationData(str(tmp_path / "store"), plan, still, None, workers=0, batches_per_epoch=2)
    network, loss = Knowing(CONVENTIONS[name], task), ip.loss(plan)
    dice = PooledDice(task.foreground, ignore=task.ignore)
    for patches in data.val_dataloader():
        batch = data.prepare(patches)
        logits = network(batch.image)
        assert loss(logits, batch.label) < -0.9
        dice.update(logits[0], batch.label)
    assert dice.compute()["mean"] == 1
