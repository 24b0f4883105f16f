"""The shipped configuration: every file composes, instantiates, and is in the wheel."""

import configparser
import dataclasses
from itertools import zip_longest
from pathlib import Path

import pytest
from hydra.errors import InstantiationException
from hydra.utils import get_class, instantiate
from omegaconf import open_dict
from runs import composed

from ingradient_pl.cli.train_config import instantiate_group
from ingradient_pl.draws.affine import RandomAffine
from ingradient_pl.draws.training import TrainingDraws
from ingradient_pl.messages import UsageError
from ingradient_pl.planning.plan_yaml import read_plan
from ingradient_pl.transforms.intensity import GaussianBlur
from ingradient_pl.transforms.intensity_base import is_range

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

OF_OTHERS = {
    "network/external.yaml": "monai",
    "loss/external.yaml": "monai",
    "logger/wandb.yaml": "wandb",
    "logger/mlflow.yaml": "mlflow",
    "logger/comet.yaml": "comet_ml",
    "logger/aim.yaml": "aim",
}
"""Variants that need the package of an extra."""


def rounds():
    """All variants: of groups that leave each other alone one of each at once, the others one by one."""
    together = ("callbacks", "logger", "trainer", *ELSEWHERE)
    ours = [variant for variant in VARIANTS if str(variant) not in OF_OTHERS]
    groups = [[variant for variant in ours if variant.parent.name == group] for group in together]
    found = [[variant for variant in row if variant] for row in zip_longest(*groups)]
    return [*found, *([one] for one in VARIANTS if one.parent.name not in together or one not in ours)]


@pytest.mark.slow
@pytest.mark.parametrize("variants", rounds(), ids=lambda row: " ".join(map(str, row)))
def test_every_variant_composes_and_instantiates(variants, quick, tmp_path):
    chosen = [f"{ELSEWHERE.get(one.parent.name, one.parent.name)}={one.stem}" for one in variants]
    for variant in variants:
        if str(variant) in OF_OTHERS:
            pytest.importorskip(OF_OTHERS[str(variant)])
    kept = [
        entry for entry in quick if not entry.startswith(tuple(f"{one.parent.name}=" for one in variants))
    ]
    if Path("loss/regions.yaml") in variants:
        kept += ["plan.regions=[[1,2],[1],[2]]"]
    if any(one.parent.name == "trainer" for one in variants):
        kept += ["trainer.accelerator=cpu", "trainer.devices=1"]
    config = composed([*kept, *chosen], tmp_path)
    for node in ("data", "module", "trainer"):
        instantiate(config[node])
    for node in (config.callbacks, config.logger):
        instantiate_group(node)


def test_the_heavier_recipe_has_motions_of_its_own(quick, tmp_path):
    affine = instantiate(
        composed([*quick, "recipe=nnunet", "draws@data.draws=heavy"], tmp_path).data
    ).draws.affine
    heavier = {"rotation_p": 0.4, "rotation_axis_p": 0.5, "scaling": (0.7, 1.43), "synchronised_p": 0.0}
    assert affine == RandomAffine(**heavier)


@pytest.mark.parametrize("recipe", ["augment@data.augment=nnunet", "augment@data.augment=heavy"])
def test_every_setting_of_the_augmentation_is_a_key(recipe, quick, tmp_path):
    data = composed([*quick, recipe], tmp_path).data
    nodes = [*data.augment.transforms.values(), data.draws, data.draws.affine, data.draws.oversampling]
    nodes += [change for node in nodes for change in node.get("changes", ())]
    for node in nodes:
        settings = {field.name for field in dataclasses.fields(get_class(node._target_))}
        assert settings == {key for key in node if not key.startswith("_")}, node._target_


