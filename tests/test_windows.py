"""Windows cover a grid, stay inside it, and are as few as the step allows."""

import numpy as np
import pytest

from ingradient_pl.inference.windows import starts, windows


@pytest.mark.parametrize(
    ("shape", "patch", "step"),
    [((9, 20, 33), (8, 8, 8), 0.5), ((8, 8, 8), (8, 8, 8), 1.0), ((7, 31, 5), (1, 9, 5), 0.3)],
)
def test_windows_cover_every_voxel_and_stay_inside(shape, patch, step):
    seen = np.zeros(shape, dtype=int)
    for box in windows(shape, patch, step):
        assert box.shape == patch
        assert min(box.start) >= 0
        assert all(np.array(box.stop) <= shape)
        seen[box.slices] += 1
    assert seen.min() >= 1


@pytest.mark.parametrize(
    ("size", "length", "step", "expected"),
    [
        (110, 64, 0.5, [0, 23, 46]),
        (64, 64, 0.5, [0]),
        (65, 64, 0.5, [0, 1]),
        (273, 128, 0.5, [0, 48, 97, 145]),
        (100, 40, 0.25, [0, 10, 20, 30, 40, 50, 60]),
    ],
)
def test_windows_stand_where_those_of_nnunet_stand(size, length, step, expected):
    assert starts(size, length, step) == expected


def test_windows_of_one_voxel_walk_from_slice_to_slice():
    assert starts(5, 1) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("step", [0, -0.5, 1.5, 50])
def test_a_step_that_is_no_share_is_refused(step):
    with pytest.raises(ValueError, match=r"\(0, 1\], got"):
        starts(10, 4, step)


def test_a_grid_smaller_than_a_window_is_refused_with_the_cure():
    with pytest.raises(ValueError, match=r"axis of 3 voxels .* pad"):
        windows((3, 9, 9), (4, 4, 4))
