"""Topology: patches are halved where they are finest, until they are short."""

import itertools
import math

import pytest

from ingradient_pl.planning.topology import topology

SHAPES = [(64, 64, 64), (20, 256, 224), (9, 8, 300), (35.5, 50, 36), (7, 7, 7), (12, 5, 5), (512, 512)]
SPACINGS = [(1, 1, 1), (5, 0.8, 0.8), (0.3, 1, 4), (10, 1.5, 1.5)]
CASES = [(shape, spacing[-len(shape) :]) for shape, spacing in itertools.product(SHAPES, SPACINGS)]


@pytest.mark.parametrize(("shape", "spacing"), CASES)
def test_the_patch_holds_what_was_asked_for_and_can_be_halved(shape, spacing):
    found = topology(shape, spacing)
    for size, wanted, factor in zip(found.patch, shape, found.factors, strict=True):
        assert size % factor == 0
        assert wanted <= size < wanted + factor


@pytest.mark.parametrize(("shape", "spacing"), CASES)
def test_no_halved_axis_ends_shorter_than_the_edge(shape, spacing):
    found = topology(shape, spacing)
    for size, factor in zip(found.patch, found.factors, strict=True):
        assert factor == 1 or size / factor >= 4


@pytest.mark.parametrize(("shape", "spacing"), CASES)
def test_kernels_only_grow_and_end_wide(shape, spacing):
    found = topology(shape, spacing)
    assert len(found.kernels) == len(found.strides) == len(found.voxels)
    assert set(found.kernels[-1]) == {3}
    for before, after in itertools.pairwise(found.kernels):
        assert all(a <= b for a, b in zip(before, after, strict=True))


def test_coarse_axes_wait_until_the_others_have_caught_up():
    found = topology((20, 256, 224), (5, 1, 1))
    assert found.strides[:4] == ((1, 1, 1), (1, 2, 2), (1, 2, 2), (2, 2, 2))
    assert found.kernels[:4] == ((1, 3, 3), (1, 3, 3), (3, 3, 3), (3, 3, 3))


def test_voxels_of_the_stages_shrink_as_the_strides_say():
    found = topology((64, 64, 64), (1, 1, 1))
    assert found.voxels == (64**3, 32**3, 16**3, 8**3, 4**3)
    assert math.prod(found.patch) == found.voxels[0]


def test_an_axis_alone_needs_half_again_as_many_voxels():
    assert len(topology((8, 3, 3), (1, 1, 1)).strides) == 1
    assert len(topology((12, 3, 3), (1, 1, 1)).strides) == 2


def test_a_plane_among_three_axes_is_a_slice():
    found = topology((512, 512), (1, 1)).within(3)
    assert found.patch == (1, 512, 512)
    assert {stride[0] for stride in found.strides} == {kernel[0] for kernel in found.kernels} == {1}
