"""A cascade by one command: cross-fitted first stage, second stage on its segmentations, one checkpoint."""

import dataclasses
import json
import os
import shutil
import signal
from pathlib import Path

import numpy as np
import preloaded
import pytest
import pytorch_lightning as pl
import torch
from hydra.core.hydra_config import HydraConfig
from oracles import plan as made_plan
from overlapping_labels import prepare_masks
from runs import outcome

import ingradient_pl as ip
from ingradient_pl.cli.cascade_plans import choose_stages
from ingradient_pl.cli.first_stage_folds import divide_first
from ingradient_pl.datasets.split_records import check_splits
from ingradient_pl.datasets.splits import Fold, read_splits
from ingradient_pl.images.formats import read_label
from ingradient_pl.images.packed_masks import unpack_masks
from ingradient_pl.inference import checkpoint
from ingradient_pl.inference.answer_files import answer_task
from ingradient_pl.messages import UsageError
from ingradient_pl.metrics.evaluation import evaluate
from ingradient_pl.store import CaseStore, CaseVolumes, open_stores
from ingradient_pl.store.label_maps import find_answers

FLAG = "SECOND_STAGE_IS_KILLED"
TINY = [
    *("trainer=cpu", "batches_per_epoch=1", "data.workers=0", "folds=2", "callbacks.images=null"),
    *("callbacks.best=null", "logger=none", "first.epochs=1", "second.epochs=2"),
    "+second.callbacks.killing={_target_: test_cascade.Killing}",
]


class Killing(pl.Callback):
    """Kills the process that trains when the second epoch begins, where that is asked for."""

    def on_train_epoch_start(self, trainer, pl_module):
        if trainer.current_epoch == 1 and os.environ.get(FLAG):
            os.kill(os.getpid(), signal.SIGKILL)


@pytest.fixture(autouse=True)
def _forget_hydra():
    yield
    HydraConfig.instance().cfg = None


def weights(file):
    return torch.load(file, weights_only=True)["state_dict"]


@pytest.fixture
def line(phantom_store, phantom_plan, tmp_path):
    """The command's line for two tiny stages."""
    plan = ip.read_plan(phantom_plan)
    coarse = dataclasses.replace(plan, spacing=(2.5, 2.0, 2.0), notes={"configuration": "coarse"})
    ip.write_plan(tmp_path / "coarse.yaml", coarse)
    paths = {"store": phantom_store, "output": tmp_path / "both [stages]"}
    plans = {"first_plan": tmp_path / "coarse.yaml", "second_plan": phantom_plan}
    return [*(f"{key}={value}" for key, value in {**paths, **plans}.items()), *TINY]


@pytest.mark.slow
def test_one_line_trains_both_stages_and_after_a_kill_ends_with_the_same_weights(
    line, phantom_store, tmp_path, monkeypatch, capsys
):
    folder = tmp_path / "both [stages]"
    code, printed, _ = outcome(monkeypatch, capsys, "cascade", *line)
    assert code == 0
    assert "2 folds of coarse, then the second stage" in printed
    last = folder / "second" / "checkpoints" / "last.ckpt"
    whole = weights(last)

    model = checkpoint.read(last)
    store, split = CaseStore(phantom_store), Fold().split(CaseStore(phantom_store).cases)
    assert model.validation == split.validation
    assert (model.plan.previous_stage, len(model.previous.networks)) == ("coarse", 2)
    assert model.inputs == 3
    seen = {name for fold in read_splits(folder / "splits.json") for name in fold.train}
    assert not seen & set(split.validation)  # nor did the first stage
    volumes = CaseVolumes(folder / "previous", store)
    for name, case in store.cases.items():
        written = read_label(folder / "first" / "predictions" / f"{name}.nii.gz", store.orientation)
        cut = tuple(slice(a, a + n) for a, n in zip(case.start, case.grid.shape, strict=True))
        assert np.array_equal(volumes.read(name, case.grid.whole), written.voxels[0][cut])
    image = np.random.default_rng(0).normal(size=(1, 18, 20, 22)).astype(np.float32)
    assert ip.load(folder / "second", device="cpu").predict(image, (1.5, 1.0, 1.0)).shape == image.shape[1:]

    shutil.rmtree(folder / "second")
    tests = Path(__file__).parent
    environment = {**os.environ, FLAG: "1", "PYTHONPATH": str(tests)}
    killed = preloaded.run("ingradient_pl.cli.main", "cascade", *line, env=environment, cwd=tests.parent)
    assert killed.returncode == -signal.SIGKILL, killed.stderr[-2000:]
    assert torch.load(last, weights_only=True)["epoch"] == 0
    code, printed, _ = outcome(monkeypatch, capsys, "cascade", *line)
    assert code == 0
    again = weights(last)
    assert again.keys() == whole.keys()
    assert all(torch.equal(value, again[name]) for name, value in whole.items())

    code, _, told = outcome(monkeypatch, capsys, "cascade", *line, "first.seed=3")
    assert code == 1
    assert "begun with other settings (overrides of the first stage)" in told


