"""Elastic deformation: smooth, as far as asked, image and label alike, and nothing else changes."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hydra.core.hydra_config import HydraConfig
from hydra.utils import instantiate
from patches import sampling_of
from runs import composed
from torch.testing import assert_close

from ingradient_pl.draws.elastic import RandomElasticDeformation
from ingradient_pl.draws.records import Candidate
from ingradient_pl.draws.training import PlannedDraws
from ingradient_pl.geometry import Grid
from ingradient_pl.transforms.labels import resample_label
from ingradient_pl.transforms.patch import ObliqueSampling
from ingradient_pl.transforms.resample import read_at, resample
from ingradient_pl.transforms.spline import smooth_rows

NATIVE = Grid((40, 60, 50), (2.0, 1.0, 1.2))
CASE = Candidate("case", NATIVE, {1: np.array([[20, 30, 25]], dtype=np.int32)}, (1,))
BENT = PlannedDraws(
    (20, 24, 24), (2.0, 1.2, 1.2), affine=None, elastic=RandomElasticDeformation((4.0, 4.0), p=1.0)
)


def way_of(draw):
    return sampling_of(NATIVE, draw, BENT).sampling


def box_of(draw):
    return sampling_of(NATIVE, draw, BENT).image_box


def places(draw):
    """Where each voxel of the patch is read, in mm of the case along (z, y, x)."""
    way = way_of(draw)
    assert isinstance(way, ObliqueSampling)
    box = box_of(draw)
    edges = zip(read_at(way, BENT.patch).flip(0), box.start, box.shape, NATIVE.spacing)  # noqa: B905
    return torch.stack([((plane + 1) / 2 * count + start) * mm for plane, start, count, mm in edges])


def test_rows_are_smooth_and_stay_within_the_knots():
    rows = smooth_rows(6, 50)
    assert np.allclose(rows.sum(1), 1)
    assert rows.min() >= 0
    assert np.abs(np.diff(rows, 2, axis=0)).max() < 0.01
    assert np.allclose(rows @ np.arange(6), 1 + (np.arange(50) + 0.5) / 50 * 3)  # a line stays one


def test_no_magnitude_is_no_bend():
    draw = replace(BENT, elastic=RandomElasticDeformation((0.0, 0.0), p=1.0)).draw(3, [CASE])
    straight = replace(BENT, elastic=None).draw(3, [CASE])
    image = torch.randn(1, *NATIVE.shape)
    cut = image[(slice(None), *box_of(draw).slices)]
    unbent = ObliqueSampling(way_of(draw).matrix)
    assert draw[:4] == straight[:4]
    assert_close(resample(cut, way_of(draw), (20, 24, 24)), resample(cut, unbent, (20, 24, 24)))


def test_voxels_move_smoothly_and_no_further_than_asked():
    for number in range(20):
        draw = BENT.draw(number, [CASE])
        still = draw._replace(elastic=np.zeros_like(draw.elastic))
        moved = places(draw) - places(still)
        assert 0.3 < float(moved.abs().max()) <= 4.0
        assert max(float(moved.diff(2, dim).abs().max()) for dim in (1, 2, 3)) < 0.5


def test_what_is_read_holds_what_the_bend_reaches():
    for number in range(40):
        draw = BENT.draw(number, [CASE])
        at = places(draw)
        for axis, mm in enumerate(NATIVE.spacing):
            low, high = box_of(draw).start[axis] * mm, box_of(draw).stop[axis] * mm
            inside = (at[axis] >= 0) & (at[axis] <= NATIVE.extent[axis])
            assert float(at[axis][inside].min()) >= low - 1e-3
            assert float(at[axis][inside].max()) <= high + 1e-3


def test_the_label_follows_the_image():
    away = sum(
        ((np.arange(n) + 0.5 - n / 2) * mm)[(..., *[None] * (2 - i))] ** 2
        for i, (n, mm) in enumerate(zip(*NATIVE, strict=True))
    )
    label = torch.from_numpy((away < 15**2).astype(np.uint8))
    for number in range(6):
        draw = BENT.draw(number, [CASE])
        image = resample(label[box_of(draw).slices][None].float(), way_of(draw), BENT.patch)[0]
        found = resample_label(label[box_of(draw).slices], way_of(draw), BENT.patch)
        assert ((image > 0.5) == (found > 0)).float().mean() > 0.999


def test_all_slices_of_a_flat_patch_bend_alike_and_none_along_z():
    flat = replace(BENT, patch=(4, 32, 32))
    moved = flat.draw(0, [CASE]).elastic
    assert not moved[0].any()
    assert np.array_equal(moved[1:, 0], moved[1:, -1])


def test_a_share_of_the_patches_is_bent_the_same_each_time():
    some = replace(BENT, elastic=RandomElasticDeformation(p=0.3))
    bent = [some.draw(number, [CASE]).elastic for number in range(400)]
    assert np.mean([field is not None for field in bent]) == pytest.approx(0.3, abs=0.08)
    again = some.draw(0, [CASE]).elastic
    assert (again is None) == (bent[0] is None)
    assert again is None or np.array_equal(again, bent[0])


def test_a_bend_that_cannot_be_is_refused():
    with pytest.raises(ValueError, match="ascending"):
        RandomElasticDeformation((5.0, 1.0))


@pytest.mark.slow
def test_a_run_may_bend_its_patches(quick, tmp_path):
    target = "ingradient_pl.draws.elastic.RandomElasticDeformation"
    elastic = f"data.draws.elastic={{_target_: {target}, p: 1.0, magnitude: [1, 3]}}"
    data = instantiate(composed([*quick, elastic], tmp_path).data)
    HydraConfig.instance().cfg = None
    (first, *_) = data.train_dataloader()
    assert all(isinstance(patch.sampling, ObliqueSampling) and patch.sampling.elastic for patch in first)
    assert data.prepare(first).image.isfinite().all()
    (first, *_) = data.val_dataloader()
    assert not any(isinstance(patch.sampling, ObliqueSampling) for patch in first)
