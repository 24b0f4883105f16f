"""Planners decide as nnU-Net does: its answers are stored (scripts/nnunet_plans_oracle.py asked for them)."""

import dataclasses
import gzip
import json
import math
from contextlib import nullcontext
from pathlib import Path

import fingerprints
import pytest
import yaml
from shapes import unchecked

from ingradient_pl.planning.fingerprint import Fingerprint
from ingradient_pl.planning.intensity import Intensities
from ingradient_pl.planning.planner import Planner
from ingradient_pl.planning.presets import PRESETS, Preset
from ingradient_pl.planning.spacing import FixedSpacing, IngradientSpacing
from ingradient_pl.spec import to_spec
from ingradient_pl.task import Task
from ingradient_pl.transforms.normalise import CT, RGB01, MinMax01, NoNormalisation, ZScore

STORED = json.loads(gzip.decompress((Path(__file__).parent / "expected/nnunet_plans.json.gz").read_bytes()))
SOME = Intensities(mean=0.0, std=2.0, median=1.0, minimum=-3.0, maximum=4.0, low=-2.0, high=3.0)
SCHEMES = {
    CT: "CTNormalization",
    ZScore: "ZScoreNormalization",
    NoNormalisation: "NoNormalization",
    MinMax01: "RescaleTo01Normalization",
    RGB01: "RGBTo01Normalization",
}
PARTS = 17


def fingerprint(numbers):
    task = Task(tuple(numbers["channels"]), numbers["labels"])
    return Fingerprint.of(
        numbers["shapes"],
        numbers["spacings"],
        task,
        numbers["relative_size"],
        [SOME] * len(task.channels),
    )


def flat(entries, axes):
    return [list(entry)[-axes:] for entry in entries]


def as_nnunet(plans):
    """Our plans in the words of the stored ones."""
    one = plans["2d"]
    answer = {
        "transpose": list(one.transpose),
        "normalisation": [[SCHEMES[type(each)], each.masked] for each in one.normalisation],
    }
    for name, plan in plans.items():
        if plan.previous_stage:
            answer[name] = ["3d_fullres", plan.previous_stage]
            continue
        axes = 2 if name == "2d" else 3
        assert axes == 3 or (plan.spacing[0], plan.patch[0]) == (None, 1)
        answer[name] = {
            "spacing": list(plan.spacing)[-axes:],
            "patch": list(plan.patch)[-axes:],
            "batch_size": plan.batch_size,
            "widths": list(plan.widths),
            "strides": flat(plan.strides, axes),
            "kernels": flat(plan.kernels, axes),
            "blocks": list(plan.blocks),
            "decoder_blocks": list(plan.decoder_blocks),
            "batch_dice": plan.batch_dice,
            "median_shape": list(plan.notes["median_shape_at_spacing"]),
        }
    return answer


def planned(found, preset, memory_gb=None):
    return as_nnunet(Planner(preset=PRESETS[preset], memory_gb=memory_gb).plans(found))


@pytest.mark.slow
@pytest.mark.parametrize("part", range(PARTS))
def test_plans_equal_those_of_nnunet_on_made_up_data_sets(part):
    for number in fingerprints.NUMBERS[part::PARTS]:
        numbers = fingerprints.fingerprint(number)
        checksum, stored = STORED["made_up"][str(number)]
        assert checksum == fingerprints.checksum(numbers), "made-up data sets changed: ask nnU-Net again"
        found = fingerprint(numbers)
        with nullcontext() if number == fingerprints.NUMBERS[part] else unchecked():
            answers = {preset: planned(found, preset, numbers["memory_gb"]) for preset in stored}
        assert answers == stored, f"data set {number}"


@pytest.mark.parametrize("preset", list(PRESETS))
@pytest.mark.parametrize("name", list(STORED["real"]))
def test_plans_equal_those_of_nnunet_on_real_numbers(name, preset):
    stored = STORED["real"][name]
    assert planned(fingerprint(stored["fingerprint"]), preset) == stored["plans"][preset]


THICK = Fingerprint.of(
    [(10, 256, 216)] * 5 + [(12, 300, 300)] * 5,
    [(mm, 1.5, 1.5) for mm in (5.0, 6.0, 8.0, 10.0, 10.0, 10.0, 10.0, 10.0, 12.0, 13.0)],
    Task(("MRI",), {"background": 0, "heart": 1}),
)
LARGE = Fingerprint.of([(400, 512, 512)] * 20, [(1.0, 0.8, 0.8)] * 20, Task(("T1",), {"a": 1}), 0.5)


