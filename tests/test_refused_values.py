"""Values that count nothing, or do not switch off what they seem to, are refused before anything is read."""

import pytest
from hydra.core.hydra_config import HydraConfig
from hydra.utils import instantiate
from runs import composed, outcome

from ingradient_pl.cli.suggestions import NESTED, explain_instantiation
from ingradient_pl.cli.train_config import train
from ingradient_pl.messages import UsageError


@pytest.fixture(autouse=True)
def _forget_hydra():
    yield
    HydraConfig.instance().cfg = None


@pytest.mark.parametrize(
    ("told", "words"),
    [
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
        ("data.workers=-1", "data.workers must be a whole number from 0 or null, got -1"),
        ("data.workers=1.5", "got 1.5"),
    ],
)
def test_what_counts_nothing_is_refused(quick, tmp_path, told, words):
    with pytest.raises(UsageError, match=words):
        train(composed([*quick, told], tmp_path))


@pytest.mark.parametrize(("group", "place"), NESTED.items())
def test_null_in_the_place_of_a_group_is_refused_with_how_to_choose(quick, tmp_path, group, place):
    with pytest.raises(UsageError, match=f"{place}=null would not switch it off.*{group}@{place}=NAME"):
        train(composed([*quick, f"{place}=null"], tmp_path))


def test_a_refused_run_says_one_line(quick, tmp_path, monkeypatch, capsys):
    told = [*quick, "data.workers=-1", f"hydra.run.dir={tmp_path / 'run'}"]
    code, _, printed = outcome(monkeypatch, capsys, "train", *told)
    assert code == 2
    assert printed.splitlines() == [
        "ingradient-train: data.workers must be a whole number from 0 or null, got -1."
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
