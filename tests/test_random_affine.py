import math

import numpy as np
import pytest

from ingradient_pl.draws.affine import RandomAffine
from ingradient_pl.geometry import Grid

CUBE = Grid((32, 32, 32), (1.0, 1.0, 1.0))
FLAT = Grid((10, 64, 48), (5.0, 1.0, 1.0))
SLICE = Grid((1, 64, 64), (5.0, 1.0, 1.0))
LONG = Grid((1, 100, 64), (5.0, 1.0, 1.0))


def many(affine, patch, count=4000, seed=0):
    rng = np.random.default_rng(seed)
    return np.array([affine.draw(rng, patch) for _ in range(count)])


def is_turned(matrices):
    return np.abs(matrices - matrices * np.eye(3)).max((1, 2)) > 1e-9


def test_probabilities_are_nnunets():
    found = many(RandomAffine(), CUBE)
    lengths = np.abs(np.linalg.det(found))
    error = 4 * np.sqrt(0.2 * 0.8 / len(found))
    assert is_turned(found).mean() == pytest.approx(0.2, abs=error)
    assert (np.abs(lengths - 1) > 1e-9).mean() == pytest.approx(0.2, abs=error)
    assert (np.linalg.det(found) < 0).mean() == pytest.approx(0.5, abs=4 * 0.5 / np.sqrt(len(found)))


@pytest.mark.slow
def test_rotation_is_rigid_and_as_wide_as_asked():
    found = many(RandomAffine(rotation_p=1, scaling_p=0, mirror=(False,) * 3), CUBE)
    assert np.allclose(found @ found.transpose(0, 2, 1), np.eye(3), atol=1e-12)
    assert np.allclose(np.linalg.det(found), 1)
    one_axis = many(
        RandomAffine(rotation_p=1, scaling_p=0, mirror=(False,) * 3, flat=True, flat_rotation=30), CUBE
    )
    degrees = np.degrees(np.arctan2(one_axis[:, 2, 1], one_axis[:, 1, 1]))
    assert np.abs(degrees).max() <= 30
    assert degrees.mean() == pytest.approx(0, abs=1.5)
    assert degrees.std() == pytest.approx(60 / np.sqrt(12), rel=0.05)


def test_scaling_has_nnunets_moments_and_one_factor():
    found = many(RandomAffine(rotation_p=0, scaling_p=1, mirror=(False,) * 3), CUBE)
    factors = np.diagonal(found, axis1=1, axis2=2)
    assert np.ptp(factors, axis=1).max() == 0
    assert factors[:, 0].mean() == pytest.approx(1.05, abs=0.015)
    assert factors[:, 0].std() == pytest.approx(0.7 / np.sqrt(12), rel=0.05)


def test_axes_scale_alone_where_asked():
    found = many(RandomAffine(rotation_p=0, scaling_p=1, synchronised_p=0, mirror=(False,) * 3), CUBE, 500)
    factors = np.diagonal(found, axis1=1, axis2=2)
    assert np.abs(np.corrcoef(factors.T)[0, 1]) < 0.15


@pytest.mark.parametrize("axis", range(3))
def test_only_allowed_axes_are_mirrored(axis):
    allowed = tuple(other == axis for other in range(3))
    found = many(RandomAffine(rotation_p=0, scaling_p=0, mirror=allowed), CUBE, 1000)
    signs = np.diagonal(found, axis1=1, axis2=2)
    assert (signs[:, axis] < 0).mean() == pytest.approx(0.5, abs=0.07)
    assert (np.delete(signs, axis, 1) == 1).all()


@pytest.mark.parametrize("patch", [FLAT, SLICE, LONG], ids=["flat", "slice", "long slice"])
def test_flat_patches_move_within_their_slices(patch):
    affine = RandomAffine(rotation_p=1, scaling_p=1, mirror=(False,) * 3)
    found = many(affine, patch, 1000)
    assert (found[:, 0] == [1, 0, 0]).all()
    assert (found[:, :, 0] == [1, 0, 0]).all()
    degrees = np.degrees(np.arctan2(found[:, 2, 1], found[:, 1, 1]))
    assert np.abs(degrees).max() > (14 if patch is LONG else 170)
    assert np.abs(degrees).max() <= (15 if patch is LONG else 180)


def test_a_single_slice_is_not_mirrored_along_z():
    found = many(RandomAffine(rotation_p=0, scaling_p=0), SLICE, 200)
    assert (found[:, 0, 0] == 1).all()
    assert (many(RandomAffine(rotation_p=0, scaling_p=0), FLAT, 200)[:, 0, 0] == -1).any()


def test_switching_one_part_off_leaves_the_others():
    with_turns = many(RandomAffine(scaling_p=1), CUBE, 50)
    without = many(RandomAffine(rotation_p=0, scaling_p=1), CUBE, 50)
    assert np.allclose(np.linalg.det(with_turns), np.linalg.det(without))


def test_nothing_moves_where_all_is_off():
    still = RandomAffine(rotation_p=0, scaling_p=0, mirror=(False, False, False))
    assert (many(still, CUBE, 20) == np.eye(3)).all()


RANGES = (-1, math.nan, math.inf, (1, -1), (0, math.nan))


@pytest.mark.parametrize(
    ("settings", "value"),
    [
        ({"rotation_p": 20}, "20"),
        ({"scaling": (1.4, 0.7)}, "1.4, 0.7"),
        ({"scaling": (0.0, 1.0)}, "0.0, 1.0"),
        *(
            ({name: wrong}, f"'{name}' of an affine")
            for name in ("rotation", "flat_rotation")
            for wrong in RANGES
        ),
    ],
)
def test_wrong_settings_are_refused_with_their_value(settings, value):
    with pytest.raises(ValueError, match=value):
        RandomAffine(**settings)
