"""Weights made to fit another network: each rule by what it computes, and every tensor accounted for."""

import csv
from dataclasses import replace

import pytest
import torch
from tiny_models import plan as tiny_plan
from torch.nn import functional as F
from weight_sources import KINDS, PLAIN, RESIDUAL, TASK, plan_of, saved, unet

from ingradient_pl.finetuning.adapt import (
    adapt_channels,
    adapt_kernel,
    adapt_rows,
    adapt_upsampling,
    pair_names,
)
from ingradient_pl.finetuning.mapping import map_weights
from ingradient_pl.finetuning.source import read_weights
from ingradient_pl.inference.checkpoint import CheckpointError, write
from ingradient_pl.task import Task
from ingradient_pl.transforms.normalise import ZScore

IMAGE = torch.randn(1, 2, 8, 16, 16, generator=torch.Generator().manual_seed(1))


def started(source, plan, task=TASK, levels=None):
    """A new network of a plan, filled from a source, with its mapping."""
    network = unet(plan, seed=99, levels=levels)
    mapping = map_weights(network, read_weights(source), task)
    assert [row.tensor for row in mapping.rows] == list(network.state_dict()), "a tensor without a row"
    fresh = {name: value.clone() for name, value in network.state_dict().items()}
    mapping.apply(network)
    for row in mapping.rows:
        same = torch.equal(fresh[row.tensor], network.state_dict()[row.tensor])
        assert same == (row.state == "fresh"), row
        assert (row.taken > 0) == (row.state != "fresh")
        assert row.how if row.state != "taken" else not row.how, row
    return network, mapping


def states(mapping, *parts):
    return {row.state for row in mapping.rows if row.tensor.startswith(parts)}


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_network_computes_the_same(kind, tmp_path):
    network, mapping = started(saved(kind, tmp_path), plan_of(kind), levels=1)
    assert mapping.share == 1
    assert states(mapping, "") == {"taken"}
    torch.testing.assert_close(network.finest(IMAGE), unet(plan_of(kind)).finest(IMAGE))


@pytest.mark.parametrize("kind", KINDS)
def test_channels_follow_their_names(kind, tmp_path):
    task = Task(("mr ", "CT", "PET"), TASK.labels)
    plan = replace(plan_of(kind), channels=3, normalisation=(ZScore(),) * 3)
    network, mapping = started(saved(kind, tmp_path), plan, task, levels=1)
    nothing = torch.zeros_like(IMAGE[:, :1])
    found = network.finest(torch.cat([IMAGE[:, [1, 0]], nothing], dim=1))
    torch.testing.assert_close(found, unet(plan_of(kind)).finest(IMAGE))
    (row,) = [row for row in mapping.rows if row.state == "adapted"]
    assert row.how == "channel PET: mean of the source's"
    one, mapping = started(
        tmp_path / "source.ckpt" if kind == "ours" else saved(kind, tmp_path / "again"),
        replace(plan_of(kind), channels=1, normalisation=(ZScore(),)),
        Task(("MR",), TASK.labels),
        levels=1,
    )
    seen = torch.cat([nothing, IMAGE[:, 1:]], dim=1)
    torch.testing.assert_close(one.finest(IMAGE[:, 1:]), unet(plan_of(kind)).finest(seen))
    assert "channel CT dropped" in mapping.table()


