"""From a store to one model: killed anywhere, the same summary; others' folders refused; the best chosen."""

import dataclasses
import json
import os
import random
import shutil
import signal
from importlib import metadata
from pathlib import Path

import numpy as np
import preloaded
import pytest
import torch
from hydra.core.hydra_config import HydraConfig
from processes import wait_for
from runs import outcome

import ingradient_pl as ip
from ingradient_pl.cli import cross_validation
from ingradient_pl.cli.cross_fit import CrossFit
from ingradient_pl.cli.cross_validation import _compare, _tell, cross_validate
from ingradient_pl.cli.crossval import read_keys
from ingradient_pl.cli.crossval_plans import choose_plans
from ingradient_pl.cli.crossval_state import STATE, read_state
from ingradient_pl.cli.first_stage_folds import choose_held_out
from ingradient_pl.cli.run_folders import hold_folder
from ingradient_pl.commands.best_configuration import MEAN, Candidate, Score, choose_best
from ingradient_pl.commands.load import checkpoint_files
from ingradient_pl.datasets.phantom_files import write_phantoms
from ingradient_pl.datasets.sources import read_source
from ingradient_pl.inference import checkpoint
from ingradient_pl.inference.postprocess import read_steps
from ingradient_pl.lightning.run_files import LAST
from ingradient_pl.messages import UsageError
from ingradient_pl.planning.plan_yaml import read_plan, write_plan
from ingradient_pl.store import open_stores
from ingradient_pl.store.build import build_store
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
CASCADE = "2d_cascade"


@pytest.fixture(autouse=True)
def _forget_hydra():
    yield
    HydraConfig.instance().cfg = None


@pytest.fixture(scope="module")
def plans(phantom_plan, tmp_path_factory) -> list[Path]:
    """Three configurations: the phantoms' plan, a coarser one, and a cascade of the two."""
    folder = tmp_path_factory.mktemp("plans [2]")
    fine = read_plan(phantom_plan)
    coarse = dataclasses.replace(
        fine, spacing=tuple(2 * float(edge) for edge in fine.spacing), notes={"configuration": "coarse"}
    )
    cascade = dataclasses.replace(fine, previous_stage="coarse")
    made = {folder / "fine.yaml": fine, folder / "coarse.yaml": coarse, folder / "2d cascade.yaml": cascade}
    for file, plan in made.items():
        write_plan(file, plan)
    return list(made)


@pytest.fixture(scope="module")
def undisturbed(phantom_store, plans, tmp_path_factory):
    return cross_validate(
        None, phantom_store, tmp_path_factory.mktemp("whole") / "cv", None, plans, None, TOLD
    )


@pytest.mark.slow
def test_it_ends_with_one_model_of_the_best(undisturbed, phantom_store, plans):
    state = read_state(undisturbed.folder)
    alone = ["fine", "coarse", CASCADE]
    pairs = ["fine+coarse", f"fine+{CASCADE}", f"coarse+{CASCADE}"]
    assert [one.name for one in undisturbed.candidates] == [*alone, *pairs]
    assert {one.cases for one in undisturbed.candidates} == {6}
    assert {one.patients for one in undisturbed.candidates} == {6}
    means = {one.name: one.dice[MEAN].mean for one in undisturbed.candidates}
    assert means[undisturbed.best] == max(means.values())
    assert all(state["configurations"][name]["folds"] == {"0": "done", "1": "done"} for name in alone)
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
def test_a_cascade_learns_from_and_is_scored_on_what_held_out_folds_of_its_first_stage_find(
    undisturbed, phantom_store
):
    from ingradient_pl.images import formats
    from ingradient_pl.inference.predictor import Predictor
    from ingradient_pl.store import CaseVolumes
    from ingradient_pl.store.stored_cases import stored_volume

    folder, store = undisturbed.folder, CaseStore(phantom_store)
    volumes = CaseVolumes(folder / "coarse" / "previous", store)
    models = [checkpoint.read(folder / CASCADE / f"fold_{fold}" / LAST) for fold in (0, 1)]
    for fold, model in enumerate(models):
        low = checkpoint.read(folder / "coarse" / f"fold_{fold}" / LAST)
        assert len(model.previous.networks) == 1
        weights = (one.networks[0].state_dict() for one in (model.previous, low))
        assert all(torch.equal(*pair) for pair in zip(*(one.values() for one in weights), strict=True))
        assert model.previous.validation == () or set(model.validation) == set(low.validation)
        for name in model.validation:
            written = formats.read_label(folder / "coarse/predictions" / f"{name}.nii.gz", store.orientation)
            case = store.cases[name]
            cut = tuple(slice(a, a + n) for a, n in zip(case.start, case.grid.shape, strict=True))
            np.testing.assert_array_equal(volumes.read(name, case.grid.whole), written.voxels[0][cut])
    name = models[1].validation[0]
    volume = stored_volume(phantom_store / "cases" / name, models[1].plan.orientation)
    label = Predictor(models[1]).predict(volume.voxels, volume.frame.spacing)
    found = formats.read_label(folder / CASCADE / "predictions" / f"{name}.nii.gz")
    np.testing.assert_array_equal(found.voxels[0], label)
    both = checkpoint.read([folder / CASCADE / f"fold_{fold}" / LAST for fold in (0, 1)])
    assert (len(both.networks), len(both.previous.networks)) == (2, 2)


