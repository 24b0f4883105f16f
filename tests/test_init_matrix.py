"""Four kinds of source, four differences: what becomes of each part of the network, shown as a table."""

from dataclasses import replace

import pytest
import torch
from weight_sources import KINDS, NNSSL, TASK, plan_of, saved, unet

from ingradient_pl.finetuning.mapping import map_weights
from ingradient_pl.finetuning.source import read_weights
from ingradient_pl.task import Task
from ingradient_pl.transforms.normalise import ZScore

SOURCES = (*KINDS, NNSSL)


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    """One trained network of each kind."""
    return {kind: saved(kind, tmp_path_factory.mktemp(kind.replace(" ", "_"))) for kind in SOURCES}


def changed(kind, difference):
    """A plan and a task that differ from a source's in one thing."""
    plan, task = plan_of(kind), TASK
    if difference == "spacing":
        return replace(plan, spacing=(3.0, 0.7, 0.7), patch=(16, 16, 16)), task
    if difference == "channels":
        task = Task(("PET", "MR", "CT"), TASK.labels)
        return replace(plan, channels=3, normalisation=(ZScore(),) * 3), task
    if difference == "labels":
        return replace(plan, outputs=4), Task(TASK.channels, {**TASK.labels, "vessel": 3})
    return (
        replace(
            plan,
            widths=(*plan.widths, 8),
            strides=(*plan.strides, (2, 2, 2)),
            kernels=((3, 3, 3), (3, 5, 3), (3, 3, 3), (3, 3, 3)),
            blocks=(*plan.blocks, 1),
            decoder_blocks=(*plan.decoder_blocks, 1),
        ),
        task,
    )


EXPECTED = {
    "spacing": "every tensor as it was",
    "channels": "stem adapted",
    "labels": "heads adapted",
    "kernels and stages": "the new stage fresh",
}
HOW = {
    "ours": {"channels": "channel PET: mean of the source's", "labels": "label vessel fresh"},
    NNSSL: {
        "channels": "3 channels: each the mean of the source's 2",
        "labels": "the source is an encoder alone",
    },
}


@pytest.mark.parametrize("difference", EXPECTED)
@pytest.mark.parametrize("kind", SOURCES)
def test_cell(sources, kind, difference):
    plan, task = changed(kind, difference)
    network = unet(plan, seed=99, levels=1)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    mapping = map_weights(network, read_weights(sources[kind]), task)
    mapping.apply(network)
    assert [row.tensor for row in mapping.rows] == list(before)
    for row in mapping.rows:
        same = torch.equal(before[row.tensor], network.state_dict()[row.tensor])
        assert same == (row.state == "fresh"), row
        assert bool(row.how) == (row.state != "taken"), row
    fresh = {row.tensor.split(".")[0] for row in mapping.rows if row.state == "fresh"}
    wanted = {"ups", "decoder", "heads"} if kind == NNSSL else set()
    assert fresh == wanted | ({"encoder", "ups", "decoder"} if difference == "kernels and stages" else set())
    adapted = [row for row in mapping.rows if row.state == "adapted"]
    assert bool(adapted) == (difference != "spacing" or kind == NNSSL)  # channels without names are told
    told = mapping.table()
    assert len(told.splitlines()) == 1 + len({_part(row.tensor) for row in mapping.rows})
    if difference in HOW["ours"]:
        assert HOW.get(kind, HOW["ours"])[difference] in told
    if difference == "kernels and stages":
        assert "kernel 3×3×3 to 3×5×3" in told
        own = "encoder.1.0.conv.weight" if not plan.residual else "encoder.1.0.first.conv.weight"
        old = read_weights(sources[kind]).weights[own]
        torch.testing.assert_close(network.state_dict()[own][:, :, :, 1:4], old)


def _part(tensor):
    parts = tensor.split(".")
    return ".".join(parts[:2]) if parts[0] == "encoder" else parts[0]


@pytest.mark.parametrize("kind", SOURCES)
def test_the_taken_stages_compute_what_they_did(sources, kind):
    plan = plan_of(kind)
    network = unet(plan, seed=99, levels=1)
    map_weights(network, read_weights(sources[kind]), TASK).apply(network)
    image, old = torch.randn(1, 2, 8, 16, 16), unet(plan)
    here, there = network.stem(image), old.stem(image)
    for ours, theirs in zip(network.encoder, old.encoder, strict=True):
        here, there = ours(here), theirs(there)
        torch.testing.assert_close(here, there)
