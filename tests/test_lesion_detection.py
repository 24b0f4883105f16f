"""Lesions are counted piece by piece, by a rule that is stated."""

import math

import numpy as np
import pytest

from ingradient_pl.metrics.lesions import LesionDetection, components

SPACING = (1.0, 1.0, 1.0)


def cubes(*starts, side=3, shape=(20, 20, 20)):
    mask = np.zeros(shape, dtype=bool)
    for z, y, x in starts:
        mask[z : z + side, y : y + side, x : x + side] = True
    return mask


def test_found_missed_and_false_lesions_are_counted():
    reference = cubes((1, 1, 1), (1, 10, 1), (10, 1, 10))
    prediction = cubes((2, 2, 2), (1, 10, 1), (15, 15, 15), (15, 1, 15))
    assert LesionDetection()(prediction, reference, SPACING) == {
        "lesions_ref": 3,
        "lesions_pred": 4,
        "lesions_found": 2,
        "lesions_false": 2,
        "lesion_sensitivity": pytest.approx(2 / 3),
        "lesion_F1": pytest.approx(4 / 7),
    }


@pytest.mark.parametrize(("overlap", "found"), [(0.0, 1), (0.29, 1), (0.3, 0), (0.9, 0)])
def test_a_lesion_counts_from_the_share_that_is_asked_for(overlap, found):
    """8 of 27 voxels are covered: a share of 0.296."""
    scores = LesionDetection(overlap)(cubes((2, 2, 2)), cubes((1, 1, 1)), SPACING)
    assert (scores["lesions_found"], scores["lesions_false"]) == (found, 1 - found)


def test_one_prediction_may_find_two_lesions():
    reference, prediction = cubes((1, 1, 1), (1, 1, 6)), cubes((1, 1, 1), (1, 1, 4), (1, 1, 6))
    scores = LesionDetection(0.4)(prediction, reference, SPACING)
    assert (scores["lesions_ref"], scores["lesions_pred"]) == (2, 1)
    assert (scores["lesions_found"], scores["lesions_false"], scores["lesion_F1"]) == (2, 0, 1.0)


def test_voxels_that_touch_by_a_corner_are_one_piece():
    assert components(cubes((1, 1, 1), (4, 4, 4))).sizes.tolist() == [54]
    assert components(cubes((1, 1, 1), (4, 4, 5))).sizes.tolist() == [27, 27]


def test_what_does_not_exist_has_no_score():
    nothing, lesion = cubes(), cubes((3, 3, 3))
    none, invented, missed = (
        LesionDetection()(*pair, SPACING)
        for pair in ((nothing, nothing), (lesion, nothing), (nothing, lesion))
    )
    assert math.isnan(none["lesion_F1"])
    assert math.isnan(none["lesion_sensitivity"])
    assert math.isnan(invented["lesion_sensitivity"])
    assert (invented["lesions_false"], invented["lesion_F1"]) == (1, 0)
    assert (missed["lesion_sensitivity"], missed["lesion_F1"]) == (0, 0)


@pytest.mark.parametrize("overlap", [-0.1, 1.0])
def test_an_overlap_that_is_no_share_is_refused(overlap):
    with pytest.raises(ValueError, match="share in"):
        LesionDetection(overlap)