@pytest.mark.slow
def test_stores_whose_labels_overlap_train_both_stages_and_a_kill_changes_nothing(
    tmp_path, monkeypatch, capsys
):
    """Two stores hold a case of one name; the second knows another label."""
    one = prepare_masks(tmp_path / "one", ["a", "b", "c", "d"])
    other = prepare_masks(tmp_path / "other [2]", ["a", "e", "f", "g", "h"], ("et", "vessel"))
    store = open_stores([one, other])
    assert list(store.task.foreground) == ["wt", "tc", "et", "vessel"]
    plan = made_plan((8, 8, 8), outputs=4, regions=store.task.regions, spacing=(1.5, 1.0, 1.0))
    ip.write_plan(tmp_path / "fine.yaml", plan)
    coarse = dataclasses.replace(plan, spacing=(1.5, 2.0, 2.0), notes={"configuration": "coarse"})
    ip.write_plan(tmp_path / "coarse.yaml", coarse)
    folder = tmp_path / "cascade"
    line = [f'store=["{one}","{other}"]', f"output={folder}", *TINY, "data.split.count=2"]
    line += [f"first_plan={tmp_path}/coarse.yaml", f"second_plan={tmp_path}/fine.yaml"]
    code, _, err = outcome(monkeypatch, capsys, "cascade", *line)
    assert code == 0, err
    last = folder / "second" / "checkpoints" / "last.ckpt"
    whole, model = weights(last), checkpoint.read(last)
    assert model.inputs == 1 + 4
    names, volumes = list(store.task.foreground), CaseVolumes(folder / "previous", store)
    answers = find_answers(folder / "first" / "predictions", answer_task(store.task))
    assert answers.keys() == store.cases.keys() >= {"a@one", "a@other [2]"}
    for name, answer in answers.items():
        box = store.cases[name].grid.whole
        found = volumes.read(name, box)
        masks = unpack_masks(answer.read_masks(names, store.orientation).voxels, 4)
        np.testing.assert_array_equal(np.stack([found >> bit & 1 for bit in range(4)]), masks)
    assert any(volumes.read(name, store.cases[name].grid.whole).max() > 3 for name in answers)

    ip.predict(folder / "second", [one, other], tmp_path / "found", "validation", device="cpu")
    scored = evaluate(tmp_path / "found", [one, other], store.task)
    assert {case.name for case in scored.cases} == set(model.validation)
    assert list(scored.labels.values()) == names
    by_name = {case.name: case.scores for case in scored.cases}
    for name, scores in by_name.items():
        known = names[:3] if name.endswith("@one") else names[2:]
        assert [not np.isnan(scores[at]["Dice"]) for at in scored.labels] == [one in known for one in names]

    shutil.rmtree(folder / "second")
    tests = Path(__file__).parent
    environment = {**os.environ, FLAG: "1", "PYTHONPATH": str(tests)}
    killed = preloaded.run("ingradient_pl.cli.main", "cascade", *line, env=environment, cwd=tests.parent)
    assert killed.returncode == -signal.SIGKILL, killed.stderr[-2000:]
    code, _, err = outcome(monkeypatch, capsys, "cascade", *line)
    assert code == 0, err
    again = weights(last)
    assert all(torch.equal(value, again[name]) for name, value in whole.items())