@pytest.mark.slow
def test_a_change_set_to_null_is_off_and_wrong_ranges_are_refused(quick, tmp_path):
    plain, without = (
        instantiate(composed([*quick, *told], tmp_path).data).augment
        for told in ([], ["data.augment.transforms.blur=null"])
    )
    assert [type(one) for one in without.transforms] == [
        type(one) for one in plain.transforms if not isinstance(one, GaussianBlur)
    ]
    for wrong in ("[-1,-0.5]", "[0.5,0.1]", "[0,.inf]"):
        config = composed([*quick, f"data.augment.transforms.noise.sigma={wrong}"], tmp_path)
        with pytest.raises(InstantiationException, match=r"'sigma' of GaussianNoise is a range.*got"):
            instantiate(config.data)
    for wrong in (0.1, ("a", "b"), (0, 1, 2), (float("nan"), 1.0), None):
        assert not is_range(wrong, 0)


def test_the_shipped_margin_is_the_codes(quick, tmp_path):
    draws = instantiate(composed([*quick, "recipe=nnunet"], tmp_path).data).draws
    assert draws.margin == TrainingDraws().margin
    assert draws.affine == RandomAffine()


def test_what_is_set_to_null_is_off(quick, tmp_path):
    config = composed([*quick, "callbacks.images=null", "logger=none"], tmp_path)
    assert instantiate_group(config.logger) == []
    names = {type(callback).__name__ for callback in instantiate_group(config.callbacks)}
    assert not names & {"LayerImages", "LearningRateMonitor"}
    assert "ValidationDice" in names


@pytest.mark.parametrize(("override", "axes"), [("mirror_p=0.5", (0, 1, 2)), ("mirror_p=0", ())])
def test_prediction_mirrors_what_training_did(quick, tmp_path, override, axes):
    config = composed([*quick, "recipe=nnunet", f"data.draws.affine.{override}"], tmp_path)
    assert instantiate(config.data).mirrored == axes


def test_every_key_of_the_plan_can_be_overridden(quick, tmp_path):
    config = composed([*quick, "plan.spacing=[2,2,2]", "plan.batch_size=4"], tmp_path)
    data = instantiate(config.data)
    assert data.plan.spacing == (2, 2, 2)
    assert data.draws.spacing == (2, 2, 2)
    assert data.draws.batch_size == 4


@pytest.mark.parametrize("prefix", ["", "+", "++"])
@pytest.mark.parametrize(
    ("key", "cure"),
    [
        ("data.draws.spacing=[2,2,2]", r"Use plan\.spacing=\[2,2,2\]"),
        ("data.draws.patch=[8,8,8]", r"Use plan\.patch=\[8,8,8\]"),
        ("data.draws.batch_size=4", r"Use plan\.batch_size=4"),
        ("data.draws.motion.rotation=15", r"Use data\.draws\.affine\.rotation=15"),
        ("data.draws.bend=null", r"Use data\.draws\.elastic=null"),
    ],
)
def test_what_the_plan_decides_and_words_of_before_are_refused_with_the_key_to_use(
    quick, tmp_path, prefix, key, cure
):
    with pytest.raises(UsageError, match=cure):
        composed([*quick, f"{prefix}{key}"], tmp_path)


@pytest.mark.parametrize(
    "given", [{"patch": [8, 8, 8]}, {"spacing": (2.0, None, 1.0)}, {"batch_size": 4}], ids=str
)
def test_a_config_that_says_otherwise_than_the_plan_is_refused(quick, tmp_path, given):
    config = composed(quick, tmp_path)
    with open_dict(config):
        config.data.draws.update(given)
    ((name, _),) = given.items()
    with pytest.raises(InstantiationException, match=rf"Use plan\.{name}="):
        instantiate(config.data)
    with pytest.raises(ValueError, match=rf"Use plan\.{name}="):
        TrainingDraws(**given)


def test_draws_of_another_plan_are_refused(phantom_plan):
    plan = read_plan(phantom_plan)
    made = TrainingDraws().of(plan)
    assert made.of(plan) == made
    with pytest.raises(ValueError, match="batch_size=4"):
        dataclasses.replace(made, batch_size=4).of(plan)


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
        assert first.startswith("# "), f"{file}: the first line is not a comment"
