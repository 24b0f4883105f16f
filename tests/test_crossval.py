"""From a store to one model: killed anywhere, the same summary; others' folders refused; the best chosen."""

import dataclasses
import json
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hydra.core.hydra_config import HydraConfig
from processes import wait_for
from runs import outcome

import ingradient_pl as ip
from ingradient_pl.cli.cross_fit import CrossFit
from ingradient_pl.cli.cross_validation import _compare, _tell, cross_validate
from ingradient_pl.cli.crossval import read_keys
from ingradient_pl.cli.crossval_plans import choose_plans
from ingradient_pl.cli.crossval_state import STATE, read_state
from ingradient_pl.cli.run_folders import hold_folder
from ingradient_pl.commands.best_configuration import MEAN, Candidate, Score, choose_best
from ingradient_pl.commands.load import checkpoint_files
from ingradient_pl.inference import checkpoint
from ingradient_pl.inference.postprocess import read_steps
from ingradient_pl.messages import UsageError
from ingradient_pl.planning.plan_yaml import read_plan, write_plan
from ingradient_pl.store.case_store import CaseStore

TOLD = [
    "trainer=cpu",
    "recipe=fast",
    "epochs=1",
    "batches_per_epoch=2",
    "data.workers=0",
    "data.split.count=2",
]
TOLD += ["callbacks.images=null", "callbacks.best=null", "logger=none"]


@pytest.fixture(autouse=True)
def _forget_hydra():
    yield
    HydraConfig.instance().cfg = None


@pytest.fixture(scope="module")
def plans(phantom_plan, tmp_path_factory) -> list[Path]:
    """Two configurations: the phantoms' plan, and a coarser one."""
    folder = tmp_path_factory.mktemp("plans [2]")
    fine = read_plan(phantom_plan)
    coarse = dataclasses.replace(fine, spacing=tuple(2 * float(edge) for edge in fine.spacing))
    files = [folder / "fine.yaml", folder / "coarse.yaml"]
    for file, plan in zip(files, (fine, coarse), strict=True):
        write_plan(file, plan)
    return files


@pytest.fixture(scope="module")
def undisturbed(phantom_store, plans, tmp_path_factory):
    return cross_validate(
        None, phantom_store, tmp_path_factory.mktemp("whole") / "cv", None, plans, None, TOLD
    )


@pytest.mark.slow
def test_it_ends_with_one_model_of_the_best(undisturbed, phantom_store, plans):
    state = read_state(undisturbed.folder)
    assert [one.name for one in undisturbed.candidates] == ["fine", "coarse", "fine+coarse"]
    assert {one.cases for one in undisturbed.candidates} == {6}
    assert {one.patients for one in undisturbed.candidates} == {6}
    means = {one.name: one.dice[MEAN].mean for one in undisturbed.candidates}
    assert means[undisturbed.best] == max(means.values())
    assert state["configurations"]["coarse"]["folds"] == {"0": "done", "1": "done"}
    assert state["summary"]["candidates"]["fine"]["Dice"][MEAN]["mean"] == means["fine"]
    model = checkpoint.read(checkpoint_files(undisturbed.folder))
    assert len(model.networks) == 2
    assert 1 + len(model.others) == len(undisturbed.best.split("+"))
    assert model.postprocess == read_steps(undisturbed.folder / "postprocess.yaml")
    after = undisturbed.postprocessed
    assert (after is None) == (not model.postprocess.steps)
    assert after is None or after.dice[MEAN].mean >= means[undisturbed.best]
    case = next(iter(CaseStore(phantom_store).cases.values()))
    label = undisturbed.load(device="cpu").predict(np.zeros((1, 8, 9, 9), np.float32), case.grid.spacing)
    assert label.shape == (8, 9, 9)


@pytest.mark.slow
def test_an_average_of_two_is_what_the_model_of_both_says(undisturbed, phantom_store):
    """Scored and predicted alike: the maps kept of held-out cases give what the checkpoints give."""
    from ingradient_pl.images import formats
    from ingradient_pl.inference.model import combine
    from ingradient_pl.inference.predictor import Predictor
    from ingradient_pl.store.stored_cases import stored_volume

    runs = [undisturbed.folder / name / "fold_0" for name in ("fine", "coarse")]
    models = [checkpoint.read(checkpoint_files(run)) for run in runs]
    name = models[0].validation[0]
    volume = stored_volume(phantom_store / "cases" / name, models[0].plan.orientation)
    label = Predictor(combine(models)).predict(volume.voxels, volume.frame.spacing)
    found = formats.read_label(undisturbed.folder / "ensembles/fine+coarse/predictions" / f"{name}.nii.gz")
    np.testing.assert_array_equal(found.voxels[0], label)


@pytest.mark.slow
def test_killed_at_any_moment_it_ends_with_the_same_summary(undisturbed, phantom_store, plans, tmp_path):
    folder, random_moment = tmp_path / "killed", random.Random(os.urandom(4))
    line = [sys.executable, "-m", "ingradient_pl.cli.main", "crossval", f"store={phantom_store}"]
    line += [f"plan=[{','.join(map(json.dumps, map(str, plans)))}]", f"output={folder}", *TOLD]
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(line, stdout=log, stderr=log, env={**os.environ, "OMP_NUM_THREADS": "1"})
        wanted = random_moment.randint(1, 12)
        try:
            wait_for(lambda: _files(folder) >= wanted or process.poll() is not None, f"file number {wanted}")
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait()
    found = cross_validate(None, phantom_store, folder, None, plans, None, TOLD)
    assert read_state(folder)["summary"] == read_state(undisturbed.folder)["summary"]
    ours, theirs = (checkpoint.read_content(one.checkpoint)["state_dict"] for one in (found, undisturbed))
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(value, theirs[name]) for name, value in ours.items())


