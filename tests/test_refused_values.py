"""Values that count nothing, or do not switch off what they seem to, are refused before anything is read."""

import dataclasses
from functools import partial

import pytest
import torch
from hydra.core.hydra_config import HydraConfig
from hydra.errors import InstantiationException
from hydra.utils import instantiate
from runs import composed, outcome
from tiny_models import plan as made_plan

import ingradient_pl as ip
from ingradient_pl.cli.experiments import check_experiment
from ingradient_pl.cli.group_options import group_options
from ingradient_pl.cli.overrides import quote_paths
from ingradient_pl.cli.suggestions import NESTED, explain_instantiation
from ingradient_pl.cli.train_config import train
from ingradient_pl.lightning.data_agreement import check_agreement
from ingradient_pl.lightning.module import SegmentationModule
from ingradient_pl.lightning.run_schedule import make_schedule
from ingradient_pl.messages import UsageError


@pytest.fixture(autouse=True)
def _forget_hydra():
    yield
    HydraConfig.instance().cfg = None


@pytest.mark.parametrize(
    ("told", "words"),
    [
        ("data.split=null", "data.split.number=null"),
        ("seed=-1", "seed must be a whole number from 0 to 4294967295, got -1"),
        ("seed=4294967296", "from 0 to 4294967295"),
        ("seed=null", "seed must be .* got None"),
        ("seed=0.5", "got 0.5"),
        ("seed=true", "got True"),
        ("epochs=0", "epochs must be a whole number from 1, got 0"),
        ("epochs=-2", "from 1, got -2"),
        ("epochs=many", "got 'many'"),
        ("batches_per_epoch=0", "from 1 or null, got 0"),
        ("batches_per_epoch=-3", "from 1 or null, got -3"),
        ("data.workers=-1", "data.workers must be a whole number from 0 to 1024 or null, got -1"),
        ("data.workers=1.5", "got 1.5"),
        ("init_split=both", "init_split is one of own, source; got 'both'"),
        ("init_split=sorce", r"Did you mean source\?"),
        ("init_folds=all", "init_folds is one of first, mean; got 'all'"),
    ],
)
def test_what_counts_nothing_is_refused(quick, tmp_path, told, words):
    with pytest.raises(UsageError, match=words):
        train(composed([*quick, told], tmp_path))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("told", "words"),
    [
        ("module.optimizer.lr=x", "module.optimizer.lr must be a number, got 'x'"),
        ("module.optimizer.lr=nan", "got nan"),
        ("module.optimizer.lr=null", "got None"),
        ("module.optimizer.lr=[1,2]", r"got \[1, 2\]"),
        ("module.optimizer.lr=true", "got True"),
        ("module.optimizer.lr='${hydra:job.name}'", "got"),
        ("module.optimizer.weight_decay=much", "module.optimizer.weight_decay must be a number"),
        ("module.scheduler.power=high", "module.scheduler.power must be a number"),
        ("data.draws.affine.rotation_p=often", "data.draws.affine.rotation_p must be a number, got 'often'"),
        ("plan.batch_size=2.5", "batch_size"),
        ("data.iterations=1e30", "data.iterations must be a whole number, got 1e"),
        ("data.workers=100000", "data.workers must be a whole number from 0 to 1024 or null, got 100000"),
        ("module.freeze_epochs=2", "freeze_epochs does nothing without module.freeze"),
        ("init_mapping=x.yaml", "init_mapping does nothing without init_from"),
        ("init_split=source", "init_split does nothing without init_from"),
        ("data.draws.elastic=5", "data.draws.elastic must be described by a _target_ or null, got 5"),
        ("data.draws.affine.flat=1e30", "data.draws.affine.flat must be true, false or null, got 1e"),
        ("data.draws.class_weights=2", "data.draws.class_weights must be a list or mapping or null, got 2"),
        (
            "module.loss.level_loss.dice=1" + 19 * "0",
            "module.loss.level_loss.dice must be a number, got 1000",
        ),
        ("plan.spacing=[1500,1000,1000]", "Voxels of 1500.* more than 100 times finer or coarser"),
        ("callbacks.images=3", "callbacks.images must be described by a _target_, or null; got 3"),
        ("trainer.devices=100000", "trainer.devices=100000 processes cannot share batches of 2 patches"),
        ("module.compile=2", "module.compile must be true, false, got 2"),
        ("trainer.max_epochs=many", "trainer.max_epochs must be a whole number or null, got 'many'"),
        ("trainer.gradient_clip_val=nan", "trainer.gradient_clip_val must be a number"),
    ],
)
def test_what_is_no_number_is_refused_where_a_number_is_taken(quick, tmp_path, told, words):
    with pytest.raises((ValueError, InstantiationException), match=words):
        train(composed([*quick, told], tmp_path))


