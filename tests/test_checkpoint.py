"""A checkpoint is enough to predict, and nothing it contains is run."""

import pickle

import pytest
import torch
from tiny_models import TASK, network, plan
from torch import nn

from ingradient_pl.inference.checkpoint import CheckpointError, read, read_description, write
from ingradient_pl.task import Task
from ingradient_pl.transforms.normalise import CT, ZScore


def test_a_model_comes_back_with_weights_plan_and_task(tmp_path):
    trained = network()
    write(tmp_path / "deep" / "model.ckpt", trained, plan(), TASK, mirror=(0, 2))
    model = read(tmp_path / "deep" / "model.ckpt")
    image = torch.randn(1, 1, 8, 8, 8)
    torch.testing.assert_close(model.networks[0](image)[0], trained(image)[0])
    assert model.plan == plan()
    assert model.task == TASK
    assert model.mirror == (0, 2)
    assert [file.name for file in (tmp_path / "deep").iterdir()] == ["model.ckpt"]


def test_a_training_checkpoint_opens_though_it_holds_more(tmp_path):
    weights = {f"network.{name}": value for name, value in network().state_dict().items()}
    content = {"state_dict": weights, "epoch": 3, "optimizer_states": [{"state": {}}]}
    torch.save({**content, **read_description(network(), plan(), TASK)}, tmp_path / "last.ckpt")
    assert read(tmp_path / "last.ckpt").mirror == (0, 1, 2)


def test_only_what_all_were_mirrored_along_is_mirrored_in_any_order(tmp_path):
    files = [tmp_path / "one.ckpt", tmp_path / "other.ckpt"]
    for seed, (file, mirror) in enumerate(zip(files, [(0, 1, 2), (2,)], strict=True)):
        write(file, network(seed), plan(), TASK, mirror=mirror)
    assert read(files).mirror == read(files[::-1]).mirror == (2,)


def test_the_same_weights_twice_are_one_network(tmp_path):
    """Folds of a cascade may each bring the same first stage."""
    write(tmp_path / "both.ckpt", [network(1), network(2)], plan(), TASK)
    write(tmp_path / "again.ckpt", network(2), plan(), TASK)
    assert len(read([tmp_path / "both.ckpt", tmp_path / "again.ckpt"]).networks) == 2


def test_folds_come_from_one_file_or_several_in_order(tmp_path):
    write(tmp_path / "both.ckpt", [network(1), network(2)], plan(), TASK)
    write(tmp_path / "third.ckpt", network(3), plan(), TASK)
    model = read([tmp_path / "both.ckpt", tmp_path / "third.ckpt"])
    first = [next(fold.parameters()) for fold in model.networks]
    for seed, found in zip((1, 2, 3), first, strict=True):
        torch.testing.assert_close(found, next(network(seed).parameters()))


class Harmful:
    def __reduce__(self):
        return print, ("a program ran",)


def test_a_pickle_with_code_is_not_run(tmp_path, capsys):
    torch.save({"state_dict": {}, "ingradient": Harmful()}, tmp_path / "bad.ckpt")
    with pytest.raises(
        CheckpointError, match=r"bad.ckpt holds more .*asks for '(builtins.)?print'.* not opened"
    ) as told:
        read(tmp_path / "bad.ckpt")
    assert "weights_only" not in str(told.value)  # torch's words would teach how to run it
    (tmp_path / "plain.pkl").write_bytes(pickle.dumps(Harmful()))
    with pytest.raises(CheckpointError, match="not a checkpoint"):
        read(tmp_path / "plain.pkl")
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", b"PK\x03\x04 cut short"], ids=str)
def test_a_file_that_is_no_checkpoint_is_named(tmp_path, content):
    (tmp_path / "x.ckpt").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"x.ckpt is not a checkpoint"):
        read(tmp_path / "x.ckpt")


