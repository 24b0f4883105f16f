"""The shipped configuration: every file composes, instantiates, and is in the wheel."""

import configparser
import tempfile
from pathlib import Path

import pytest
from hydra import compose, initialize_config_module
from hydra.core.hydra_config import HydraConfig
from hydra.utils import instantiate

from ingradient_pl.cli.train import built, with_plans

ROOT = Path(__file__).parents[1]
CONF = ROOT / "conf"
VARIANTS = sorted(file.relative_to(CONF) for file in CONF.glob("*/*.yaml"))
ELSEWHERE = {  # groups that stand inside another constructor's group
    "network": "network@module.network",
    "loss": "loss@module.loss",
    "optimizer": "optimizer@module.optimizer",
    "scheduler": "scheduler@module.scheduler",
    "draws": "draws@data.draws",
    "augment": "augment@data.augment",
}


def composed(overrides, folder):
    """The config as a run sees it."""
    plans = Path(tempfile.mkdtemp(dir=folder))
    with initialize_config_module("ingradient_pl.conf", version_base="1.3"):
        config = compose(
            "train",
            [*with_plans(list(overrides), plans), f"hydra.runtime.output_dir={folder}"],
            return_hydra_config=True,
        )
    HydraConfig.instance().set_config(config)
    return config


@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_every_variant_composes_and_instantiates(variant, quick, tmp_path):
    if variant.stem == "outside":
        pytest.importorskip("monai")
    group = variant.parent.name
    kept = [entry for entry in quick if not entry.startswith(f"{group}=")]
    if variant == Path("loss/regions.yaml"):
        kept += ["plan.regions=[[1,2],[1],[2]]"]
    if group == "trainer":
        kept += ["trainer.accelerator=cpu", "trainer.devices=1"]
    config = composed([*kept, f"{ELSEWHERE.get(group, group)}={variant.stem}"], tmp_path)
    for node in ("data", "module", "trainer"):
        instantiate(config[node])
    for node in (config.callbacks, config.logger):
        built(node)


def test_what_is_set_to_null_is_off(quick, tmp_path):
    config = composed([*quick, "callbacks.images=null", "logger=none"], tmp_path)
    assert built(config.logger) == []
    names = {type(callback).__name__ for callback in built(config.callbacks)}
    assert not names & {"LayerImages", "LearningRateMonitor"}
    assert "ValidationDice" in names


@pytest.mark.parametrize(("override", "axes"), [("mirror_p=0.5", (0, 1, 2)), ("mirror_p=0", ())])
def test_prediction_mirrors_what_training_did(quick, tmp_path, override, axes):
    config = composed([*quick, f"+data.draws.motion.{override}"], tmp_path)
    assert instantiate(config.data).mirrored == axes


def test_every_key_of_the_plan_can_be_overridden(quick, tmp_path):
    config = composed([*quick, "plan.spacing=[2,2,2]", "plan.batch_size=4"], tmp_path)
    data = instantiate(config.data)
    assert data.plan.spacing == (2, 2, 2)
    assert data.draws.spacing == (2, 2, 2)
    assert data.draws.batch_size == 4


def test_what_is_shipped_is_what_there_is():
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg")
    listed = set(parser["options"]["packages"].split())
    folders = {file.parent for file in (ROOT / "ingradient_pl").glob("**/*.py")}
    there = {".".join(folder.relative_to(ROOT).parts) for folder in folders} | {"ingradient_pl.conf"}
    assert listed == there
    assert (CONF / "__init__.py").is_file()


def test_every_file_says_what_it_is_for():
    for file in CONF.glob("**/*.yaml"):
        lines = file.read_text(encoding="utf-8").splitlines()
        first = next(line for line in lines if not line.startswith("# @package"))
        assert first.startswith("# "), f"{file}: the first line is no comment"
