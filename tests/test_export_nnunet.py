"""A model of ours as a folder of nnU-Net: the same weights and plan when it is brought back."""

import json
from dataclasses import replace

import pytest
import torch

import ingradient_pl as ip
from ingradient_pl.inference.calibration import Calibration
from ingradient_pl.inference.checkpoint import Model, write
from ingradient_pl.networks.unet import UNet
from ingradient_pl.nnunet.checkpoint import read_checkpoint
from ingradient_pl.nnunet.export import ExportError, export_nnunet
from ingradient_pl.nnunet.model import read_nnunet
from ingradient_pl.planning.plan import Plan
from ingradient_pl.task import Task
from ingradient_pl.transforms.normalise import CT, MinMax01, NoNormalisation, PercentileZScore, ZScore

SPACE = Plan(
    2, 3, (2.0, 1.0, 1.5), (8, 16, 16), 2, (4, 6, 8), ((1, 1, 1), (1, 2, 2), (2, 2, 2)),
    ((1, 3, 3), (3, 3, 3), (3, 3, 3)), (2, 1, 2), (1, 2), (ZScore(masked=True), CT(-10.0, 90.0, 40.0, 12.5)),
    transpose=(1, 0, 2), orientation="stored",
)  # fmt: skip
RESIDUAL = replace(SPACE, residual=True, blocks=(1, 2, 2), decoder_blocks=(1, 1), orientation="RAS")
FLAT = Plan(
    2, 3, (None, 1.0, 1.0), (1, 16, 16), 4, (4, 6), ((1, 1, 1), (1, 2, 2)), ((1, 3, 3),) * 2, (2, 2), (2,),
    (MinMax01(), NoNormalisation()), orientation="stored",
)  # fmt: skip
TASK = Task(("CT", "MR"), {"background": 0, "organ": 1, "lesion": 2}, name="Dataset001_two")
REGIONS = Task(("CT", "MR"), {"background": 0, "whole": (1, 2), "core": 2}, regions_class_order=(1, 2))


def model(plan=SPACE, task=TASK, folds=1, seed=0):
    torch.manual_seed(seed)
    networks = [
        UNet(
            plan.channels, plan.outputs, plan.widths, plan.strides, plan.kernels, plan.blocks,
            plan.decoder_blocks, residual=plan.residual,
        )
        for _ in range(folds)
    ]  # fmt: skip
    for network in networks:  # norms that differ from their start
        for parameter in network.parameters():
            torch.nn.init.normal_(parameter)
    mirror = tuple(axis for axis in range(3) if plan.patch[axis] > 1)
    return Model(networks, plan, task, "model.ckpt", mirror)


@pytest.mark.parametrize(
    ("plan", "task"),
    [
        (SPACE, TASK),
        (RESIDUAL, TASK),
        (FLAT, TASK),
        (replace(SPACE, outputs=2, regions=((1, 2), (2,))), REGIONS),
    ],
    ids=["plain", "residual", "2D", "regions"],
)
def test_what_is_brought_back_has_the_same_weights_plan_and_labels(plan, task, tmp_path):
    ours = model(plan, task, folds=2)
    assert export_nnunet(ours, tmp_path / "out") == []
    back = read_nnunet(tmp_path / "out")
    assert replace(back.plan, notes={}) == replace(plan, notes={})
    assert (back.mirror, back.task.foreground) == (ours.mirror, task.foreground)
    for mine, theirs in zip(ours.networks, back.networks, strict=True):
        own, held = mine.state_dict(), theirs.state_dict()
        assert all(torch.equal(own[name], weight) for name, weight in held.items())


def test_a_model_that_was_never_mirrored_says_so_as_nnunet_does(tmp_path):
    export_nnunet(model()._replace(mirror=()), tmp_path / "out")
    file = tmp_path / "out" / "fold_0" / "checkpoint_final.pth"
    assert torch.load(file, weights_only=True)["inference_allowed_mirroring_axes"] is None
    assert read_nnunet(tmp_path / "out").mirror == ()


def test_names_of_weights_are_those_of_a_trained_nnunet(reference_model, tmp_path):
    theirs = read_checkpoint(reference_model / "fold_0" / "checkpoint_final.pth")
    imported = read_nnunet(reference_model)
    export_nnunet(imported, tmp_path / "out")
    ours = read_checkpoint(tmp_path / "out" / "fold_0" / "checkpoint_final.pth")
    assert {name: weight.shape for name, weight in ours.weights.items()} == {
        name: weight.shape for name, weight in theirs.weights.items()
    }
    unused = {f"decoder.seg_layers.{stage}.{kind}" for stage in (0, 1) for kind in ("weight", "bias")}
    assert all(torch.equal(ours.weights[name], theirs.weights[name]) for name in set(theirs.weights) - unused)
    plans, written = (
        json.loads((folder / "plans.json").read_text()) for folder in (reference_model, tmp_path / "out")
    )
    for key, value in written["configurations"]["3d_cpu"].items():
        if key not in ("median_image_size_in_voxels", "data_identifier"):
            assert plans["configurations"]["3d_cpu"][key] == value, key


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"low_pass_above": 2.0}, "low_pass_above is 2.0"),
        ({"separate_z_above": 2.0}, "separate_z_above is 2.0"),
        ({"normalisation": (PercentileZScore(), ZScore())}, "PercentileZScore"),
    ],
)
def test_what_nnunet_cannot_do_is_refused_and_nothing_is_written(changes, said, tmp_path):
    with pytest.raises(ExportError, match=said):
        export_nnunet(model(replace(SPACE, **changes)), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_network_of_another_package_and_a_used_folder_are_refused(tmp_path):
    with pytest.raises(ExportError, match="Conv3d"):
        export_nnunet(model()._replace(networks=[torch.nn.Conv3d(1, 1, 1)]), tmp_path / "out")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "kept").touch()
    with pytest.raises(FileExistsError, match="name a new folder"):
        export_nnunet(model(), tmp_path / "out")


def test_where_nnunet_would_see_other_axes_the_command_says_so(tmp_path, capsys):
    turned = model(replace(SPACE, orientation="LPS"))
    run = tmp_path / "run"  # a run's folder stands for its last checkpoint
    write(run / "checkpoints" / "last.ckpt", turned.networks, turned.plan, turned.task, turned.mirror)
    folder = ip.export_nnunet(run, tmp_path / "out")
    said = capsys.readouterr()
    assert "turned to LPS" in said.out + said.err
    assert (folder / "fold_0" / "checkpoint_final.pth").is_file()


@pytest.mark.parametrize(("temperature", "told"), [(1.0, []), (2.5, ["temperature of 2.5 is not exported"])])
def test_a_temperature_that_nnunet_has_no_place_for_is_told(tmp_path, temperature, told):
    calibrated = model()._replace(calibration=Calibration(temperature))
    remarks = export_nnunet(calibrated, tmp_path / "out")
    assert [words in line for words, line in zip(told, remarks, strict=True)] == [True] * len(told)


@pytest.mark.parametrize("numbered", [False, True], ids=["as in files", "as the store numbers them"])
def test_labels_of_other_integers_are_numbered_for_nnunet_and_told(numbered, tmp_path):
    task = Task(("CT", "MR"), {"background": 0, "left": 1001, "right": 2035})
    (remark,) = export_nnunet(model(task=task.consecutive() if numbered else task), tmp_path / "out")
    assert "1 for 1001, 2 for 2035" in remark
    labels = json.loads((tmp_path / "out" / "dataset.json").read_text())["labels"]
    assert labels == {"background": 0, "left": 1, "right": 2}
