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


@pytest.mark.parametrize(("overlap", "found"), [(0.0, 1), (0.17, 1), (0.18, 0), (0.9, 0)])
def test_a_lesion_counts_from_the_overlap_that_is_asked_for(overlap, found):
    """8 voxels of 27 and 27 are common: 0.174 of the union."""
    scores = LesionDetection(overlap)(cubes((2, 2, 2)), cubes((1, 1, 1)), SPACING)
    assert (scores["lesions_found"], scores["lesions_false"]) == (found, 1 - found)


def scattered(seed, count=9, shape=(24, 24, 24)):
    """Boxes of random sizes that do not touch, as masks of their own."""
    rng, corners = (
        np.random.default_rng(seed),
        np.stack(np.meshgrid(*[range(0, 24, 8)] * 3), -1).reshape(-1, 3),
    )
    masks = []
    for corner in rng.permutation(corners)[:count]:
        mask = np.zeros(shape, dtype=bool)
        mask[tuple(slice(at, at + size) for at, size in zip(corner, rng.integers(2, 7, 3), strict=True))] = (
            True
        )
        masks.append(mask)
    return masks


@pytest.mark.parametrize("seed", range(5))
def test_all_lesions_as_they_are_score_one_and_the_whole_image_nothing(seed):
    reference = np.any(scattered(seed), axis=0)
    assert LesionDetection()(reference, reference, SPACING)["lesion_F1"] == 1
    everything = LesionDetection()(np.ones_like(reference), reference, SPACING)
    assert (everything["lesions_found"], everything["lesions_false"]) == (0, 1)
    assert everything["lesion_F1"] == everything["lesion_sensitivity"] == 0


@pytest.mark.parametrize("overlap", [0.0, 0.1, 0.3])
@pytest.mark.parametrize("seed", range(5))
def test_one_blob_finds_one_lesion_at_most(seed, overlap):
    lesions = scattered(seed, count=2 + seed)
    reference = np.any(lesions, axis=0)
    box = tuple(slice(at.min(), at.max() + 1) for at in np.nonzero(reference))
    blob = np.zeros_like(reference)
    blob[box] = True
    scores = LesionDetection(overlap)(blob, reference, SPACING)
    assert scores["lesions_found"] <= 1
    assert scores["lesion_F1"] <= 2 / (1 + len(lesions))
    best = max(lesion.sum() for lesion in lesions) / blob.sum()
    assert scores["lesions_found"] == (best > overlap)


@pytest.mark.parametrize("pieces", [2, 3, 4])
def test_fragments_of_a_lesion_find_it_once_and_are_false_beyond(pieces):
    reference = np.zeros((8, 8, 40), dtype=bool)
    reference[2:6, 2:6, 2:38] = True
    fragments = reference.copy()
    for cut in np.linspace(2, 38, pieces + 1).round().astype(int)[1:-1]:
        fragments[:, :, cut] = False
    scores = LesionDetection()(fragments, reference, SPACING)
    assert (scores["lesions_ref"], scores["lesions_pred"]) == (1, pieces)
    assert (scores["lesions_found"], scores["lesions_false"]) == (1, pieces - 1)
    assert scores["lesion_F1"] == pytest.approx(2 / (1 + pieces))


@pytest.mark.parametrize("overlap", [0.0, 0.1, 0.25, 0.5])
@pytest.mark.parametrize("seed", range(6))
def test_as_many_pairs_are_matched_as_trying_all_of_them_gives_whatever_the_order(seed, overlap):
    rng = np.random.default_rng(seed)
    masks = [np.kron(rng.random((1, 6, 6)) < 0.3, np.ones((1, 2, 2))).astype(bool) for _ in range(2)]
    masks[1] |= np.roll(masks[0], 1, axis=2)
    ours, theirs = (
        [pieces.numbers == number for number in range(1, len(pieces.sizes) + 1)]
        for pieces in map(components, masks)
    )
    near = [[(a & b).sum() > overlap * (a | b).sum() for b in theirs] for a in ours]

    def most(row, taken):
        if row == len(ours):
            return 0
        ways = [
            1 + most(row + 1, taken | {b})
            for b, is_near in enumerate(near[row])
            if is_near and b not in taken
        ]
        return max([most(row + 1, taken), *ways])

    scores = LesionDetection(overlap)(*masks, SPACING)
    assert scores["lesions_found"] == most(0, frozenset())
    for turned in (masks[::-1], [mask[:, ::-1, ::-1] for mask in masks]):
        again = LesionDetection(overlap)(*turned, SPACING)
        assert again["lesions_found"] == scores["lesions_found"]
        assert again["lesion_F1"] == pytest.approx(scores["lesion_F1"], nan_ok=True)


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
