"""Pairs, stores, tables and data sets hold labels as well as a folder of files does."""

import json
import pickle
import shlex
import shutil

import nibabel
import numpy as np
import pytest
import torch
from oracles import plan
from runs import outcome

from ingradient_pl.datasets.phantom_files import write_phantoms
from ingradient_pl.datasets.sources import read_source
from ingradient_pl.datasets.splits import Fold
from ingradient_pl.draws.planned import draws
from ingradient_pl.images.formats import read_label, read_volume
from ingradient_pl.inference import checkpoint
from ingradient_pl.inference.case_pictures import map_answers, write_pictures
from ingradient_pl.lightning.datamodule import SegmentationData
from ingradient_pl.lightning.training import scoring_command
from ingradient_pl.networks.unet import UNet
from ingradient_pl.store.build import build_store
from ingradient_pl.store.label_maps import LabelError, find_labels
from ingradient_pl.store.metadata import encode
from ingradient_pl.task import Task

TASK = Task(("MR",), {"background": 0, "organ": 1, "lesion": 2})
SMALL = ((4, 8), ((1, 1, 1), (1, 2, 2)), ((3, 3, 3),) * 2, (1, 1), (1,))


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """The same three phantoms in every layout, and predictions of them."""
    folder = tmp_path_factory.mktemp("sources")
    raw = write_phantoms(folder / "raw", 3, (10, 12, 14))
    build_store(read_source(raw), folder / "store", progress=False)
    (folder / "pairs").mkdir()
    rows = ["case,image_0,label"]
    for case in read_source(raw).cases:
        volume = read_volume(case.images, "stored")
        label = read_label(case.label, "stored").voxels[0]
        np.savez(folder / "pairs" / f"{case.name}.npz", x=volume.voxels, y=label)
        frame = volume.frame
        place = {"spacing": frame.spacing[::-1], "origin": frame.origin, "direction": frame.direction}
        (folder / "pairs" / f"{case.name}.pkl").write_bytes(pickle.dumps(place))
        rows.append(f"{case.name},raw/imagesTr/{case.images[0].name},raw/labelsTr/{case.label.name}")
    (folder / "table.csv").write_text("\n".join(rows))
    shutil.copytree(raw / "labelsTr", folder / "predictions")
    for file in sorted((folder / "predictions").iterdir())[:1]:
        image = nibabel.load(file)
        voxels = np.roll(np.asarray(image.dataobj), 1, axis=2)
        nibabel.save(nibabel.Nifti1Image(voxels, image.affine), file)
    (folder / "predictions" / "dataset.json").write_text(json.dumps(TASK.described))
    return folder


@pytest.fixture
def everything(written, tmp_path):
    """The same, to be changed."""
    return shutil.copytree(written, tmp_path, dirs_exist_ok=True)


LABELS = ["raw/labelsTr", "raw", "store", "pairs", "table.csv"]


@pytest.mark.parametrize("labels", LABELS)
def test_every_source_of_labels_gives_the_same_scores(monkeypatch, capsys, everything, labels):
    found = {}
    for given in ("raw/labelsTr", labels):
        arguments = ["--predictions", everything / "predictions", "--labels", everything / given]
        code, _, err = outcome(monkeypatch, capsys, "evaluate", *arguments, "--output", everything / "s.json")
        assert code == 0, err
        found[given] = json.loads((everything / "s.json").read_text())
        assert found[given]["foreground_mean"]["Dice"] < 1
        for case in found[given]["metric_per_case"]:
            case.pop("reference_file")
    assert found[labels] == found["raw/labelsTr"]


@pytest.mark.parametrize("labels", LABELS)
@pytest.mark.parametrize("command", ["evaluate", "postprocess"])
@pytest.mark.parametrize("names", [("organ", "lesion"), ("organ", "other"), ("liver", "tumour")])
def test_labels_that_share_no_name_are_told_with_both_lists(
    monkeypatch, capsys, everything, labels, command, names
):
    """A table and pairs have no names: nothing tells that they mean something else."""
    told = {"background": 0, names[0]: 1, names[1]: 2}
    (everything / "predictions" / "dataset.json").write_text(json.dumps({**TASK.described, "labels": told}))
    line = ("--predictions", everything / "predictions", "--labels", everything / labels)
    line = (*line, "--output", everything / ("s.json" if command == "evaluate" else "steps.yaml"))
    line = (*line, *(["--learn", "true"] if command == "postprocess" else []))
    code, out, err = outcome(monkeypatch, capsys, command, *line)
    assert code == 0, err
    other = "organ" not in names and labels not in ("pairs", "table.csv")
    lists = "references ('organ', 'lesion') share no name with those of the predictions ('liver', 'tumour')"
    assert (out + err).count(lists) == other


@pytest.mark.parametrize("labels", ["raw", "store", "pairs", "table.csv"])
def test_what_labels_mean_is_told_by_their_source(monkeypatch, capsys, everything, labels):
    (everything / "predictions" / "dataset.json").unlink()
    arguments = ["--predictions", everything / "predictions", "--labels", everything / labels]
    code, said, err = outcome(monkeypatch, capsys, "evaluate", *arguments, "--output", everything / "s.json")
    assert code == 0, err
    assert ("organ" in said) == (labels in ("raw", "store"))


