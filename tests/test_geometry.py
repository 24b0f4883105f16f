"""Voxels, millimetres and the arithmetic between them."""

import pytest

from ingradient_pl.geometry import Box, Grid


@pytest.mark.parametrize(
    ("shape", "spacing"),
    [
        ([8, 16], [2, 1, 1]),
        ([8, 16, 0], [2, 1, 1]),
        ([8, 16, 4], [2, 1, -1]),
        ([8, 9, 9], [2, 1, float("nan")]),
    ],
)
def test_a_grid_of_anything_but_three_positive_numbers_is_refused(shape, spacing):
    with pytest.raises(ValueError, match=r"ordered \(z, y, x\); got shape=\[8, "):
        Grid.of(shape, spacing)


def test_a_respaced_grid_covers_nearly_the_same_space():
    native = Grid((17, 40, 33), (3.0, 0.7, 0.7))
    network = native.respaced((1.0, 1.0, 1.0))
    for before, after, mm in zip(native.extent, network.extent, network.spacing, strict=True):
        assert abs(before - after) <= mm / 2


def test_no_axis_vanishes():
    assert Grid((3, 3, 3), (0.1, 1.0, 1.0)).respaced((5.0, 1.0, 1.0)).shape == (1, 3, 3)


def test_transposing_twice_is_the_identity():
    grid, box = Grid((4, 5, 6), (3.0, 2.0, 1.0)), Box((1, 2, 3), (4, 5, 6))
    assert grid.transposed((2, 0, 1)).transposed((1, 2, 0)) == grid
    assert box.transposed((2, 0, 1)).transposed((1, 2, 0)) == box


def test_a_box_beside_the_grid_is_empty_after_clipping():
    assert Box((20, 0, 0), (4, 4, 4)).clipped((10, 10, 10)).voxels == 0
    assert Box((-9, 0, 0), (4, 4, 4)).clipped((10, 10, 10)).voxels == 0
