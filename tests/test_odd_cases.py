"""Training goes through whatever a data set holds, and a sweep leaves the store as it is."""

import dataclasses
import hashlib
import json
import math
from pathlib import Path

import numpy as np
import pytest
import SimpleITK
from hydra.core.hydra_config import HydraConfig
from runs import composed, outcome

from ingradient_pl.cli.train_config import train
from ingradient_pl.datasets.phantom import phantom
from ingradient_pl.datasets.sources import read_source
from ingradient_pl.draws.training import TrainingDraws
from ingradient_pl.loading.patches import CasePatches
from ingradient_pl.planning.plan_yaml import read_plan
from ingradient_pl.store.build import build_store
from ingradient_pl.store.case_store import CaseStore


@pytest.fixture(autouse=True)
def _forget_hydra():
    yield
    HydraConfig.instance().cfg = None


def store_of(folder, cases, ignored=False):
    """A store of cases given as shape and the classes left in the label; half may be left unannotated."""
    for name in ("imagesTr", "labelsTr"):
        (folder / "raw" / name).mkdir(parents=True)
    for number, (shape, classes) in enumerate(cases):
        image, label = phantom(shape, (1.5, 1.0, 1.0), np.random.default_rng(number))
        label[~np.isin(label, classes)] = 0
        if ignored:
            label[:, : shape[1] // 2] = 3
        for part, voxels, ending in (("imagesTr", image[0], "_0000"), ("labelsTr", label, "")):
            written = SimpleITK.GetImageFromArray(voxels)
            written.SetSpacing((1.0, 1.0, 1.5))
            SimpleITK.WriteImage(written, str(folder / "raw" / part / f"case_{number}{ending}.nii.gz"))
    table = {
        "channel_names": {"0": "MR"},
        "labels": {"background": 0, "organ": 1, "lesion": 2} | ({"ignore": 3} if ignored else {}),
        "numTraining": len(cases),
        "file_ending": ".nii.gz",
    }
    (folder / "raw" / "dataset.json").write_text(json.dumps(table))
    build_store(read_source(folder / "raw"), folder / "store")
    return folder / "store"


WHOLE, TINY, THIN = (20, 24, 22), (6, 9, 7), (1, 30, 30)
DATA_SETS = {
    "a case smaller than the patch": [(TINY, (1, 2)), (WHOLE, (1, 2)), (TINY, (1, 2))],
    "a single slice": [(THIN, (1, 2)), (THIN, (1, 2))],
    "a case without foreground": [(WHOLE, ()), (WHOLE, (1, 2)), (WHOLE, ())],
    "no foreground at all": [(WHOLE, ()), (WHOLE, ())],
    "a class absent": [(WHOLE, (1,)), (WHOLE, (1,)), (WHOLE, (1,))],
}


def trained(quick, store, folder, *more):
    (folder / "run").mkdir()
    kept = [entry for entry in quick if not entry.startswith(("store=", "epochs="))]
    return train(composed([*kept, f"store={store}", "epochs=1", *more], folder / "run"))


@pytest.mark.slow
@pytest.mark.parametrize("name", DATA_SETS)
def test_training_goes_through(quick, tmp_path, name):
    score = trained(quick, store_of(tmp_path, DATA_SETS[name]), tmp_path, "data.split.count=2")
    assert math.isnan(score) or 0 <= score <= 1
    assert (tmp_path / "run" / "checkpoints" / "last.ckpt").is_file()


@pytest.mark.slow
@pytest.mark.parametrize("fold", [0, 1])
def test_a_class_may_be_absent_from_one_side_of_a_fold(quick, tmp_path, fold):
    """The lesion is in one case only: one fold trains without it, the other validates without it."""
    cases = [(WHOLE, (1, 2)), (WHOLE, (1,)), (WHOLE, (1,)), (WHOLE, (1,))]
    store = store_of(tmp_path, cases)
    score = trained(quick, store, tmp_path, "data.split.count=2", f"data.split.number={fold}")
    assert 0 <= score <= 1
    assert sum(2 in case.classes for case in CaseStore(store).cases.values()) == 1


@pytest.mark.slow
def test_a_single_case_trains_and_validates_itself(quick, tmp_path):
    store = store_of(tmp_path, [(WHOLE, (1, 2))])
    score = trained(quick, store, tmp_path, "data.split.number=null", "data.iterations=1")
    assert 0 <= score <= 1


def test_patches_of_partly_annotated_cases_lie_about_what_is_annotated(quick, tmp_path):
    store = CaseStore(store_of(tmp_path, [((30, 60, 40), (1, 2)), ((30, 60, 40), ())], ignored=True))
    assert all(3 not in case.classes for case in store.cases.values())
    plan = dataclasses.replace(read_plan(Path(quick[1].removeprefix("plan="))), patch=(8, 8, 8))
    draws = TrainingDraws(affine=None)
    patches = CasePatches(store, plan, draws, list(store.cases))
    assert all((patches[number].label != 3).any() for number in range(60))


def content(store):
    return {
        file: (file.stat().st_mtime_ns, file.is_file() and hashlib.sha256(file.read_bytes()).hexdigest())
        for file in [store, *store.glob("**/*")]
    }


@pytest.mark.slow
def test_a_sweep_over_spacings_prepares_nothing_again(monkeypatch, capsys, quick, phantom_store, tmp_path):
    before = content(phantom_store)
    line = ["-m", *(entry for entry in quick if not entry.startswith("epochs="))]
    line += ["plan.spacing=[1.5,1,1],[1.2,1.2,1.2],[2,2,2]", "epochs=1", "callbacks=none"]
    line += [
        "logger=none",
        f"hydra.sweep.dir={tmp_path}",
        "hydra/job_logging=none",
        "hydra/hydra_logging=none",
    ]
    code, _, err = outcome(monkeypatch, capsys, "train", *line)
    assert code == 0, err
    assert len(list(tmp_path.glob("*/**/*.ckpt"))) == 3
    assert content(phantom_store) == before
