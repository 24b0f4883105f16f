"""Runs whose cases bring one more volume along: any, and in a cascade what the stage before found."""

import dataclasses
import shutil

import numpy as np
import pytest
import torch
from hydra.core.hydra_config import HydraConfig
from hydra.errors import InstantiationException
from runs import composed

import ingradient_pl as ip
from ingradient_pl.cli.overrides import quote_paths
from ingradient_pl.cli.train_config import train
from ingradient_pl.inference import checkpoint
from ingradient_pl.inference.checkpoint import CheckpointError, Model
from ingradient_pl.inference.predictor import Predictor
from ingradient_pl.lightning.further_volumes import write_previous
from ingradient_pl.networks.unet import UNet
from ingradient_pl.store import CaseStore, StoreError, write_volume
from ingradient_pl.transforms.previous_stage import PreviousStageAugment

FIRST = "3d_lowres"
CASCADE = [f"plan.previous_stage={FIRST}", "callbacks.images=null"]


@pytest.fixture(autouse=True)
def _forget_hydra():
    yield
    HydraConfig.instance().cfg = None


def run(quick, folder, *more):
    folder.mkdir(parents=True, exist_ok=True)
    try:
        return train(composed([*quick, *more], folder))
    except InstantiationException as error:  # as the command does
        raise error.__cause__ from error


def weights(folder):
    found = torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
    return {name: value for name, value in found.items() if name.startswith("network")}


@pytest.fixture(scope="module")
def previous(phantom_store, phantom_plan, tmp_path_factory):
    """A folder of a previous stage: its labels, eroded a little, and a network of drawn weights."""
    folder, store = tmp_path_factory.mktemp("stages") / "previous [1]", CaseStore(phantom_store)
    for name, case in store.cases.items():
        label = store.read(name, case.grid.whole).label
        write_volume(folder, store, name, np.where(np.roll(label, 1, 1) == label, label, 0))
    plan = ip.read_plan(phantom_plan)
    coarse = dataclasses.replace(plan, spacing=(3.0, 3.0, 3.0), notes={"configuration": FIRST})
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = UNet(
            *(1, 3, plan.widths, plan.strides, plan.kernels, plan.blocks, plan.decoder_blocks), levels=1
        )
    write_previous(folder, Model([network], coarse, store.task, "first", (0, 1, 2)))
    return folder


@pytest.mark.slow
def test_a_second_stage_trains_resumes_to_the_same_weights_and_predicts_alone(
    quick, previous, tmp_path, monkeypatch
):
    steady = ["scheduler@module.scheduler=constant", "module.length_argument=null"]
    told = [*CASCADE, *steady, *quote_paths([f"data.previous={previous}"])]
    drawn, removed = [], []
    draw, remove = PreviousStageAugment.draw_operations, PreviousStageAugment.remove_components
    monkeypatch.setattr(
        PreviousStageAugment, "draw_operations", lambda *given: drawn.extend(given[1]) or draw(*given)
    )
    monkeypatch.setattr(
        PreviousStageAugment, "remove_components", lambda *given: removed.append(given[3]) or remove(*given)
    )
    run(quick, tmp_path / "whole", *told)
    assert drawn == removed == list(range(8))  # two epochs of two batches of two: none that validates
    run(quick, tmp_path / "part", *told, "epochs=1", "data.workers=1")
    run(quick, tmp_path / "rest", *told, f"resume={tmp_path}/part/checkpoints/last.ckpt")
    one, other = weights(tmp_path / "whole"), weights(tmp_path / "rest")
    assert all(torch.equal(one[name], other[name]) for name in one)
    model = checkpoint.read(tmp_path / "whole" / "checkpoints" / "last.ckpt")
    assert model.inputs == 3
    assert model.previous.plan.notes["configuration"] == FIRST
    image = np.random.default_rng(0).normal(size=(1, 18, 20, 22)).astype(np.float32)
    assert Predictor(model).predict(image, (1.5, 1.0, 1.0)).shape == image.shape[1:]
    retrained = shutil.copytree(previous, tmp_path / "retrained")
    before = checkpoint.read(previous / "model.ckpt")
    with torch.no_grad():
        next(before.networks[0].parameters()).add_(1e-3)
    write_previous(retrained, before)
    for begun, folder in (("part", "other"), ("whole", "whole")):  # gone on with, and finished
        other = [f"data.previous={retrained}", f"resume={tmp_path}/{begun}/checkpoints/last.ckpt"]
        with pytest.raises(
            CheckpointError, match="other weights than the one that this run was trained with"
        ):
            run(quick, tmp_path / folder, *CASCADE, *steady, *other)


