"""Labels that overlap, to and from models of labels that do not: nnU-Net's regions, and rows of heads."""

import itertools
import re

import numpy as np
import pytest
import torch
from tiny_models import network, plan

from ingradient_pl.finetuning.counterpart import SIGMOID, SOFTMAX, UNetMatcher
from ingradient_pl.finetuning.source_record import Source
from ingradient_pl.inference.checkpoint import Model
from ingradient_pl.nnunet.export import ExportError, export_nnunet
from ingradient_pl.nnunet.model import read_nnunet
from ingradient_pl.nnunet.overlap import to_regions
from ingradient_pl.task import Task

NAMES = ("a", "b", "c", "d")


def task_of(*combinations, names=NAMES):
    """A task of labels that overlap in these ways, each told by the letters of its labels."""
    used = [name for name in names if any(name in held for held in combinations)]
    alone = [*used, *(held for held in combinations if len(held) > 1)]
    numbers = {held: value for value, held in enumerate(alone, 1) if held in combinations}
    labels = {name: tuple(v for held, v in numbers.items() if name in held) for name in used}
    return Task(("MR",), {"background": 0, **labels}, overlap={name: {} for name in used})


def write_as_nnunet(regions, held):
    """The integer that nnU-Net writes where the network finds these labels."""
    written = 0
    for name, value in zip(regions.foreground, regions.regions_class_order, strict=True):
        written = value if name in held else written
    return written


TOLD = [
    ("a", "ab", "abc"),
    ("c", "bc", "abc"),
    ("b", "ab"),
    ("ab", "a", "c"),
    ("a", "b", "abc"),
    ("ab", "abcd"),
    ("a", "ab", "ac"),
]


@pytest.mark.parametrize("combinations", TOLD, ids="+".join)
def test_regions_of_nnunet_tell_each_combination(combinations):
    made = to_regions(task_of(*combinations))
    assert made.task.overlap is None
    made.task.check_meaning()
    for held in combinations:
        value = write_as_nnunet(made.task, held)
        assert {name for name, values in made.task.foreground.items() if value in values} == set(held)
        assert made.meaning[value] == " + ".join(sorted(held))
    names = list(task_of(*combinations).foreground)
    assert [names[place] for place in made.order] == list(made.task.foreground)


@pytest.mark.parametrize(
    ("combinations", "reason"),
    [
        (("a", "b", "ab"), r"(b and a + b)"),
        (("ab", "bc", "ac"), "one integer a voxel cannot tell"),
        (("a", "b"), "never do in its training cases"),
        (
            ("a", "b", "c", "ab", "abc"),
            "prepare the data set into a new folder (ingradient prepare), and train on that",
        ),
    ],
    ids=lambda value: "+".join(value) if isinstance(value, tuple) else "",
)
def test_labels_that_no_order_tells_apart_are_not_exported(combinations, reason, tmp_path):
    task = task_of(*combinations)
    made = plan(outputs=task.outputs, regions=task.regions)
    with pytest.raises(ExportError, match=re.escape(reason)):
        export_nnunet(Model([network(outputs=task.outputs)], made, task, "model.ckpt", ()), tmp_path / "out")


def test_all_families_of_three_labels_are_told_or_refused():
    ways = [
        "".join(part) for count in (1, 2, 3) for part in itertools.combinations("abc", count)
    ]  # all combinations
    told = 0
    for count in range(1, len(ways) + 1):
        for family in itertools.combinations(ways, count):
            task = task_of(*family)
            try:
                made = to_regions(task).task
            except ValueError:
                continue
            written = {held: write_as_nnunet(made, held) for held in family}
            assert len(set(written.values())) == len(family)
            told += 1
    assert told > 20


def test_an_exported_model_has_its_labels_from_the_outermost_inwards(tmp_path):
    task = task_of("b", "ab")  # a lies within b
    made = plan(outputs=2, regions=task.regions, orientation="stored")
    ours = Model([network(outputs=2)], made, task, "model.ckpt", ())
    (remark,) = export_nnunet(ours, tmp_path / "out")
    assert "1 for b, 2 for a + b" in remark
    back = read_nnunet(tmp_path / "out")
    assert back.task.foreground == {"b": (1, 2), "a": (2,)}
    own, held = (one.networks[0].state_dict() for one in (ours, back))
    heads = {name for name in held if name.startswith("heads.")}
    assert heads
    for name, weight in held.items():
        assert torch.equal(weight, own[name].flip(0) if name in heads else own[name])


def head_of(weight, trained, wanted):
    matcher = UNetMatcher(
        network(), Source(None, {"heads.0.weight": weight}, trained, "source", ("MR",)), wanted
    )
    fresh = torch.full((wanted.outputs, *weight.shape[1:]), 9.0)
    return matcher.match("heads.0.weight", fresh)


def test_labels_that_overlap_start_from_labels_that_do_not_by_name():
    exclusive = Task(("MR",), {"background": 0, "b": 1, "x": 2})
    rows = torch.randn(3, 4, 1, 1, 1)
    match = head_of(rows, exclusive, task_of("a", "b", "ab"))
    assert SIGMOID in match.how
    assert "label a fresh" in match.how
    assert torch.equal(match.value[0], torch.full((4, 1, 1, 1), 9.0))
    seen = torch.randn(4)
    logits = (rows.flatten(1) * seen).sum(1)
    here = (match.value[1].flatten() * seen).sum()
    torch.testing.assert_close(here.sigmoid(), logits[:2].softmax(0)[1])  # alone against the background


def test_labels_that_do_not_overlap_start_from_labels_that_do():
    exclusive = Task(("MR",), {"background": 0, "b": 1, "a": 2})
    rows = torch.randn(2, 4, 1, 1, 1)
    match = head_of(rows, task_of("a", "b", "ab"), exclusive)
    assert SOFTMAX in match.how
    assert torch.equal(match.value, torch.stack([torch.zeros(4, 1, 1, 1), rows[1], rows[0]]))
    regions = Task(("MR",), {"background": 0, "b": (1, 2), "a": 2}, regions_class_order=(1, 2))
    assert head_of(rows, regions, exclusive).value is None  # a region may be another thing than its label
    assert torch.equal(head_of(rows, task_of("a", "b", "ab"), regions).value, rows.flip(0))
    assert np.isfinite(match.taken)