@pytest.mark.parametrize("spacing", [(None, None, None), (None, 1.0, 1.0)])
def test_axes_that_keep_their_spacing_go_with_every_store(phantom_store, phantom_plan, spacing):
    plan = dataclasses.replace(ip.read_plan(phantom_plan), spacing=spacing)
    check_agreement(plan, ip.CaseStore(phantom_store))


@pytest.mark.parametrize(("group", "place"), NESTED.items())
def test_null_in_the_place_of_a_group_is_refused_with_how_to_choose(quick, tmp_path, group, place):
    with pytest.raises(UsageError, match=f"{place}=null would not switch it off.*{group}@{place}=NAME"):
        train(composed([*quick, f"{place}=null"], tmp_path))


@pytest.mark.parametrize("told", ["trainer=null", "~data", "loss@module.loss=", "recipe=None", "logger=null"])
def test_a_group_that_is_told_no_option_is_refused_with_those_there_are(told):
    key = told.lstrip("~").partition("=")[0]
    with pytest.raises(UsageError) as error:
        quote_paths([told])
    assert str(error.value).startswith(f"{told} chooses no option")
    assert all(option in str(error.value) for option in group_options(key.partition("@")[0]))
    assert (f"{key}=none" in str(error.value)) == (key == "logger")


@pytest.mark.parametrize("told", ["plan=null", "experiment=null", "debug=", "callbacks=none", "seed=null"])
def test_null_is_what_a_group_is_without_an_option_where_none_is_needed(told):
    assert quote_paths([told, "seed=1"])[-1] == "seed=1"
    assert (told in quote_paths([told])) == (told in ("callbacks=none", "seed=null"))


FLAT = {"spacing": (None, 1, 1), "patch": (1, 16, 16), "strides": [(1, 1, 1), (1, 2, 2)]}


@pytest.mark.parametrize("experiment", ["demo", "acdc_cpu", "reference_cpu"])
def test_an_experiment_of_other_dimensions_than_the_plan_is_refused(experiment):
    flat = dataclasses.replace(made_plan(), **FLAT)
    with pytest.raises(UsageError, match=f"experiment={experiment} trains patches of .* of two dimensions"):
        check_experiment(experiment, flat, [])
    check_experiment(experiment, flat, ["plan.patch=[1,16,16]"])
    check_experiment("smoke", flat, [])


def test_what_an_experiment_replaces_in_a_plan_is_said(capsys):
    check_experiment("demo", made_plan(), ["plan.widths=[4,8]"])
    said = capsys.readouterr().out
    assert "experiment=demo replaces entries of the plan: patch" in said
    assert "widths" not in said


@pytest.mark.slow
def test_a_refused_run_says_one_line(quick, tmp_path, monkeypatch, capsys):
    told = [*quick, "data.workers=-1", f"hydra.run.dir={tmp_path / 'run'}"]
    code, _, printed = outcome(monkeypatch, capsys, "train", *told)
    assert code == 2
    assert printed.splitlines() == [
        "ingradient-train: data.workers must be a whole number from 0 to 1024 or null, got -1."
    ]


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("ingradient_pl.networks.unet.Unet", "Did you mean ingradient_pl.networks.unet.UNet?"),
        ("UNet", "Did you mean ingradient_pl.networks.unet.UNet?"),
        ("my_networks.UNet", "Did you mean ingradient_pl.networks.unet.UNet?"),
        ("torch.optim.Adamm", "Did you mean torch.optim.Adam?"),
        ("no_such_package.Network", "The package 'no_such_package' is not installed"),
        ("DiceCE", "Did you mean ingradient_pl.losses.dice_ce.DiceCE?"),
    ],
)
def test_a_class_that_is_not_there_is_told_with_the_nearest_in_one_line(target, words):
    with pytest.raises(Exception) as caught:  # noqa: PT011 - of Hydra
        instantiate({"_target_": target})
    told = explain_instantiation(caught.value)
    assert words in told
    assert "\n" not in told