def another_task(folder):
    model = checkpoint.read(folder / "model.ckpt")
    labels = {"background": 0, "organ": 1, "tumour": 2}
    write_previous(folder, model._replace(task=dataclasses.replace(model.task, labels=labels)))


def another_stage(folder):
    model = checkpoint.read(folder / "model.ckpt")
    plan = dataclasses.replace(model.plan, notes={"configuration": "2d"})
    write_previous(folder, model._replace(plan=plan))


def one_less(folder):
    shutil.rmtree(next((folder / "cases").iterdir()))


@pytest.mark.parametrize(
    ("fault", "told", "message"),
    [
        (another_task, [], r"cannot be the stage before: .* its labels is .*tumour"),
        (another_stage, [], r"of '3d_lowres', but data\.previous=.* is of '2d'"),
        (one_less, [], r"holds no volume for 1 of 6 cases: phantom_"),
        (lambda folder: (folder / "previous.json").unlink(), [], r"previous\.json is missing.*nt cascade"),
        (lambda folder: (folder / "model.ckpt").unlink(), [], r"cannot be the stage before: .*model\.ckpt"),
        (lambda folder: None, ["plan.previous_stage=null"], r"the plan sees the image alone"),
        (lambda folder: None, ["data.extra=elsewhere"], r"carries one further volume"),
    ],
    ids=["labels", "stage", "case", "no labels", "no model", "no cascade", "two kinds"],
)
def test_what_does_not_fit_is_named_before_anything_trains(quick, previous, tmp_path, fault, told, message):
    folder = tmp_path / "previous"
    shutil.copytree(previous, folder)
    fault(folder)
    with pytest.raises((ValueError, StoreError), match=message):
        run(quick, tmp_path / "run", *CASCADE, f"data.previous={folder}", *told)


@pytest.fixture(scope="module")
def distances(phantom_store, tmp_path_factory):
    """A folder with a number for each voxel of each case."""
    folder, store = tmp_path_factory.mktemp("extra"), CaseStore(phantom_store)
    for name, case in store.cases.items():
        write_volume(folder, store, name, np.full(case.grid.shape, 2.5))
    return folder


@pytest.mark.slow
def test_a_loss_that_asks_for_the_volume_is_given_it(quick, distances, tmp_path, capsys):
    loss = "{_target_: somebodys.AskingLoss}"
    told = [f"data.extra={distances}", "~module.loss", f"+module.loss={loss}"]
    run(quick, tmp_path / "run", *told)
    seen = torch.load(tmp_path / "run" / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
    assert 0 < float(seen["loss.largest"]) == pytest.approx(2.5)
    assert "nothing here uses it" not in capsys.readouterr().out
    with pytest.raises(ValueError, match=r"AskingLoss takes an argument 'extra'.*data\.extra=DIR"):
        run(quick, tmp_path / "without", *told[1:])


@pytest.mark.slow
def test_a_volume_that_nothing_uses_is_told(quick, distances, tmp_path, capsys):
    run(quick, tmp_path / "run", f"data.extra={distances}", "epochs=1", "data.resident=true")
    printed = capsys.readouterr().out
    assert "nothing here uses it" in printed
    assert "read from the store all the same" in printed
