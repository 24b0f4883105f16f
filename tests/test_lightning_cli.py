"""The same classes under LightningCLI, from one plain dictionary."""

import inspect
import signal
import sys
from typing import Union, get_args

import preloaded
import processes
import pytest
import torch
import yaml
from pytorch_lightning import Trainer
from pytorch_lightning.cli import LightningArgumentParser
from runs import outcome
from tiny_models import TASK, network, plan

from ingradient_pl.cli import main as entry
from ingradient_pl.cli import train as train_entry
from ingradient_pl.cli.lightning import with_defaults
from ingradient_pl.inference import checkpoint
from ingradient_pl.lightning.command_line import keep_counts
from ingradient_pl.lightning.datamodule import SegmentationData
from ingradient_pl.lightning.module import SegmentationModule
from ingradient_pl.lightning.run_files import find_state
from ingradient_pl.planning.plan_yaml import read_plan
from ingradient_pl.planning.settings import PlannerSettings
from ingradient_pl.store.case_store import CaseStore


def config_of(store, plan, folder):
    """What a user's file holds; the plan's normaliser is named by its class path here."""
    shape = yaml.safe_load(plan.read_text())
    shape.pop("_target_")
    shape["normalisation"] = [{"class_path": "ingradient_pl.transforms.normalise.ZScore"}]
    network = {
        name: shape[name] for name in ("channels", "outputs", "widths", "strides", "kernels", "blocks")
    }
    return {
        "seed_everything": 0,
        "trainer": {
            "accelerator": "cpu",
            "max_steps": 2,
            "default_root_dir": str(folder),
            "logger": False,
            "use_distributed_sampler": False,
            "enable_progress_bar": False,
            "callbacks": [{"class_path": "ingradient_pl.lightning.callbacks.validation_dice.ValidationDice"}],
        },
        "model": {
            "network": {
                "class_path": "ingradient_pl.networks.unet.UNet",
                "init_args": {**network, "decoder_blocks": shape["decoder_blocks"]},
            },
            "loss": {
                "class_path": "ingradient_pl.losses.deep_supervision.DeepSupervision",
                "init_args": {"level_loss": {"class_path": "ingradient_pl.losses.dice_ce.DiceCE"}},
            },
            "optimizer": {"class_path": "torch.optim.SGD", "init_args": {"lr": 0.01}},
        },
        "data": {
            "store": str(store),
            "plan": shape,
            "draws": {"seed": 0},
            "augment": {
                "class_path": "ingradient_pl.transforms.augment.Augment",
                "init_args": {
                    "transforms": [{"class_path": "ingradient_pl.transforms.gaussian_noise.GaussianNoise"}],
                    "seed": 0,
                },
            },
            "batches_per_epoch": 2,
            "workers": 0,
        },
    }


@pytest.mark.slow
def test_fit_by_a_config_file_leaves_a_checkpoint_that_predicts(
    monkeypatch, caplog, tmp_path, phantom_store, phantom_plan
):
    file = tmp_path / "fit.yaml"
    config = config_of(phantom_store, phantom_plan, tmp_path)
    config["data"]["plan"] = str(phantom_plan)  # its file, as `ingradient plan` wrote it
    file.write_text(yaml.safe_dump(config))
    monkeypatch.setattr(sys, "argv", ["ingradient", "fit", "--config", str(file)])
    entry.main()
    assert not [one for one in caplog.records if one.name.startswith("pytorch_lightning")], caplog.text
    (written,) = tmp_path.glob("**/*.ckpt")
    assert torch.load(written, weights_only=True)["global_step"] == 2
    assert checkpoint.read(written).plan.patch == (16, 16, 16)


@pytest.mark.slow
def test_fit_without_a_config_plans_and_trains_by_the_fast_recipe(
    monkeypatch, capsys, tmp_path, phantom_store
):
    """What is printed is a config that runs, and says nothing that the plan decides."""
    monkeypatch.chdir(tmp_path)
    line = [
        "--data.store",
        phantom_store,
        "--data.planner.spacing",
        "[2,2,2]",
        "--trainer.accelerator",
        "cpu",
    ]
    code, printed, err = outcome(monkeypatch, capsys, "fit", *line, "--print_config")
    assert code == 0, err
    config = yaml.safe_load(printed)
    assert config["model"]["optimizer"]["class_path"].endswith("Muon")
    assert config["data"]["draws"]["affine"]["mirror"] == [False] * 3
    assert config["trainer"]["max_epochs"] == 4
    assert (config["model"]["network"], config["model"]["loss"], config["data"]["plan"]) == (None, None, None)
    assert "plan" not in config["model"]
    config["trainer"] |= {
        "max_epochs": 1,
        "limit_val_batches": 1,
        "logger": False,
    }
    config["trainer"]["callbacks"] = [
        one for one in config["trainer"]["callbacks"] if "Monitor" not in one["class_path"]
    ]
    config["data"] |= {"batches_per_epoch": 1, "workers": 0}
    (tmp_path / "fit.yaml").write_text(yaml.safe_dump(config))
    code, said, err = outcome(monkeypatch, capsys, "fit", "--config", "fit.yaml")
    assert code == 0, err
    assert "No plan was named: planned for" in said
    assert "The model: fit_run/checkpoints/last.ckpt" in said
    assert f"ingradient predict --checkpoint fit_run/checkpoints/last.ckpt --source {phantom_store}" in said
    plan = checkpoint.read(tmp_path / "fit_run/checkpoints/last.ckpt").plan
    assert plan == read_plan(tmp_path / "fit_run/plan.yaml")
    assert plan.spacing == (2, 2, 2)


