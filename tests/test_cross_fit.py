"""All folds of a plan: held-out predictions in one folder; a fold that failed is done the next time."""

import json
import os
import shutil
from pathlib import Path

import nibabel
import numpy as np
import pytest
import pytorch_lightning as pl
from hydra.core.hydra_config import HydraConfig
from tiny_models import TASK

from ingradient_pl.cli.cross_fit import PREDICTIONS, CrossFit, check_held_out, collect, cross_fit
from ingradient_pl.cli.previous_stage import keep_previous_by_fold
from ingradient_pl.datasets.layouts import DESCRIPTION
from ingradient_pl.datasets.splits import Fold
from ingradient_pl.inference.answer_folder import identify
from ingradient_pl.lightning.run_files import LAST
from ingradient_pl.store import CaseStore, CaseVolumes

TINY = [
    "trainer=cpu",
    "recipe=fast",
    "epochs=1",
    "batches_per_epoch=1",
    "data.workers=0",
    "data.split.count=2",
]
TINY += ["callbacks.images=null", "callbacks.best=null", "logger=none"]
FLAG = "FOLD_THAT_FAILS"


class Failing(pl.Callback):
    """Ends the run of one fold with an error."""

    def on_train_start(self, trainer, pl_module):
        if str(trainer.datamodule.fold.number) == os.environ.get(FLAG):
            raise RuntimeError("the device was lost")


@pytest.fixture(autouse=True)
def _forget_hydra():
    yield
    HydraConfig.instance().cfg = None


@pytest.mark.slow
def test_every_case_is_predicted_by_the_fold_that_held_it_out(
    phantom_store, phantom_plan, tmp_path, monkeypatch, capsys
):
    folder = tmp_path / "folds [of] a, b"
    told = [*TINY, "+callbacks.failing={_target_: test_cross_fit.Failing}"]
    monkeypatch.setenv(FLAG, "0")
    first = cross_fit(phantom_store, phantom_plan, folder, None, told, probabilities=True)
    assert list(first.runs) == [1]
    assert "the device was lost" in first.failures[0]
    assert "the sweep goes on" in capsys.readouterr().err
    cases = {name: case for name, case in CaseStore(phantom_store).cases.items() if case.labelled}
    kept = dict(enumerate(one.kept for one in Fold(count=2).splits(cases)))
    assert first.held_out == kept
    assert sorted(first.predictions.glob("*.nii.gz")) == [first.predictions / f"{n}.nii.gz" for n in kept[1]]
    before = _bytes(folder / "fold_1"), _bytes(first.predictions)

    monkeypatch.delenv(FLAG)
    again = cross_fit(phantom_store, phantom_plan, folder, None, told, probabilities=True)
    assert (again.failures, sorted(again.runs), len(again.checkpoints)) == ({}, [0, 1], 2)
    assert {file.name.split(".")[0] for file in again.predictions.glob("*.nii.gz")} == set(cases)
    assert before[0].items() <= _bytes(folder / "fold_1").items()
    assert before[1].items() <= _bytes(again.predictions).items()
    maps = np.load(again.predictions / f"{kept[0][0]}.npz", allow_pickle=False)["probabilities"]
    np.testing.assert_allclose(maps.astype(np.float32).sum(0), 1, atol=1e-2)


def _bytes(folder: Path) -> dict[Path, bytes]:
    return {
        file: file.read_bytes() for ending in ("*.ckpt", "*.gz", "*.npz") for file in folder.rglob(ending)
    }


@pytest.mark.slow
@pytest.mark.parametrize(
    ("told", "folds", "said"),
    [
        (["plan=other.yaml"], None, "plan=.*all folds of one plan"),
        (["data.split.number=3"], None, r"data\.split\.number"),
        (["seed=0,1"], None, "seed has several values"),
        (["hydra/sweeper=optuna"], None, "sweeper"),
        (["data.split.count=2"], [2], "folds 0 to 1"),
        (["data.split.count=2"], [0, 0], "each once"),
        (["data.split.count=40"], None, "40 folds cannot be made"),
    ],
)
def test_what_it_cannot_do_is_said_before_anything_is_trained(
    told, folds, said, phantom_store, phantom_plan, tmp_path
):
    with pytest.raises(ValueError, match=said):
        cross_fit(phantom_store, phantom_plan, tmp_path / "folds", folds, told)
    assert not (tmp_path / "folds").exists()


def test_predictions_of_another_model_than_the_folds_do_not_count(tmp_path):
    for number, name in enumerate("ab"):
        file = tmp_path / f"fold_{number}" / LAST
        file.parent.mkdir(parents=True)
        file.write_text(name)
    answers = {
        name: {"model": identify([tmp_path / f"fold_{number}" / LAST])} for number, name in enumerate("ab")
    }
    (tmp_path / PREDICTIONS).mkdir()
    (tmp_path / PREDICTIONS / DESCRIPTION).write_text(json.dumps({"answers": answers}))
    for name in "ab":
        (tmp_path / PREDICTIONS / f"{name}.nii.gz").touch()
    held_out = {0: ("a",), 1: ("b",)}
    assert not collect(tmp_path, TASK, held_out).failures
    (tmp_path / "fold_1" / LAST).write_text("a")
    found = collect(tmp_path, TASK, held_out)
    assert list(found.runs) == [0]
    assert "its held-out predictions are not of" in found.failures[1]


def test_a_first_stage_that_was_trained_anew_takes_the_place_of_the_one_before(
    raw_phantoms, phantom_store, tmp_path
):
    store = CaseStore(phantom_store)
    name, case = next(iter(store.cases.items()))
    answer = tmp_path / PREDICTIONS / f"{name}.nii.gz"
    answer.parent.mkdir()
    shutil.copy(raw_phantoms / "labelsTr" / answer.name, answer)
    found = CrossFit(answer.parent, {}, {0: (name,)}, {})
    seen = []
    for _ in range(2):
        keep_previous_by_fold(tmp_path / "previous", store, found, ())
        seen.append(CaseVolumes(tmp_path / "previous", store).read(name, case.grid.whole))
        file = nibabel.load(answer)
        nibabel.save(nibabel.Nifti1Image(np.zeros(file.shape, np.uint8), file.affine, file.header), answer)
    assert seen[0].any()
    assert not seen[1].any()


def test_folds_share_no_held_out_case():
    with pytest.raises(ValueError, match="x is held out by fold 0 and by fold 2"):
        check_held_out({0: ("x", "y"), 2: ("z", "x")})
    with pytest.raises(ValueError, match="Fold 1 holds out no case"):
        check_held_out({1: ()})