@pytest.mark.parametrize(
    ("told", "words"),
    [
        ({"graph": "maybe"}, "module.graph is auto, true or false.*got maybe and step"),
        ({"graph": None}, "got None"),
        ({"interval": "steps"}, "got auto and steps"),
    ],
)
def test_a_word_that_means_nothing_to_the_module_is_refused(told, words):
    with pytest.raises(ValueError, match=words):
        SegmentationModule(torch.nn.Conv3d(1, 2, 1), torch.nn.Identity(), **told)


def test_one_pattern_of_names_is_a_pattern_and_not_its_letters():
    module = SegmentationModule(torch.nn.Conv3d(1, 2, 1), torch.nn.Identity(), freeze="encoder.*")
    assert module.freeze_patterns == ("encoder.*",)


@pytest.mark.parametrize("argument", ["nix", "length", "optimizer"])
def test_a_schedule_that_takes_no_such_length_says_which_key_names_it(argument):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1)
    make = partial(torch.optim.lr_scheduler.PolynomialLR, power=0.9)
    assert make_schedule(make, optimizer, "total_iters", 5).total_iters == 5
    with pytest.raises(ValueError, match=f"cannot be made with .*{argument}.*module.length_argument names"):
        make_schedule(make, optimizer, argument, 5)


@pytest.mark.parametrize("name", [field.name for field in dataclasses.fields(made_plan())])
def test_null_in_a_plan_is_refused_by_name_unless_it_means_something(name):
    if name in ("low_pass_above", "ignore", "regions", "previous_stage"):
        assert getattr(dataclasses.replace(made_plan(), **{name: None}), name) is None
        return
    with pytest.raises((TypeError, ValueError), match=f"'{name}'.*None"):
        dataclasses.replace(made_plan(), **{name: None})


HERE = ("--predictions", ".", "--labels", ".")
OTHER = ("--store", "s", "--network", "n")


@pytest.mark.parametrize(
    ("command", "more", "words"),
    [
        (
            "evaluate",
            ["--predictions", ".", "--labels", ".", "--surface", "--tolerance", -1],
            "tolerance must be",
        ),
        (
            "evaluate",
            ["--predictions", ".", "--labels", ".", "--surface", "--tolerance", 1e30],
            "in mm, from 0 to 1000; got 1e",
        ),
        ("evaluate", ["--predictions", ".", "--labels", ".", "--lesions", "--overlap", 2], "overlap must be"),
        ("evaluate", ["--predictions", ".", "--labels", ".", "--seed", -1], "seed must be from 0"),
        ("compare", ["--first", "a", "--second", "b", "--seed", -1], "seed must be from 0"),
        ("phantoms", ["--output", "p", "--channels", 0], "channels must be from 1"),
        ("phantoms", ["--output", "p", "--cases", 10**9], "cases must be from 1"),
        ("phantoms", ["--output", "p", "--seed", -1], "seed must be from 0"),
        ("prepare", ["--source", ".", "--store", "s", "--workers", 0], "workers must be from 1"),
        ("report", ["--path", ".", "--worst", -1], "worst must be from 0"),
        *(
            ("plan", ["--store", "s", "--network", "n", "--multiple", one], "multiple must be from 1")
            for one in (0, -1, 10**9)
        ),
        *(("plan", ["--store", "s", "--memory_gb", one], "memory_gb must be from") for one in (0, -1, 1e9)),
        ("lightning-config", ["--store", "nowhere", "--plan", "plan.yaml"], "nowhere"),
    ],
)
def test_commands_refuse_what_they_would_not_have_used(monkeypatch, capsys, tmp_path, command, more, words):
    (tmp_path / "dataset.json").write_text(
        '{"channel_names": {"0": "CT"}, "labels": {"background": 0, "a": 1}, "file_ending": ".nii.gz"}'
    )
    monkeypatch.chdir(tmp_path)
    code, _, err = outcome(monkeypatch, capsys, command, *more)
    assert code
    assert words in err