def test_a_planner_beside_a_plan_is_refused(phantom_store, phantom_plan):
    with pytest.raises(ValueError, match="one of the two"):
        SegmentationData(str(phantom_store), read_plan(phantom_plan), planner=PlannerSettings(memory_gb=4))
    with pytest.raises(ValueError, match=r"plan=data\.plan"):
        SegmentationModule()
    with pytest.raises(ValueError, match="no such number"):
        PlannerSettings("nnunet", quantile=0.5).plan(CaseStore(phantom_store))


@pytest.mark.slow
def test_a_number_out_of_range_is_refused_as_ingradient_train_does(
    phantom_store, phantom_plan, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    told = ["--data.store", phantom_store, "--data.plan", phantom_plan, "--trainer.gradient_clip_val", "0"]
    code, _, err = outcome(monkeypatch, capsys, "fit", *told)
    assert code
    assert "trainer.gradient_clip_val must lie above 0, got 0" in err


class Harmful:
    def __reduce__(self):
        return print, ("a program ran",)


@pytest.mark.slow
@pytest.mark.parametrize("command", ["fit", "validate", "test"])
@pytest.mark.parametrize("given", ["file", "http", "s3", "registry", "weights_only"])
def test_a_checkpoint_brings_no_program_and_comes_over_no_network(
    monkeypatch, capsys, tmp_path, phantom_store, phantom_plan, command, given
):
    torch.save({"state_dict": {}, "evil": Harmful()}, tmp_path / "evil.ckpt")
    paths = {
        "http": "http://127.0.0.1:9/evil.ckpt",
        "s3": "s3://bucket/evil.ckpt",
        "registry": "registry:evil",
    }
    settings = config_of(phantom_store, phantom_plan, tmp_path)
    settings["ckpt_path"] = paths.get(given, str(tmp_path / "evil.ckpt"))
    if given == "weights_only":
        settings["weights_only"] = False
    (tmp_path / "fit.yaml").write_text(yaml.safe_dump(settings))
    code, out, err = outcome(monkeypatch, capsys, command, "--config", tmp_path / "fit.yaml")
    assert code == 1, err
    assert "a program ran" not in out + err
    assert "Traceback" not in err
    assert "not opened" in err if given in ("file", "weights_only") else "is an address" in err


@pytest.mark.slow
def test_a_hydra_run_and_its_lightning_config_end_with_the_same_weights(
    monkeypatch, tmp_path, quick, phantom_store, phantom_plan
):
    monkeypatch.chdir(tmp_path)
    rest = [entry for entry in quick if not entry.startswith(("store=", "plan="))]
    line = [
        "--store",
        str(phantom_store),
        "--plan",
        str(phantom_plan),
        "--run_dir",
        "cli",
        "--output",
        "fit.yaml",
    ]
    for arguments in (
        ["lightning-config", *line, "--overrides", f"[{','.join(rest)}]"],
        ["fit", "--config", "fit.yaml"],
    ):
        monkeypatch.setattr(sys, "argv", ["ingradient", *arguments])
        entry.main()
    monkeypatch.setattr(sys, "argv", ["ingradient-train", *quick, "hydra.run.dir=hydra"])
    train_entry.main()
    expected, found = (
        torch.load(tmp_path / run / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
        for run in ("hydra", "cli")
    )
    assert expected.keys() == found.keys()
    for name, value in expected.items():
        assert torch.equal(value, found[name]), name


COUNTED = [
    name
    for name, hint in inspect.unwrap(Trainer.__init__).__annotations__.items()
    if {int, float} <= set(get_args(hint))
]


@pytest.mark.parametrize("name", COUNTED)
def test_a_count_stays_one_whatever_another_library_made_of_its_hint(monkeypatch, name):
    hints = inspect.unwrap(Trainer.__init__).__annotations__
    kinds = [one for one in get_args(hints[name]) if one not in (int, float)]
    monkeypatch.setitem(hints, name, Union[(float, int, *kinds)])
    parser = LightningArgumentParser()
    keep_counts()
    parser.add_lightning_class_args(Trainer, "trainer")
    for text, kind in (("1", int), ("1.0", float)):
        value = parser.parse_args([f"--trainer.{name}={text}"])["trainer"][name]
        assert type(value) is kind


def test_a_checkpoint_is_scored_by_its_own_plan(tmp_path):
    own = plan(spacing=(4.0, 2.0, 2.0))
    checkpoint.write(tmp_path / "a b.ckpt", network(), own, TASK)
    line = ["test", "--data.store", "store", "--ckpt_path", str(tmp_path / "a b.ckpt")]
    given = with_defaults(line, tmp_path)
    assert given[:-2] == line
    assert given[-2] == "--data.plan"
    assert read_plan(given[-1]) == own
    for more in (["--data.plan=mine.yaml"], ["--config", "mine.yaml"]):
        assert with_defaults([*line, *more], tmp_path) == [*line, *more]


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=str)
def test_a_fit_told_to_stop_says_how_to_go_on(tmp_path, phantom_store, phantom_plan, number, code):
    settings = config_of(phantom_store, phantom_plan, tmp_path / "run")
    settings["trainer"]["max_steps"] = 10**6
    (tmp_path / "fit.yaml").write_text(yaml.safe_dump(settings))
    with (tmp_path / "said").open("w") as log:
        line = ("fit", "--config", str(tmp_path / "fit.yaml"))
        process = preloaded.Command("ingradient_pl.cli.main", *line, stdout=log, stderr=log)
        run = tmp_path / "run"
        processes.wait_for(lambda: find_state(run) or process.poll() is not None, "a checkpoint")
        process.send_signal(number)
        assert process.wait(processes.LONGEST) == code
    said = (tmp_path / "said").read_text()
    assert "--ckpt_path" in said.splitlines()[-1]
    assert "Traceback" not in said