def _files(folder: Path) -> int:
    return sum(1 for file in folder.rglob("*") if file.suffix in (".ckpt", ".npz", ".gz", ".json"))


@pytest.mark.slow
def test_the_folder_of_another_is_left_alone(undisturbed, phantom_store, plans, tmp_path, monkeypatch):
    def again(told=TOLD, chosen=plans, folds=None, store=phantom_store):
        return cross_validate(None, store, undisturbed.folder, None, chosen, folds, told)

    with pytest.raises(FileExistsError, match="epochs: 1 there, 2 here"):
        again([entry.replace("epochs=1", "epochs=2") for entry in TOLD])
    (tmp_path / "fine.yaml").write_text(plans[1].read_text())
    with pytest.raises(FileExistsError, match="another plan"):
        again(chosen=[tmp_path / "fine.yaml"])
    with pytest.raises(ValueError, match=r"Folds \[0, 1\] were run"):
        again(folds=[1])
    with hold_folder(undisturbed.folder), pytest.raises(FileExistsError, match="Another process"):
        again()
    monkeypatch.setattr(CaseStore, "check_sum", lambda self: "other")
    with pytest.raises(FileExistsError, match="another store"):
        again()


def test_a_plan_for_another_store_is_refused_before_anything_is_trained(phantom_store, plans, tmp_path):
    two = dataclasses.replace(
        read_plan(plans[0]), channels=2, normalisation=read_plan(plans[0]).normalisation * 2
    )
    with pytest.raises(ValueError, match="2 channels"):
        ip.crossval(store=phantom_store, output=tmp_path / "cv", plan=two)
    assert not (tmp_path / "cv").exists()


def test_a_damaged_state_is_named(tmp_path):
    (tmp_path / STATE).write_text("{")
    with pytest.raises(ValueError, match=r"crossval\.json cannot be read"):
        read_state(tmp_path)
    (tmp_path / STATE).write_text('{"format": 7}')
    with pytest.raises(ValueError, match="of this version"):
        read_state(tmp_path)


def test_a_failed_fold_is_told_and_its_configuration_not_compared(phantom_store, tmp_path, capsys):
    fit = CrossFit(tmp_path / "predictions", {}, {0: ("a",), 1: ("b",)}, {1: "the device was lost"})
    found = _compare(tmp_path, CaseStore(phantom_store), {"2d": fit}, (), ensembles=True)
    _tell(found)
    assert (found.best, found.failures) == (None, {"2d/fold_1": "the device was lost"})
    assert "2d/fold_1: the device was lost" in capsys.readouterr().err


def candidate(name, mean, cases=3):
    return Candidate(tuple(name.split("+")), Path(), {MEAN: Score(mean, 0, 1)}, cases, cases)


@pytest.mark.parametrize(
    ("means", "best"),
    [
        ({"2d": 0.7, "3d": 0.8, "2d+3d": 0.75}, "3d"),
        ({"2d": 0.7, "3d": 0.8, "2d+3d": 0.81}, "2d+3d"),
        ({"2d+3d": 0.8, "2d": 0.8, "3d": 0.8}, "2d"),
        ({"2d": float("nan"), "3d": 0.0}, "3d"),
    ],
)
def test_the_highest_mean_is_the_best_and_of_equals_the_simplest(means, best):
    assert choose_best([candidate(name, mean) for name, mean in means.items()]).name == best


def test_only_what_was_scored_on_the_same_cases_is_compared():
    with pytest.raises(ValueError, match="same cases"):
        choose_best([candidate("2d", 0.5), candidate("3d", 0.5, cases=2)])


def test_configurations_are_all_that_the_data_have_or_those_named(phantom_store):
    store = CaseStore(phantom_store)
    assert list(choose_plans(store, None, None, {})) == ["2d", "3d_fullres"]
    named = choose_plans(store, ["2d", "2d:resenc_m"], None, {"memory_gb": 4})
    assert list(named) == ["2d", "2d_resenc_m"]
    assert named["2d"].blocks != named["2d_resenc_m"].blocks
    for wrong, said in [("4d", "no configuration '4d'"), ("2d:big", "no preset 'big'")]:
        with pytest.raises(UsageError, match=said):
            choose_plans(store, [wrong], None, {})
    with pytest.raises(UsageError, match="planner"):
        choose_plans(store, ["2d"], None, {"memory": 4})
    with pytest.raises(ValueError, match="3d_lowres"):
        choose_plans(store, ["3d_lowres"], None, {})


def test_keys_are_sorted_into_those_of_the_command_and_those_of_the_runs(tmp_path):
    (tmp_path / "a, b.yaml").touch()
    own, told = read_keys([f"plan={tmp_path / 'a, b.yaml'}", "folds=0,1", "epochs=2", "ensembles=false"])
    assert own["plan"] == [str(tmp_path / "a, b.yaml")]
    assert (own["folds"], own["ensembles"], own["configurations"], told) == (
        [0, 1],
        False,
        None,
        ["epochs=2"],
    )
    for wrong in ("folds=[a]", "ensembles=perhaps", "-m", "store", "store=[a,b]"):
        with pytest.raises(UsageError, match=wrong.partition("=")[0]):
            read_keys([wrong])


def test_the_command_says_what_is_missing_and_helps(monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    code, _, err = outcome(monkeypatch, capsys, "crossval", "epochs=2")
    assert (code, "store=DIR, or source=DIR" in err) == (2, True)
    code, out, _ = outcome(monkeypatch, capsys, "crossval", "--help")
    assert (code, "configurations" in out) == (0, True)
    code, _, err = outcome(monkeypatch, capsys, "crossval", "store=nowhere")
    assert (code, "nowhere" in err) == (1, True)
