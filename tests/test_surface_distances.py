"""Distances between surfaces are those that geometry gives, in millimetres on any voxels."""

import math

import numpy as np
import pytest

from ingradient_pl.metrics.surface import SurfaceDistances, surface_distances

SPACINGS = [(1.0, 1.0, 1.0), (3.0, 0.8, 0.8), (0.5, 2.0, 1.0)]


def ball(shape, spacing, radius, shift=(0.0, 0.0, 0.0)):
    middle = [(count - 1) / 2 * mm + by for count, mm, by in zip(shape, spacing, shift, strict=True)]
    axes = np.ogrid[tuple(slice(count) for count in shape)]
    away = [(axis * mm - at) ** 2 for axis, mm, at in zip(axes, spacing, middle, strict=True)]
    return sum(away) <= radius**2


def box(shape, start, stop):
    mask = np.zeros(shape, dtype=bool)
    mask[tuple(slice(a, b) for a, b in zip(start, stop, strict=True))] = True
    return mask


@pytest.mark.parametrize("spacing", SPACINGS, ids=str)
def test_a_mask_lies_nowhere_from_itself(spacing):
    mask = ball((15, 30, 20), spacing, 6)
    assert SurfaceDistances(0.0)(mask, mask, spacing) == {"HD95": 0.0, "ASSD": 0.0, "NSD": 1.0}


@pytest.mark.parametrize("spacing", SPACINGS, ids=str)
def test_one_ball_in_another_lies_by_the_difference_of_radii_away(spacing):
    shape = tuple(round(40 / mm) for mm in spacing)
    small, large = ball(shape, spacing, 10), ball(shape, spacing, 15)
    there, back = surface_distances(small, large, spacing)
    # a surface voxel lies inside its sphere by less than a voxel's diagonal
    for way in (there, back):
        assert abs(way.mean() - 5) < math.dist(spacing, (0, 0, 0)) / 2
    scores = SurfaceDistances(5 + max(spacing))(small, large, spacing)
    assert scores["HD95"] == pytest.approx(5, abs=math.dist(spacing, (0, 0, 0)))
    assert scores["NSD"] > 0.99
    assert SurfaceDistances(1.0)(small, large, spacing)["NSD"] < 0.01


@pytest.mark.parametrize("axis", range(3))
def test_shifted_slabs_lie_by_the_shift_in_millimetres_apart(axis):
    """Two plates one voxel thin: every distance is the shift, whatever the axis."""
    spacing, shape = (3.0, 0.7, 1.1), [9, 9, 9]
    one, other = np.zeros(shape, dtype=bool), np.zeros(shape, dtype=bool)
    one[(slice(None),) * axis + (2,)] = True
    other[(slice(None),) * axis + (6,)] = True
    scores = SurfaceDistances(2.0)(one, other, spacing)
    assert scores["HD95"] == pytest.approx(4 * spacing[axis])
    assert scores["ASSD"] == pytest.approx(4 * spacing[axis])
    assert scores["NSD"] == 0
    assert SurfaceDistances(4 * spacing[axis] + 1e-6)(one, other, spacing)["NSD"] == 1


def test_a_shifted_box_is_measured_as_by_all_pairs_of_surface_points():
    spacing, shape = (2.5, 1.0, 0.6), (12, 14, 16)
    one, other = box(shape, (2, 3, 3), (8, 9, 10)), box(shape, (3, 5, 4), (9, 12, 11))

    def points(mask):
        inner = np.zeros_like(mask)
        corners = np.argwhere(mask)
        low, high = corners.min(axis=0) + 1, corners.max(axis=0)
        inner[tuple(map(slice, low, high))] = True
        return np.argwhere(mask & ~inner) * spacing

    apart = np.linalg.norm(points(one)[:, None] - points(other)[None], axis=-1)
    there, back = surface_distances(one, other, spacing)
    np.testing.assert_allclose(np.sort(there), np.sort(apart.min(axis=1)), atol=1e-9)
    np.testing.assert_allclose(np.sort(back), np.sort(apart.min(axis=0)), atol=1e-9)


