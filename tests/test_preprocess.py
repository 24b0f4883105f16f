"""A case preprocessed for the network: some slices at a time as all at once, clipped as nnU-Net clips."""

import numpy as np
import pytest
import torch
from oracles import plan
from patches import sampling_of

from ingradient_pl.draws.records import Candidate
from ingradient_pl.draws.training import PlannedDraws
from ingradient_pl.geometry import Grid
from ingradient_pl.inference import preprocess as outward
from ingradient_pl.inference.preprocess import preprocess
from ingradient_pl.transforms.normalise import ZScore
from ingradient_pl.transforms.resample import resample

RNG = np.random.default_rng(0)


@pytest.mark.parametrize(
    ("shape", "spacing", "wanted"),
    [
        ((150, 20, 18), (0.8, 0.8, 0.8), (1.5, 1.5, 1.5)),
        ((90, 14, 16), (1.0, 1.5, 1.5), (0.7, 1.0, 1.0)),
        ((60, 21, 18), (5.0, 1.0, 1.0), (3.0, 1.5, 1.5)),
        ((16, 90, 20), (1.0, 5.0, 1.0), (1.2, 5.0, 1.2)),
        ((16, 14, 80), (1.0, 1.0, 1.0), (1.0, 1.0, 1.0)),
    ],
    ids=str,
)
@pytest.mark.parametrize("masked", [False, True])
def test_some_slices_at_a_time_give_what_all_at_once_give(monkeypatch, shape, spacing, wanted, masked):
    image = RNG.normal(100, 20, (1, *shape)).astype(np.float32)
    image[:, 3:7, :5] = 0
    made = plan(spacing=wanted, normalisation=(ZScore(masked),))
    whole = preprocess(image, spacing, made).image
    monkeypatch.setattr(outward, "IMAGE_BLOCK_VOXELS", 1)
    monkeypatch.setattr(outward, "FEWEST_LINES", 10)
    torch.testing.assert_close(preprocess(image, spacing, made).image, whole, rtol=0, atol=2e-6)


@pytest.mark.parametrize("above", [None, 2.0])
def test_a_plan_says_from_where_images_are_averaged_before_they_shrink(above):
    """Stripes of a voxel, six of which become one: without a low-pass they come out as other stripes."""
    image = np.broadcast_to((np.arange(120) % 5 == 0).astype(np.float32), (1, 12, 12, 120)).copy() + 1
    made = plan(spacing=(1.0, 1.0, 6.0), low_pass_above=above, separate_z_above=9.0)
    found = preprocess(image, (1.0, 1.0, 1.0), made).image[0, 6, 6, 2:-2]
    found = found * image.std() + image.mean()
    assert (np.ptp(found.numpy()) < 0.2) == (above is not None)
    draws = PlannedDraws((8, 8, 16), made.spacing, 1, affine=None)
    grid = Grid.of((12, 12, 120), (1.0, 1.0, 1.0))
    draw = draws.draw(0, [Candidate("case", grid, {}, ())])
    laid = sampling_of(grid, draw, draws, made.rule)
    read = torch.from_numpy(image[(slice(None), *laid.image_box.slices)])
    line = resample(read, laid.sampling, (8, 8, 16))[0, 4, 4, 2:-2]
    assert (np.ptp(line.numpy()) < 0.2) == (above is not None)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_where_slices_are_resampled_apart_none_overshoots_its_own_range(axis):
    image = np.zeros((1, 6, 6, 6), np.float32)
    image[0, :, :, ::2] = 1
    image[0] *= np.arange(1, 7, dtype=np.float32)[:, None, None]  # each slice brighter than the last
    spacing = np.ones(3)
    spacing[axis] = 9.0
    fine = np.where(spacing > 1, spacing, 0.3)
    image = np.moveaxis(image, 1, 1 + axis)
    found = np.moveaxis(
        preprocess(image, spacing.tolist(), plan(spacing=tuple(fine))).image[0].numpy(), axis, 0
    )
    np.testing.assert_allclose(found.max((1, 2)), np.arange(1, 7), rtol=1e-6)
    assert (found >= 0).all()