@pytest.mark.parametrize("kind", KINDS)
def test_labels_follow_their_names(kind, tmp_path):
    task = Task(TASK.channels, {"clear": 0, "vessel": 1, "Lesion": 2, "organ": 3})
    network, mapping = started(saved(kind, tmp_path), replace(plan_of(kind), outputs=4), task, levels=1)
    found, before = network.finest(IMAGE), unet(plan_of(kind)).finest(IMAGE)
    torch.testing.assert_close(found[:, [0, 3, 2]], before)
    heads = [row for row in mapping.rows if row.tensor.startswith("heads.")]
    assert {row.how for row in heads} == {"label vessel fresh"}
    assert all(row.taken == row.parameters * 3 // 4 for row in heads)


@pytest.mark.parametrize("kind", KINDS)
def test_kernels_that_grow_compute_the_same(kind, tmp_path):
    plan = replace(plan_of(kind), kernels=((3, 3, 3), (3, 5, 3), (3, 3, 3)))
    network, mapping = started(saved(kind, tmp_path), plan, levels=1)
    torch.testing.assert_close(network.finest(IMAGE), unet(plan_of(kind)).finest(IMAGE))
    assert mapping.share == 1
    assert "kernel 1×3×3 to 3×3×3" in mapping.table()


@pytest.mark.parametrize("kind", KINDS)
def test_stages_come_and_go_at_the_coarse_end(kind, tmp_path):
    plan = plan_of(kind)
    more = replace(
        plan,
        patch=(8, 16, 16),
        widths=(*plan.widths, 8),
        strides=(*plan.strides, (2, 2, 2)),
        kernels=(*plan.kernels, (3, 3, 3)),
        blocks=(*plan.blocks, 1),
        decoder_blocks=(*plan.decoder_blocks, 1),
    )
    source = saved(kind, tmp_path)
    _, mapping = started(source, more, levels=1)
    assert states(mapping, "encoder.3", "ups.2", "decoder.2") == {"fresh"}
    assert states(mapping, "stem", "encoder.0", "encoder.1", "encoder.2", "ups.0", "ups.1", "heads") == {
        "taken"
    }
    fewer = replace(
        plan,
        **{name: getattr(plan, name)[:-1] for name in ("widths", "strides", "kernels", "blocks")},
        decoder_blocks=plan.decoder_blocks[:-1],
    )
    assert started(source, fewer)[1].share == 1


@pytest.mark.parametrize("kind", KINDS)
def test_other_widths_start_fresh_and_say_so(kind, tmp_path):
    _, mapping = started(saved(kind, tmp_path), replace(plan_of(kind), widths=(4, 6, 10)), levels=1)
    changed = [row for row in mapping.rows if row.state == "fresh"]
    assert {row.tensor.rsplit(".", 1)[0].split(".")[0] for row in changed} == {"encoder", "ups"}
    assert all("another width" in row.how for row in changed)
    assert 0 < mapping.share < 1


def test_two_and_three_dimensions_start_from_each_other(tmp_path):
    flat = tiny_plan(
        spacing=(None, 1.0, 1.0), patch=(1, 8, 8), strides=((1, 1, 1), (1, 2, 2)), kernels=((1, 3, 3),) * 2
    )
    task = Task(("MR",), {"background": 0, "organ": 1})
    for there, here in ((flat, tiny_plan()), (tiny_plan(), flat)):
        folder = tmp_path / f"{there.patch[0]}"
        folder.mkdir()
        network, mapping = started(saved("ours", folder, plan=there, task=task), here, task)
        assert mapping.share == 1
        assert "stride" in mapping.table()
        same_in_depth = torch.randn(1, 1, 1, 8, 8).expand(1, 1, here.patch[0], 8, 8)
        assert torch.isfinite(network.finest(same_in_depth.contiguous())).all()
    volume = unet(tiny_plan(), seed=5)
    map_weights(volume, read_weights(tmp_path / "1" / "source.ckpt"), task).apply(volume)
    image = torch.randn(1, 1, 1, 8, 8)
    found = volume.finest(image.expand(1, 1, 8, 8, 8).contiguous())
    torch.testing.assert_close(found, unet(flat).finest(image).expand_as(found), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(("there", "here"), [(PLAIN, RESIDUAL), (RESIDUAL, PLAIN)], ids=["residual", "plain"])
def test_between_plain_and_residual_only_what_plays_the_same_role_is_taken(there, here, tmp_path):
    _, mapping = started(saved("ours", tmp_path, plan=there), here)
    first = "stem" if here.residual else "encoder.0.0"
    assert states(mapping, first, "ups", "heads") == {"taken"}
    assert states(mapping, "encoder.1", "encoder.2") == {"fresh"}


def test_outputs_of_another_meaning_are_not_taken(tmp_path):
    source = saved("ours", tmp_path)
    regions = Task(TASK.channels, {"background": 0, "organ": (1, 2), "lesion": 2}, regions_class_order=(1, 2))
    _, mapping = started(source, replace(PLAIN, outputs=2), regions)
    assert {row.how for row in mapping.rows if row.tensor.startswith("heads")} == {
        "outputs are regions, the source's labels"
    }
    assert states(mapping, "encoder", "decoder") == {"taken"}


def test_a_network_of_another_package_takes_what_has_its_name_and_shape_and_warns(tmp_path):
    there, here = torch.nn.Conv3d(2, 3, 1), torch.nn.Sequential(torch.nn.Conv3d(2, 3, 1))
    source = read_weights(saved("ours", tmp_path))._replace(network=there, weights=there.state_dict())
    mapping = map_weights(torch.nn.Conv3d(2, 3, 3), source, Task(("MR", "CT"), TASK.labels))
    assert [row.state for row in mapping.rows] == ["fresh", "taken"]
    (told,) = mapping.warnings
    assert "channels of" in told
    assert "CT, MR, here MR, CT" in told
    assert map_weights(here, source, TASK).share == 0


def test_folds_are_chosen_or_averaged(tmp_path):
    model = saved("nnunet plain", tmp_path, folds=2)
    first, second = unet(PLAIN, 0).state_dict(), unet(PLAIN, 1).state_dict()
    name = "encoder.1.0.conv.weight"
    torch.testing.assert_close(read_weights(model).weights[name], first[name])
    torch.testing.assert_close(read_weights(model / "fold_1").weights[name], second[name])
    mean = read_weights(model, "mean").weights[name]
    torch.testing.assert_close(mean, (first[name] + second[name]) / 2)


def test_reading_a_source_draws_no_random_number(tmp_path):
    for kind in KINDS:
        (tmp_path / kind).mkdir()
        source = saved(kind, tmp_path / kind)
        before = torch.random.get_rng_state()
        read_weights(source)
        assert torch.equal(before, torch.random.get_rng_state())


def test_a_diverged_source_is_refused_by_name(tmp_path):
    broken = unet(PLAIN)
    with torch.no_grad():
        broken.ups[0].bias[1] = float("nan")
    write(tmp_path / "source.ckpt", broken, PLAIN, TASK)
    with pytest.raises(
        ValueError, match=r"source\.ckpt: its 'ups\.0\.bias' holds values that are not finite"
    ):
        started(tmp_path / "source.ckpt", PLAIN)


class Harmful:
    def __reduce__(self):
        return print, ("a program ran",)


@pytest.mark.parametrize("kind", ["a pickle", "text", "an empty folder"])
def test_what_is_no_source_is_refused_and_not_run(kind, tmp_path, capsys):
    file = tmp_path / "source.pth"
    if kind == "a pickle":
        torch.save({"state_dict": {}, "ingradient_pl": Harmful()}, file)
    elif kind == "text":
        file.write_text("weights")
    else:
        file.mkdir()
    with pytest.raises(CheckpointError, match=r"source\.pth"):
        read_weights(file)
    assert "ran" not in capsys.readouterr().out


def test_every_row_is_written(tmp_path):
    _, mapping = started(saved("ours", tmp_path), replace(PLAIN, widths=(4, 6, 10)))
    mapping.write(tmp_path / "init.csv")
    with (tmp_path / "init.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["tensor"] for row in rows] == [row.tensor for row in mapping.rows]
    taken = sum(int(row["taken"]) for row in rows) / sum(int(row["parameters"]) for row in rows)
    assert taken == pytest.approx(mapping.share)


def test_names_are_paired_each_once():
    assert pair_names(["T2", "t1 ", "FLAIR", "T1"], ["T1", "T2", "T1"]) == [1, 0, None, 2]


def test_an_absent_channel_sees_as_the_mean_and_an_absent_row_stays():
    weight = torch.arange(12.0).reshape(2, 3, 1, 1, 2)
    found = adapt_channels(weight, [2, None])
    torch.testing.assert_close(found[:, 0], weight[:, 2])
    torch.testing.assert_close(found[:, 1], weight.mean(dim=1))
    fresh = torch.full((2, 3), -1.0)
    assert adapt_rows(torch.ones(4, 3), [None, 3], fresh).tolist() == [[-1.0] * 3, [1.0] * 3]


@pytest.mark.parametrize("edge", [1, 3, 5])
def test_a_kernel_that_shrinks_answers_as_before_where_nothing_varies(edge):
    weight, row = torch.randn(2, 3, 7, 1, 1), torch.randn(1, 3, 1, 4, 4)
    same = row.expand(1, 3, 15, 4, 4)
    found = F.conv3d(same, adapt_kernel(weight, (edge, 1, 1)))
    torch.testing.assert_close(found[:, :, :9], F.conv3d(same, weight), rtol=1e-4, atol=1e-5)


def test_a_kernel_that_grows_and_shrinks_again_is_as_it_was():
    weight = torch.randn(2, 3, 1, 3, 3)
    torch.testing.assert_close(adapt_kernel(adapt_kernel(weight, (3, 5, 3)), (1, 3, 3)), weight)


@pytest.mark.parametrize("edge", [1, 2, 4])
def test_a_way_up_that_enlarges_further_repeats_and_one_that_does_not_averages(edge):
    weight = torch.randn(2, 3, 1, 2, 2)
    image = torch.randn(1, 2, 3, 3, 3)
    before = F.conv_transpose3d(image, weight, stride=(1, 2, 2))
    found = F.conv_transpose3d(image, adapt_upsampling(weight, (edge, 2, 2)), stride=(edge, 2, 2))
    torch.testing.assert_close(found, before.repeat_interleave(edge, dim=2))
    torch.testing.assert_close(adapt_upsampling(adapt_upsampling(weight, (edge, 2, 2)), (1, 2, 2)), weight)