def test_it_does_not_matter_which_is_the_reference_nor_where_the_image_ends():
    spacing = (1.5, 1.0, 1.0)
    one, other = ball((20, 30, 30), spacing, 7), ball((20, 30, 30), spacing, 9, (0, 3.0, -2.0))
    scores = SurfaceDistances()(one, other, spacing)
    assert SurfaceDistances()(other, one, spacing) == pytest.approx(scores)
    padded = [np.pad(mask, 5) for mask in (one, other)]
    assert SurfaceDistances()(*padded, spacing) == pytest.approx(scores)


def test_without_voxels_there_is_no_score_and_a_missed_object_is_infinitely_far():
    nothing, something = np.zeros((5, 5, 5), dtype=bool), box((5, 5, 5), (1, 1, 1), (3, 3, 3))
    measure = SurfaceDistances()
    assert all(math.isnan(value) for value in measure(nothing, nothing, (1, 1, 1)).values())
    for pair in ((nothing, something), (something, nothing)):
        assert measure(*pair, (1, 1, 1)) == {"HD95": math.inf, "ASSD": math.inf, "NSD": 0.0}


@pytest.mark.parametrize("tolerance", [-1.0, math.inf, math.nan])
def test_a_tolerance_that_is_no_distance_is_refused(tolerance):
    with pytest.raises(ValueError, match="tolerance must be a distance"):
        SurfaceDistances(tolerance)


def discs(seed, size=48):
    """Two overlapping discs with holes and notches."""
    rng, axes = np.random.default_rng(seed), np.ogrid[:size, :size]
    masks = []
    for _ in range(2):
        middle, radius = rng.uniform(size * 0.4, size * 0.6, 2), rng.uniform(6, size * 0.38)
        away = np.hypot(*(axis - at for axis, at in zip(axes, middle, strict=True)))
        masks.append((away <= radius) & (rng.random((size, size)) > 0.02))
    return masks


def outline(mask, spacing):
    """Voxels of a 2D mask with a side that is not covered, in mm: one by one, by hand."""
    padded = np.pad(mask, 1)
    inner = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    return np.argwhere(mask & ~inner) * spacing


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("axis", range(3))
def test_a_single_slice_is_measured_by_its_outline_as_in_2d(axis, seed):
    spacing, tolerance = (0.8, 1.3), 1.5
    flat = discs(seed)
    ours, theirs = (outline(mask, spacing) for mask in flat)
    apart = np.linalg.norm(ours[:, None] - theirs[None], axis=-1)
    there, back = apart.min(axis=1), apart.min(axis=0)
    both = np.concatenate([there, back])
    thick = [*spacing[:axis], 5.0, *spacing[axis:]]
    scores = SurfaceDistances(tolerance)(*(np.expand_dims(mask, axis) for mask in flat), thick)
    assert scores == pytest.approx(
        {
            "HD95": max(np.percentile(way, 95) for way in (there, back)),
            "ASSD": both.mean(),
            "NSD": (both <= tolerance).mean(),
        }
    )


def test_a_line_is_measured_by_its_ends_and_a_voxel_by_itself():
    line = np.zeros((1, 30, 1), dtype=bool)
    line[0, 5:20] = True
    there, back = surface_distances(line, np.roll(line, 3, axis=1), (1.0, 2.0, 1.0))
    assert there.tolist() == back.tolist() == [6.0, 6.0]
    voxel = np.ones((1, 1, 1), dtype=bool)
    assert SurfaceDistances()(voxel, voxel, (1, 1, 1)) == {"HD95": 0.0, "ASSD": 0.0, "NSD": 1.0}


@pytest.mark.parametrize("axis", range(3))
def test_a_flat_object_in_a_volume_has_a_surface_above_and_below(axis):
    flat = [np.expand_dims(mask, axis) for mask in discs(5, 24)]
    volume = [np.pad(mask, [(2, 2) if at == axis else (0, 0) for at in range(3)]) for mask in flat]
    there, back = surface_distances(*volume, (1.0, 1.0, 1.0))
    assert (len(there), len(back)) == tuple(mask.sum() for mask in flat)