@pytest.mark.slow
def test_several_stores_are_divided_each_and_scored_together_and_by_store(phantom_store, plans, tmp_path):
    """Both stores hold cases of the same names, of other images."""
    raw = write_phantoms(tmp_path / "raw", 4, (20, 24, 28), (1.5, 1.0, 1.0), seed=5)
    described = json.loads((raw / "dataset.json").read_text())
    described["annotated"] = {f"phantom_00{number}": ["organ"] for number in range(4)}
    (raw / "dataset.json").write_text(json.dumps(described))
    other = tmp_path / "other, (2)"
    build_store(read_source(raw), other, progress=False)
    stores, folder = [phantom_store, other], tmp_path / "cv"
    found = cross_validate(None, stores, folder, None, plans[1:2], None, TOLD)
    assert found.failures == {}
    assert [one.name for one in found.candidates] == ["coarse"]
    written = {file.name.removesuffix(".nii.gz") for file in (folder / "coarse/predictions").glob("*.gz")}
    assert written == open_stores(stores).cases.keys() >= {"phantom_000@store", "phantom_000@other, (2)"}
    for one in found.candidates:
        assert (one.cases, one.patients, list(one.stores)) == (10, 6, ["other, (2)", "store"])
        files = (folder / one.name / f"summary{ending}.json" for ending in ("", "@store"))
        assert [len(json.loads(file.read_text())["metric_per_case"]) for file in files] == [10, 6]
        mean = (4 * one.stores["other, (2)"]["organ"].mean + 6 * one.stores["store"]["organ"].mean) / 10
        assert one.dice["organ"].mean == pytest.approx(mean)
        assert one.stores["store"].keys() == {"organ", "lesion", MEAN}
        assert one.stores["other, (2)"].keys() == {"organ", MEAN}
    assert read_state(folder)["summary"]["candidates"]["coarse"]["stores"]["store"]["Dice"]
    again = cross_validate(None, stores, folder, None, plans[1:2], None, TOLD)
    assert again.candidates == found.candidates
    with pytest.raises(FileExistsError, match="another store"):
        cross_validate(None, stores[:1], folder, None, plans[1:2], None, TOLD)


@pytest.mark.slow
def test_killed_at_any_moment_it_ends_with_the_same_summary(undisturbed, phantom_store, plans, tmp_path):
    folder, random_moment = tmp_path / "killed", random.Random(os.urandom(4))
    line = ["crossval", f"store={phantom_store}"]
    line += [f"plan=[{','.join(map(json.dumps, map(str, plans)))}]", f"output={folder}", *TOLD]
    with (tmp_path / "log").open("w") as log:
        process = preloaded.Command("ingradient_pl.cli.main", *line, stdout=log, stderr=log)
        wanted = random_moment.randint(1, 75)  # of all that it writes before it compares
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


