"""An image to predict that is unlike the cases a model was planned for is told; one that is alike is not."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from tiny_models import plan as tiny_plan

from ingradient_pl.datasets.phantom_files import write_phantoms
from ingradient_pl.datasets.sources import read_source
from ingradient_pl.inference.model import Model
from ingradient_pl.inference.unlike_plan import describe_unlike
from ingradient_pl.planning.fingerprint import Fingerprint
from ingradient_pl.planning.plan_yaml import read_plan, write_plan
from ingradient_pl.planning.planner import Planner
from ingradient_pl.planning.seen_cases import SEEN, read_seen
from ingradient_pl.store.build import build_store
from ingradient_pl.store.case_store import CaseStore
from ingradient_pl.store.stored_cases import stored_volume
from ingradient_pl.transforms.normalise import CT, NoNormalisation, ZScore


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    folder = tmp_path_factory.mktemp("unlike")
    raw = write_phantoms(folder / "raw", 4, (12, 24, 24), channels=3)
    build_store(read_source(raw), folder / "store", progress=False)
    return CaseStore(folder / "store")


@pytest.fixture(scope="module")
def plan(store, tmp_path_factory):
    """As it is after a file was written and read."""
    made = Planner().plans(Fingerprint.of_store(store))["3d_fullres"]
    file = tmp_path_factory.mktemp("plan") / "plan.yaml"
    write_plan(file, made)
    assert read_plan(file) == made
    return read_plan(file)


@pytest.fixture
def volume(store):
    return stored_volume(Path(store.path) / "cases" / next(iter(store.cases)), "LPS")


def said(plan, store, volume, channels=None):
    task = store.task if channels is None else dataclasses.replace(store.task, channels=channels)
    return " ".join(describe_unlike(volume, Model([], plan, task, "", ())))


def of_spacing(volume, *spacing):
    return volume._replace(frame=volume.frame._replace(spacing=spacing))


def test_cases_that_were_planned_for_need_no_word(store, plan):
    for case in store.cases:
        assert not said(plan, store, stored_volume(Path(store.path) / "cases" / case, "LPS"))


@pytest.mark.parametrize("spacing", [(1.5e-3, 1e-3, 1e-3), (1500, 1000, 1000), (6, 1, 1), (1.5, 0.3, 1)])
@pytest.mark.parametrize("known", [True, False])
def test_a_spacing_far_from_all_that_were_planned_for_is_told(store, plan, volume, spacing, known):
    other = (
        plan if known else dataclasses.replace(plan, notes={}, spacing=(1.0, 1.5, 1.0), transpose=(1, 0, 2))
    )
    told = said(other, store, of_spacing(volume, *spacing))
    assert ("Is the spacing of the file right?" in told) == (known or max(spacing) > 6 or max(spacing) < 1)
    assert not said(other, store, of_spacing(volume, 2.0, 1.2, 0.8))


@pytest.mark.parametrize("order", [[2, 1, 0], [2, 0, 1], [1, 2, 0]])
def test_channels_in_another_order_are_told(store, plan, volume, order):
    assert "look exchanged: 0 ('MR') has" in said(plan, store, volume._replace(voxels=volume.voxels[order]))


CHANGES = {
    "inverted": lambda voxels: voxels.max() - voxels,
    "a mask": lambda voxels: (voxels > np.quantile(voxels, 0.97)).astype(np.uint8) + 1,
    "one value": lambda voxels: np.full_like(voxels, 3),
    "a spike": lambda voxels: np.where(np.arange(voxels.size).reshape(voxels.shape) % 997, 0, 9000) + 1,
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_channel_of_other_intensities_is_told(store, plan, volume, name):
    voxels = volume.voxels.copy()
    voxels[1] = CHANGES[name](voxels[1])
    assert "channel 1 ('MR1')" in said(plan, store, volume._replace(voxels=voxels))


@pytest.mark.parametrize("normaliser", [NoNormalisation(), CT(0, 100, 50, 20)])
@pytest.mark.parametrize("factor", [1e-3, 1.5, 1e3])
def test_another_unit_is_told_where_values_mean_the_same_everywhere(store, plan, volume, normaliser, factor):
    by_unit = dataclasses.replace(plan, normalisation=[normaliser] * 3)
    scaled = volume._replace(voxels=volume.voxels * factor)
    assert ("another unit or scale" in said(by_unit, store, scaled)) == (factor != 1.5)
    assert not said(plan, store, scaled)  # a z-score takes no notice


@pytest.mark.parametrize("scale", [1, 1 / 255])
def test_a_ct_that_is_none_is_told_without_a_note_of_the_plan(store, volume, scale):
    bare = dataclasses.replace(tiny_plan(channels=3, normalisation=(ZScore(),) * 3), notes={})
    scaled = volume._replace(voxels=np.abs(volume.voxels) * scale)
    assert "Hounsfield" in said(bare, store, scaled, ("CT", "MR1", "MR2"))


@pytest.mark.parametrize(
    "note", [None, [], {}, {"spacing_mm": "x"}, {"spacing_mm": [[1, 1, 1]], "values": 3}]
)
def test_a_note_that_somebody_changed_is_none(store, plan, volume, note):
    other = dataclasses.replace(plan, notes={**plan.notes, SEEN: note})
    assert read_seen(other) is None
    assert not said(other, store, volume)