def test_a_checkpoint_cut_short_is_named(tmp_path):
    write(tmp_path / "whole.ckpt", network(), plan(), TASK)
    (tmp_path / "half.ckpt").write_bytes((tmp_path / "whole.ckpt").read_bytes()[:2000])
    with pytest.raises(CheckpointError, match=r"half.ckpt is not a checkpoint"):
        read(tmp_path / "half.ckpt")


def test_a_missing_file_and_a_strange_torch_file_are_named(tmp_path):
    with pytest.raises(CheckpointError, match=r"no checkpoint .*gone.ckpt"):
        read(tmp_path / "gone.ckpt")
    torch.save({"state_dict": {}}, tmp_path / "other.pt")
    with pytest.raises(CheckpointError, match=r"lacks the entry 'ingradient'"):
        read(tmp_path / "other.pt")
    with pytest.raises(CheckpointError, match="at least one file"):
        read([])


def changed(tmp_path, **entries):
    write(tmp_path / "model.ckpt", network(), plan(), TASK)
    content = torch.load(tmp_path / "model.ckpt", weights_only=True)
    content["ingradient"].update(entries)
    torch.save(content, tmp_path / "model.ckpt")
    return tmp_path / "model.ckpt"


@pytest.mark.parametrize("count", [0, -1, 2, 10**9])
def test_a_checkpoint_holds_the_networks_that_it_says(tmp_path, count):
    with pytest.raises(CheckpointError, match=r"model\.ckpt cannot be used: it"):
        read(changed(tmp_path, networks=count))


def test_a_newer_format_asks_for_an_update(tmp_path):
    with pytest.raises(CheckpointError, match=r"format 9, written by ingradient_pl 7\.0.*Update"):
        read(changed(tmp_path, format=9, version="7.0"))


def test_a_network_of_an_untrusted_package_is_refused_until_it_is_named(tmp_path):
    external = {
        "_target_": "torch.nn.modules.conv.Conv3d",
        "in_channels": 1,
        "out_channels": 2,
        "kernel_size": 1,
    }
    path = changed(tmp_path, network=external)
    with pytest.raises(CheckpointError, match="not in a trusted package"):
        read(path)
    with pytest.raises(CheckpointError, match=r"Missing key|Unexpected key"):
        read(path, trusted=("ingradient_pl", "torch"))


def test_a_network_without_spec_trains_but_says_so_when_read(tmp_path):
    torch.save({"state_dict": {}, **read_description(nn.Conv3d(1, 2, 1), plan(), TASK)}, tmp_path / "x.ckpt")
    with pytest.raises(CheckpointError, match=r"could not be written down .* 'spec'"):
        read(tmp_path / "x.ckpt")


def test_folds_of_different_plans_or_labels_do_not_predict_together(tmp_path):
    write(tmp_path / "a.ckpt", network(), plan(), TASK)
    write(tmp_path / "b.ckpt", network(), plan(normalisation=(CT(0, 1, 0, 1),)), TASK)
    with pytest.raises(CheckpointError, match=r"b.ckpt cannot predict together .*'normalisation'"):
        read([tmp_path / "a.ckpt", tmp_path / "b.ckpt"])
    other = Task(("MR", "CT"), {"background": 0, "organ": 1})
    write(
        tmp_path / "c.ckpt",
        network(channels=2, normalisation=(ZScore(),) * 2),
        plan(channels=2, normalisation=(ZScore(),) * 2),
        other,
    )
    with pytest.raises(CheckpointError, match=r"'channels' of its plan is 2, of the other 1"):
        read([tmp_path / "a.ckpt", tmp_path / "c.ckpt"])


def test_a_task_that_does_not_fit_its_plan_is_refused(tmp_path):
    write(tmp_path / "a.ckpt", network(), plan(), Task(("MR", "T2"), {"organ": 1}))
    with pytest.raises(CheckpointError, match="1 channels and 2 outputs"):
        read(tmp_path / "a.ckpt")