@pytest.mark.slow
@pytest.mark.parametrize(
    ("package", "launcher", "count"),
    [
        ("hydra-joblib-launcher", ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2"], 2),
        ("hydra-submitit-launcher", ["hydra/launcher=submitit_local", "hydra.launcher.timeout_min=10"], 1),
    ],
)
def test_a_launcher_runs_all_folds_of_all_configurations_and_the_scores_are_the_same(
    package, launcher, count, undisturbed, phantom_store, plans, tmp_path
):
    try:
        metadata.version(package)
    except metadata.PackageNotFoundError:
        pytest.skip(f"{package} is not installed")
    line = ["crossval", f"store={phantom_store}"]
    line += [f"plan=[{','.join(map(json.dumps, map(str, plans[:count])))}]", f"output={tmp_path / 'cv'}"]
    done = preloaded.run("ingradient_pl.cli.main", *line, *TOLD, *launcher)
    assert done.returncode == 0, done.stdout + done.stderr
    found, whole = (
        read_state(folder)["summary"]["candidates"] for folder in (tmp_path / "cv", undisturbed.folder)
    )
    assert len(found) == 2 * count - 1
    for name, one in found.items():
        means = [{label: score["mean"] for label, score in of["Dice"].items()} for of in (one, whole[name])]
        assert means[0] == pytest.approx(means[1], abs=1e-3)  # a launcher may take another number of threads


def _files(folder: Path) -> int:
    return sum(1 for file in folder.rglob("*") if file.suffix in (".ckpt", ".npz", ".gz", ".json"))


@pytest.mark.slow
def test_folds_that_were_disturbed_are_mended_or_told_in_words_of_this_command(
    undisturbed, phantom_store, plans, tmp_path, capsys
):
    folder = shutil.copytree(undisturbed.folder, tmp_path / "cv")
    folds = [folder / "coarse" / f"fold_{number}" for number in (0, 1)]
    (folds[0] / "run.json").unlink()  # a kill before it was written leaves the same
    again = cross_validate(None, phantom_store, folder, None, plans[:2], None, TOLD)
    assert again.failures == {}
    before = {one.name: one.dice for one in undisturbed.candidates}
    assert {one.name: one.dice for one in again.candidates}.items() <= before.items()
    said = capsys.readouterr()
    assert f"{folds[0]} is finished: it has trained 1 epoch" in said.out
    assert "ask for more" not in said.out
    whole = (folds[1] / LAST).read_bytes()
    (folds[1] / LAST).write_bytes(whole[:-9])
    again = cross_validate(None, phantom_store, folder, None, plans[:2], None, TOLD)
    assert f"Delete {folds[1]}, and" in again.failures["coarse/fold_1"]
    (folds[1] / LAST).write_bytes(whole)
    folds[0].rename(tmp_path / "aside")
    folds[1].rename(folds[0])
    (tmp_path / "aside").rename(folds[1])
    again = cross_validate(None, phantom_store, folder, None, plans[:2], None, TOLD)
    assert again.failures.keys() == {"coarse/fold_0", "coarse/fold_1"}
    for number, run in enumerate(folds):
        told = again.failures[f"coarse/fold_{number}"]
        assert "data.split.number" in told
        assert f"Delete {run}, and this fold is trained anew" in told
        assert "hydra.sweep.dir" not in told


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
        again(folds=[1], chosen=plans[:2])
    with monkeypatch.context() as patch:
        swapped = choose_held_out(
            store := CaseStore(phantom_store), choose_plans(store, None, plans, {}), None, TOLD
        )
        patch.setattr(cross_validation, "choose_held_out", lambda *_: {0: swapped[1], 1: swapped[0]})
        with pytest.raises(FileExistsError, match="fold 0, 1 holds out other cases"):
            again()
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
    found = _compare(tmp_path, CaseStore(phantom_store), {"2d": fit}, ["2d"], (), ensembles=True)
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
    assert list(choose_plans(store, None, None, {}).plans) == ["2d", "3d_fullres"]
    named = choose_plans(store, ["2d", "2d:resenc_m"], None, {"memory_gb": 4}).plans
    assert list(named) == ["2d", "2d_resenc_m"]
    assert named["2d"].blocks != named["2d_resenc_m"].blocks
    for wrong, said in [("4d", "no configuration '4d'"), ("2d:big", "no preset 'big'")]:
        with pytest.raises(UsageError, match=said):
            choose_plans(store, [wrong], None, {})
    with pytest.raises(UsageError, match="planner"):
        choose_plans(store, ["2d"], None, {"memory": 4})
    with pytest.raises(ValueError, match="3d_lowres"):
        choose_plans(store, ["3d_lowres"], None, {})


@pytest.mark.slow
def test_a_cascade_brings_its_first_stage_along(phantom_store, monkeypatch, plans):
    from ingradient_pl.cli import crossval_plans

    made = {file.stem: read_plan(file) for file in plans}
    of_data = {"3d_lowres": made["coarse"], "3d_fullres": made["fine"], "2d": made["fine"]}
    of_data["3d_cascade_fullres"] = dataclasses.replace(made["fine"], previous_stage="3d_lowres")
    monkeypatch.setattr(crossval_plans, "make_plan", lambda store, **told: of_data[told["configuration"]])
    store = CaseStore(phantom_store)
    found = choose_plans(store, ["3d_fullres", "3d_cascade_fullres:resenc_m"], None, {})
    assert found.compared == ("3d_fullres", "3d_cascade_fullres_resenc_m")
    assert found.first_stages == {"3d_cascade_fullres_resenc_m": "3d_lowres_resenc_m"}
    assert found.plans["3d_lowres_resenc_m"] is made["coarse"]
    every = choose_plans(store, None, None, {})
    assert every.compared == ("2d", "3d_fullres", "3d_lowres", "3d_cascade_fullres")
    assert every.first_stages == {"3d_cascade_fullres": "3d_lowres"}
    with pytest.raises(UsageError, match=r"sees the segmentation of 'coarse'.*none is of that configuration"):
        choose_plans(store, None, [plans[0], plans[2]], {})
    found = choose_plans(store, None, plans, {})
    with pytest.raises(UsageError, match=r"all 2 folds of coarse"):
        choose_held_out(store, found, [1], TOLD)
    with pytest.raises(UsageError, match=r"data\.previous"):
        choose_held_out(store, found, None, [*TOLD, "data.previous=here"])


@pytest.mark.slow
def test_a_cascade_needs_every_case_held_out_once(phantom_store, plans, tmp_path):
    store = CaseStore(phantom_store)
    names = sorted(store.cases)
    divided = [{"train": names[2:], "val": names[:2]}, {"train": names[:2] + names[4:], "val": names[2:4]}]
    (tmp_path / "splits.json").write_text(json.dumps(divided))
    told = [f"data.split.file={tmp_path / 'splits.json'}"]
    with pytest.raises(UsageError, match=f"no fold holds out {names[4]}, {names[5]} \\(2 cases"):
        choose_held_out(store, choose_plans(store, None, plans, {}), None, told)
    assert len(choose_held_out(store, choose_plans(store, None, plans[:2], {}), None, told)) == 2


def test_folds_of_a_cascade_fail_with_its_first_stage(phantom_store, plans, tmp_path, monkeypatch):
    from ingradient_pl.cli import crossval_fits

    trained = []
    monkeypatch.setattr(crossval_fits, "sweep_folds", lambda store, plans, *_, **__: trained.append([*plans]))
    store = CaseStore(phantom_store)
    chosen = choose_plans(store, None, plans, {})
    fits = crossval_fits.fit_configurations(
        tmp_path, store, chosen, {0: ("a",), 1: ("b",)}, [], {"configurations": {}}, mapped=()
    )
    assert trained == [["fine", "coarse"]]  # one sweep, whose jobs a launcher may run side by side
    assert set(fits[CASCADE].failures.values()) == {"its first stage, coarse, is not complete"}
    assert "last.ckpt" in read_state_of(tmp_path, "coarse")["0"]


def read_state_of(folder, name):
    return json.loads((folder / STATE).read_text())["configurations"][name]["folds"]


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
    for wrong in ("folds=[a]", "ensembles=perhaps", "-m", "store", "store=a,b", "output=[a,b]"):
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