@pytest.mark.parametrize("labels", LABELS)
def test_post_processing_is_learnt_from_every_source(monkeypatch, capsys, everything, labels):
    arguments = ["--predictions", everything / "predictions", "--labels", everything / labels, "--learn"]
    code, said, err = outcome(
        monkeypatch, capsys, "postprocess", *arguments, "--output", everything / f"{len(labels)}.yaml"
    )
    assert code == 0, err
    assert "all foreground" in said


@pytest.mark.parametrize("source", ["raw", "store", "pairs", "table.csv"])
def test_predictions_are_scored_against_the_labels_of_every_source(monkeypatch, capsys, everything, source):
    torch.manual_seed(0)
    checkpoint.write(everything / "model.ckpt", UNet(1, 3, *SMALL), plan(outputs=3), TASK)
    arguments = [
        "--checkpoint",
        everything / "model.ckpt",
        "--source",
        everything / source,
        "--device",
        "cpu",
    ]
    code, said, err = outcome(monkeypatch, capsys, "predict", *arguments)
    assert code == 0, err
    assert said.count(": Dice organ") == 3


@pytest.mark.parametrize("source", ["raw", "pairs"])
def test_pictures_show_the_truth_of_every_source(monkeypatch, everything, source):
    shown = []
    monkeypatch.setattr(
        "ingradient_pl.inference.case_pictures.case_picture",
        lambda image, labels, *more, **rest: (
            shown.append(list(labels)) or torch.zeros(3, 4, 4, dtype=torch.uint8)
        ),
    )
    cases = read_source(everything / source).cases
    files = [everything / "predictions" / f"{case.name}.nii.gz" for case in cases]
    write_pictures(cases, map_answers(cases, files, everything, TASK), TASK, everything / "pictures")
    assert shown == [["truth", "prediction"]] * 3


@pytest.mark.parametrize(("where", "what"), [("predictions", "predictions"), ("raw/labelsTr", "references")])
def test_integers_that_nobody_named_are_told(monkeypatch, capsys, everything, where, what):
    file = sorted((everything / where).glob("*.nii.gz"))[1]
    image = nibabel.load(file)
    voxels = np.asarray(image.dataobj).copy()
    voxels[voxels == 2] = 4
    nibabel.save(nibabel.Nifti1Image(voxels, image.affine), file)
    arguments = ["--predictions", everything / "predictions", "--labels", everything / "raw" / "labelsTr"]
    code, said, _ = outcome(monkeypatch, capsys, "evaluate", *arguments, "--output", everything / "s.json")
    assert code == 0
    assert (
        f"1 of the {what} hold the integer 4, which has no name among the task's labels (phantom_001)" in said
    )


def test_labels_that_are_not_there_are_explained(everything):
    (everything / "empty").mkdir()
    for folder, words in ((everything / "no", "no folder"), (everything / "empty", "no image files")):
        with pytest.raises(LabelError, match=words):
            find_labels(folder)
    table = everything / "unlabelled.csv"
    table.write_text("case,image_0\na,raw/imagesTr/phantom_000_0000.nii.gz\n")
    (everything / "dataset.json").write_text(json.dumps(TASK.described))
    with pytest.raises(LabelError, match="holds 1 cases, none with a label"):
        find_labels(table)


def test_a_run_ends_with_a_command_that_scores_it(monkeypatch, capsys, everything):
    torch.manual_seed(0)
    made = plan(outputs=3, batch_size=2)
    checkpoint.write(everything / "model.ckpt", UNet(1, 3, *SMALL), made, TASK)
    data = SegmentationData(str(everything / "store"), made, draws(made), None, Fold(None), workers=0)
    _, command, *arguments = shlex.split(scoring_command(everything / "model.ckpt", data))
    assert "--only" not in arguments  # it trained on all
    code, said, err = outcome(monkeypatch, capsys, command, *arguments, "--device", "cpu")
    assert code == 0, err
    assert said.count(": Dice organ") == 3
    data = SegmentationData(str(everything / "store"), made, draws(made), None, Fold(0, 3), workers=0)
    assert scoring_command(everything / "model.ckpt", data).endswith("--only validation")


@pytest.mark.parametrize("damage", [b"{", b"", "types"])
def test_a_damaged_stored_case_is_one_failure_and_the_others_are_done(
    monkeypatch, capsys, everything, damage
):
    file = everything / "store" / "cases" / "phantom_001" / "case.json"
    if damage == "types":
        damage = encode({**json.loads(file.read_text()), "shape": "none", "native": 3})
    file.write_bytes(damage)
    torch.manual_seed(0)
    checkpoint.write(everything / "model.ckpt", UNet(1, 3, *SMALL), plan(outputs=3), TASK)
    arguments = ["--checkpoint", everything / "model.ckpt", "--source", everything / "store"]
    code, said, err = outcome(monkeypatch, capsys, "predict", *arguments, "--device", "cpu")
    assert code == 1
    assert said.count(": Dice organ") == 2
    assert "phantom_001" in err
    summary = build_store(read_source(everything / "raw"), everything / "store", progress=False)
    assert summary.outcomes == {"skipped": 2, "rebuilt": 1}