def test_no_cascade_is_needed_for_small_cases_and_a_key_forces_one(phantom_store):
    store = CaseStore(phantom_store)
    with pytest.raises(ValueError, match=r"no cascade is needed: .*'3d_lowres'.*coarser=2"):
        choose_stages(store, None, None, {}, None)
    first, second = choose_stages(store, None, None, {"memory_gb": 4}, 2.0)
    assert second.previous_stage == first.notes["configuration"] == "3d_lowres"
    assert first.transpose == second.transpose
    assert np.allclose(first.spacing, np.array(second.spacing) * 2)
    assert second.notes["memory_gb"] == first.notes["memory_gb"] == 4


@pytest.mark.parametrize("number", [0, 1, None])
def test_every_case_is_held_out_once_and_who_validates_trains_nothing(phantom_store, number):
    store = CaseStore(phantom_store)
    split = Fold(number).split(store.cases)
    made = divide_first(store.cases, split, 2)
    held = [name for fold in made for name in fold["val"]]
    assert sorted(held) == sorted({*split.train, *split.validation})
    assert not {name for fold in made for name in fold["train"]} & set(split.kept)
    groups = {name: case.group for name, case in store.cases.items()}
    plain = json.loads(json.dumps(made))
    assert len(check_splits([Fold().split(store.cases)], groups, "x")) == 1
    assert all(set(fold) == {"train", "val"} for fold in plain)


@pytest.mark.parametrize(
    ("told", "code", "message"),
    [
        (["store=STORE", "folds=2"], 1, "no cascade is needed"),
        (["store=STORE", "coarser=0.5", "folds=2"], 2, "more than 1; got 0.5"),
        (["store=STORE", "coarser=two"], 2, "coarser takes a number; got two"),
        (["store=STORE", "first_plan=PLAN", "folds=2"], 2, "Give two plans, or none"),
        (["store=STORE", "coarser=2", "folds=9"], 1, "9 folds cannot be made of"),
        (["store=STORE", "coarser=2", "data.planner.colour=red"], 2, "data.planner"),
        (["epochs=3"], 2, "store=DIR, or source=DIR"),
        (["store=nowhere"], 1, "nowhere is not a case store"),
        (["store=STORE", "--fast"], 2, "is not KEY=VALUE"),
        (["store=[STORE,STORE]", "coarser=2"], 1, "is named twice"),
        (["store=STORE,other"], 2, "store takes one path; got 2"),
        (["store=[STORE,other]", "source=raw"], 2, "one data set into one store; got 2"),
        (["output=[STORE,STORE]", "store=STORE"], 2, "output takes one path; got 2"),
    ],
)
def test_mistakes_are_one_line(
    told, code, message, phantom_store, phantom_plan, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    line = [entry.replace("STORE", str(phantom_store)).replace("PLAN", str(phantom_plan)) for entry in told]
    found, _, error = outcome(monkeypatch, capsys, "cascade", *line)
    assert (found, message in error, "Traceback" in error) == (code, True, False), error


def test_a_first_stage_that_sees_another_is_refused(phantom_store, phantom_plan):
    plan = ip.read_plan(phantom_plan)
    with pytest.raises(UsageError, match="sees the image alone; its plan sees '2d'"):
        choose_stages(
            CaseStore(phantom_store), dataclasses.replace(plan, previous_stage="2d"), plan, {}, None
        )