def test_planners_differ_in_the_spacing_and_in_nothing_else():
    ours, theirs = Planner(IngradientSpacing()).plans(THICK), Planner().plans(THICK)
    assert ours["3d_fullres"].spacing == pytest.approx((12.1, 1.5, 1.5))
    assert theirs["3d_fullres"].spacing == pytest.approx((5.9, 1.5, 1.5))
    fixed = FixedSpacing(ours["3d_fullres"].spacing)
    by_hand = Planner(fixed).plans(THICK)
    for name, plan in ours.items():
        assert dataclasses.replace(plan, notes={}) == dataclasses.replace(by_hand[name], notes={})


def test_the_coarsest_axis_becomes_the_first():
    turned = [grid.transposed((1, 2, 0)) for grid in THICK.grids]
    plans = Planner().plans(dataclasses.replace(THICK, grids=tuple(turned)))
    straight = Planner().plans(THICK)
    assert plans["3d_fullres"].transpose == (2, 0, 1)
    assert plans["3d_fullres"].patch == straight["3d_fullres"].patch
    assert plans["2d"].spacing == (None, 1.5, 1.5)


@pytest.mark.parametrize(("count", "cascades"), [(3, 1), (24, 1), (25, 0)])
def test_labels_that_overlap_get_a_cascade_where_it_can_hand_them_on(count, cascades):
    labels = {f"l{number}": number for number in range(1, count + 1)}
    task = dataclasses.replace(LARGE.task, labels=labels, overlap={name: {} for name in labels})
    plans = Planner().plans(dataclasses.replace(LARGE, task=task), axes=[3])
    assert list(plans).count("3d_cascade_fullres") == cascades


def test_large_cases_get_a_cascade():
    plans = Planner().plans(LARGE)
    assert list(plans) == ["2d", "3d_cascade_fullres", "3d_fullres", "3d_lowres"]
    full, low, second = plans["3d_fullres"], plans["3d_lowres"], plans["3d_cascade_fullres"]
    assert second.previous_stage == "3d_lowres"
    assert (full.batch_dice, low.batch_dice, second.batch_dice) == (True, False, True)
    assert all(coarse > fine for coarse, fine in zip(low.spacing, full.spacing, strict=True))
    assert full.normalisation == (ZScore(masked=True),)
    same = dataclasses.replace(second, previous_stage=None, notes=full.notes)
    assert same == full


def test_a_data_set_of_slices_is_planned_in_two_dimensions_only():
    slices = Fingerprint.of([(1, 512, 400)] * 9, [(1.0, 0.5, 0.5)] * 9, Task(("XR",), {"rib": 1}))
    assert list(Planner().plans(slices)) == ["2d"]


@pytest.mark.parametrize("preset", list(PRESETS))
def test_more_memory_never_makes_a_step_smaller(preset):
    sizes = []
    for memory_gb in (6, 10, 20, 40, 80):
        plan = Planner(preset=PRESETS[preset], memory_gb=memory_gb).plans(LARGE)["3d_fullres"]
        sizes.append(math.prod(plan.patch) * plan.batch_size)
    assert sizes == sorted(sizes)
    assert sizes[0] < sizes[-1]


def test_too_little_memory_is_said_plainly():
    with pytest.raises(ValueError, match=r"0\.001 GB hold no 2 patches.*more memory"):
        Planner(memory_gb=0.001).plans(LARGE)
    with pytest.raises(ValueError, match="memory_gb is the memory"):
        Planner(memory_gb=0)


def test_notes_are_plain_and_say_how_the_plan_came_about():
    for name, plan in Planner(IngradientSpacing()).plans(THICK).items():
        assert yaml.safe_load(yaml.safe_dump(to_spec(plan.notes))) == to_spec(plan.notes)
        assert plan.notes["configuration"] == name
        assert plan.notes["cases"] == 10
        assert plan.notes["median_shape"] == (11.0, 278.0, 258.0)
        assert "IngradientSpacing" in plan.notes["spacing_rule"]
        assert plan.notes["memory_gb"] == 8.0


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"data_share": 5}, r"\(0, 1\], got 5"),
        ({"memory_gb": -1.0}, "positive numbers; got {'memory_gb': -1.0}"),
        ({"blocks": ()}, "'blocks'"),
    ],
)
def test_presets_that_make_no_sense_are_refused(wrong, told):
    with pytest.raises(ValueError, match=told):
        Preset(**wrong)
