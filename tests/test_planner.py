"""Planners decide as nnU-Net does: its answers are stored (scripts/nnunet_plans_oracle.py asked for them)."""

import gzip
import json
from pathlib import Path

import fingerprints
import pytest

from ingradient_pl.cases.task import Task
from ingradient_pl.planning.fingerprint import Fingerprint
from ingradient_pl.planning.intensity import Intensities
from ingradient_pl.planning.planner import Planner
from ingradient_pl.planning.presets import PRESETS
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
            "median_shape": plan.notes["median_shape_at_spacing"],
        }
    return answer


def planned(found, preset, memory_gb=None):
    return as_nnunet(Planner(preset=PRESETS[preset], memory_gb=memory_gb).plans(found))


@pytest.mark.parametrize("part", range(PARTS))
def test_plans_equal_those_of_nnunet_on_made_up_data_sets(part):
    for number in fingerprints.NUMBERS[part::PARTS]:
        numbers = fingerprints.fingerprint(number)
        checksum, stored = STORED["made_up"][str(number)]
        assert checksum == fingerprints.checksum(numbers), "made-up data sets changed: ask nnU-Net again"
        found = fingerprint(numbers)
        for preset, expected in stored.items():
            assert planned(found, preset, numbers["memory_gb"]) == expected, f"data set {number}, {preset}"


@pytest.mark.parametrize("preset", list(PRESETS))
@pytest.mark.parametrize("name", list(STORED["real"]))
def test_plans_equal_those_of_nnunet_on_real_numbers(name, preset):
    stored = STORED["real"][name]
    assert planned(fingerprint(stored["fingerprint"]), preset) == stored["plans"][preset]
