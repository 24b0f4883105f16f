"""From a folder to a model by one command; Lightning's own ways of changing a run; what is wrongly said."""

import re
import sys
from pathlib import Path

import pytest
import pytorch_lightning as pl
import yaml
from hydra.core.hydra_config import HydraConfig
from runs import composed, outcome

from ingradient_pl.cli.data_first import with_data
from ingradient_pl.cli.overrides import find
from ingradient_pl.cli.train_config import train
from ingradient_pl.inference import checkpoint
from ingradient_pl.messages import UsageError

SMALL = ["plan.patch=[16,16,16]", "plan.widths=[4,6,8]", "plan.strides=[[1,1,1],[2,2,2],[2,2,2]]"]
SMALL += ["plan.kernels=[[3,3,3],[3,3,3],[3,3,3]]", "plan.blocks=[1,1,1]", "plan.decoder_blocks=[1,1]"]
SHORT = ["trainer=cpu", "epochs=1", "batches_per_epoch=1", "data.workers=0", "callbacks.images=null"]


@pytest.fixture(autouse=True)
def _forget_hydra():
    yield
    HydraConfig.instance().cfg = None


@pytest.mark.slow
def test_a_folder_becomes_a_model_by_one_command(raw_phantoms, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    line = [
        f"source={raw_phantoms}",
        *SMALL,
        *(one for one in SHORT if "images" not in one),
        "hydra.run.dir=run",
    ]
    code, out, err = outcome(monkeypatch, capsys, "train", *line)
    assert code == 0, err
    assert "No plan was named: planned for" in out
    assert "Instead of these, as you say: plan.patch=[16,16,16]" in out
    assert (tmp_path / "stores" / "raw" / "dataset.json").is_file()
    assert (tmp_path / "run" / ".hydra" / "plan" / "plan.yaml").is_file()
    assert checkpoint.read(tmp_path / "run" / "checkpoints" / "last.ckpt").plan.patch == (16, 16, 16)
    end = out[out.index("Trained, val/dice") :]  # scores and pictures are named, and are there
    assert re.search(r"Trained, val/dice 0\.\d+ of validation patches \(organ 0\.\d+, lesion 0\.\d+\)", end)
    pictures = re.findall(r"\S+\.png", end)
    assert [Path(file).name for file in pictures] == ["val_1_epoch0000.png", "progress.png"]
    assert all(Path(file).is_file() for file in pictures)
    assert "ingradient predict --checkpoint" in end


def test_the_planner_takes_its_options_as_keys(phantom_store, tmp_path):
    line = [f"store={phantom_store}", "data.planner=nnunet", "data.planner.memory_gb=4"]
    told = with_data(line, tmp_path)
    assert find(told, "plan") == f'"{tmp_path}/planned/plan.yaml"'
    assert not any(entry.startswith("data.planner") for entry in told)
    with pytest.raises(ValueError, match=r"memory.*ingradient plan --help"):
        with_data([f"store={phantom_store}", "data.planner.memory=4"], tmp_path)
    with pytest.raises(ValueError, match="one of the two"):
        with_data([*line, "plan=plan.yaml"], tmp_path)
    assert with_data(["store=nowhere"], tmp_path) == ["store=nowhere"]


@pytest.mark.parametrize(
    "wrong", ["data.planner.memory=4", "data.planner.output=a", "data.planner.memory_gb=4 plan=p"]
)
def test_what_the_planner_cannot_be_told_is_said_before_a_data_set_is_prepared(tmp_path, wrong):
    with pytest.raises(UsageError, match=r"data\.planner"):
        with_data([f"source={tmp_path}", f"store={tmp_path / 'store'}", *wrong.split()], tmp_path)
    assert not (tmp_path / "store").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("told", "said"),
    [
        ("epoch=3", "Did you mean epochs"),
        ("recipe=fasst", "Did you mean fast"),
        ("trainer.max_epoch=3", "Did you mean max_epochs"),
        ("data.augment=none", "augment@data.augment=none"),
        (
            "module.loss._target_=ingradient_pl.losses.dice_ce.DiceC",
            "Did you mean ingradient_pl.losses.dice_ce.DiceCE",
        ),
        ("optimizer=adamw", "optimizer@module.optimizer"),
    ],
)
def test_a_wrong_word_is_told_with_the_nearest_right_one(told, said, quick, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    code, _, err = outcome(monkeypatch, capsys, "train", *quick, told)
    assert code in (1, 2)
    assert said in err
    assert "Traceback" not in err


@pytest.mark.slow
def test_the_same_batches_again_and_again(quick, tmp_path):
    """overfit_batches leaves the sampler as it is, and its numbers repeat."""
    seen = "+callbacks.seen={_target_: test_one_command.Seen}"
    Seen.numbers = []
    train(composed([*quick, "+trainer.overfit_batches=1", seen], tmp_path))
    assert len(Seen.numbers) == 2
    assert Seen.numbers[0] == Seen.numbers[1]


class Seen(pl.Callback):
    """Numbers of the patches that a run trained on."""

    numbers: list = []  # noqa: RUF012

    def on_train_batch_start(self, trainer, module, batch, batch_idx):
        Seen.numbers.append(tuple(batch.numbers))


def test_what_is_switched_off_is_left_out_of_lightnings_config(
    monkeypatch, capsys, tmp_path, phantom_store, phantom_plan
):
    monkeypatch.chdir(tmp_path)
    line = ["--store", phantom_store, "--plan", phantom_plan, "--output", "fit.yaml"]
    told = "[logger=none,callbacks.images=null,trainer=cpu]"
    code, _, err = outcome(monkeypatch, capsys, "lightning-config", *line, "--overrides", told)
    assert code == 0, err
    written = yaml.safe_load((tmp_path / "fit.yaml").read_text())
    assert None not in written["trainer"]["callbacks"]
    assert written["trainer"]["logger"] is False


@pytest.mark.slow
def test_fit_does_not_write_over_a_run(monkeypatch, capsys, tmp_path, quick, phantom_store, phantom_plan):
    monkeypatch.chdir(tmp_path)
    rest = ",".join(entry for entry in quick if not entry.startswith(("store=", "plan=", "epochs=")))
    line = ["--store", phantom_store, "--plan", phantom_plan, "--output", "fit.yaml", "--run_dir", "run"]
    assert (
        outcome(monkeypatch, capsys, "lightning-config", *line, "--overrides", f"[epochs=1,{rest}]")[0] == 0
    )
    (tmp_path / "run" / "checkpoints").mkdir(parents=True)
    (tmp_path / "run" / "checkpoints" / "last.ckpt").write_bytes(b"a model")
    code, _, err = outcome(monkeypatch, capsys, "fit", "--config", "fit.yaml")
    assert code == 1
    assert "holds a run already" in err
    assert (tmp_path / "run" / "checkpoints" / "last.ckpt").read_bytes() == b"a model"
    assert sys.argv[1] == "fit"


@pytest.mark.parametrize(
    ("told", "epochs"),
    [
        ([], "4"),
        (["recipe=fast"], "4"),
        (["recipe=finetune", "batches_per_epoch=100"], "10"),
        (["recipe=fast", "epochs=7"], "7"),
        (["recipe=nnunet"], None),
        (["recipe=open"], None),
        (["recipe=fast", "experiment=demo"], None),
        (["recipe=fast", "debug=overfit"], None),
        (["recipe=fast", "trainer.max_time=1"], None),
        (["recipe=fast", "batches_per_epoch=null"], None),
    ],
    ids=str,
)
def test_a_length_is_proposed_where_nobody_tells_one(
    told, epochs, phantom_store, phantom_plan, tmp_path, capsys
):
    line = with_data([f"store={phantom_store}", f"plan={phantom_plan}", *told], tmp_path)
    assert find(line, "epochs") == epochs
    assert ("proposed for 5 training cases" in capsys.readouterr().out) == (epochs in ("4", "10"))


def test_more_cases_are_proposed_more_steps(phantom_store, phantom_plan, tmp_path, monkeypatch):
    from ingradient_pl.store.case_store import CaseStore

    case = next(iter(CaseStore(phantom_store).cases.values()))
    cases = {str(number): case for number in range(1000)} | {"test": case._replace(split="test")}
    monkeypatch.setattr(CaseStore, "__init__", lambda self, path: setattr(self, "cases", cases))
    line = with_data([f"store={phantom_store}", f"plan={phantom_plan}", "recipe=fast"], tmp_path)
    assert find(line, "epochs") == "20"  # 800 train: five times the 160 of the study, and its 1,000 steps


@pytest.mark.parametrize(("recipe", "length"), [("fast", (4, 250)), ("nnunet", (1000, 250))])
def test_a_recipe_has_a_length_of_its_own(phantom_store, phantom_plan, tmp_path, recipe, length):
    config = composed([f"store={phantom_store}", f"plan={phantom_plan}", f"recipe={recipe}"], tmp_path)
    assert (config.epochs, config.batches_per_epoch) == length
