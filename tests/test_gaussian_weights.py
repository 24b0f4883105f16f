"""Overlapping windows are weighed as nnU-Net weighs them, without a map of weights."""

import pytest
import torch
from windows_by_hand import gaussian_map

from ingradient_pl.inference.gaussian_weights import padding, window_weights
from ingradient_pl.inference.windows import starts, windows


@pytest.mark.parametrize(("size", "length"), [(40, 40), (110, 64), (9, 1), (23, 8), (31, 7)])
def test_shares_add_up_to_one_everywhere(size, length):
    total = torch.zeros(size, dtype=torch.float64)
    where = starts(size, length)
    for start, share in zip(where, window_weights(where, length), strict=True):
        assert (share > 0).all()
        total[start : start + length] += share
    torch.testing.assert_close(total, torch.ones_like(total))


def test_the_product_of_shares_is_the_weighted_mean_with_the_gaussian_map():
    shape, patch = (13, 24, 11), (8, 10, 7)
    rng = torch.Generator().manual_seed(0)
    blended, weighted, weights = (torch.zeros(shape, dtype=torch.float64) for _ in range(3))
    where = [starts(size, length) for size, length in zip(shape, patch, strict=True)]
    axes = [window_weights(one, length) for one, length in zip(where, patch, strict=True)]
    for box in windows(shape, patch):
        answer = torch.randn(patch, generator=rng, dtype=torch.float64)
        z, y, x = (axes[i][where[i].index(box.start[i])] for i in range(3))
        blended[box.slices] += answer * z[:, None, None] * y[:, None] * x
        weighted[box.slices] += answer * gaussian_map(patch)
        weights[box.slices] += gaussian_map(patch)
    torch.testing.assert_close(blended, weighted / weights)


def test_padding_is_symmetric_with_the_odd_voxel_behind():
    assert padding((34, 64, 3), (34, 96, 64)) == [(0, 0), (16, 16), (30, 31)]
