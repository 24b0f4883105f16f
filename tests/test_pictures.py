"""Slices as pictures: what is shown where."""

import math

import numpy as np
import pytest
import torch
from PIL import Image

from ingradient_pl.datasets.phantom import ball
from ingradient_pl.pictures.cases import LONGEST, case_picture
from ingradient_pl.pictures.layout import EDGE, Panel, colour_of, lay_out, to_pixels
from ingradient_pl.pictures.levels import MAPS, Shown, describe_patch, draw_levels, look_at_patch
from ingradient_pl.pictures.planes import Scale, find_centre, find_planes
from ingradient_pl.pictures.slices import draw_labels, find_window, to_grey, write_png

TWO = Shown(["background", "ball"], [0, 1])


@pytest.fixture
def patch():
    image, label = ball((16, 32, 24), (1.0, 1.0, 1.0), radius_mm=6)
    return torch.from_numpy(image)[0], torch.from_numpy(label)


def pyramid_of(label, levels, outputs=2):
    pyramid = []
    for level in range(levels):
        coarse = label[:: 2**level, :: 2**level, :: 2**level]
        logits = torch.stack([10.0 * (coarse == value) - 5 for value in range(outputs)])
        pyramid.append(logits)
    return pyramid


def colours_in(picture):
    return set(map(tuple, to_pixels(picture).reshape(-1, 3).tolist()))


def panels_of(monkeypatch, view, shown):
    """What is laid out: the panels of each row, the caption and the legend."""
    seen = []
    monkeypatch.setattr(
        "ingradient_pl.pictures.levels.lay_out", lambda *told: seen.append(told) or lay_out(*told)
    )
    draw_levels(view, shown)
    return seen[0]


@pytest.mark.parametrize("levels", [1, 3])
def test_a_row_for_each_level_and_a_panel_for_each_output(monkeypatch, patch, levels):
    view = look_at_patch("case_1", *patch, pyramid_of(patch[1], levels))
    rows, caption, legend = panels_of(monkeypatch, view, TWO)
    titles = ["truth", "prediction", "p(background)", "p(ball)"]
    assert [[panel.title for panel in row][1:] for row in rows] == [titles] * levels
    assert [row[0].title for row in rows] == [f"level {n} of {levels}: image" for n in range(1, levels + 1)]
    assert "case_1: Dice of the patch 1.00" in caption
    assert legend == [(1, "ball")]


def test_a_right_prediction_looks_like_the_truth_and_a_wrong_one_does_not(monkeypatch, patch):
    label = patch[1]
    for logits, same in ((pyramid_of(label, 1), True), (pyramid_of(1 - label, 1), False)):
        view = look_at_patch("a", *patch, logits)
        (row,), _, _ = panels_of(monkeypatch, view, TWO)
        assert np.array_equal(row[1].pixels, row[2].pixels) == same
        assert view.mean_dice == pytest.approx(float(same))


def test_a_network_with_one_output_is_shown_by_its_sigmoid(monkeypatch, patch):
    view = look_at_patch("a", *patch, [20.0 * patch[1][None] - 10])
    (row,), _, _ = panels_of(monkeypatch, view, Shown(["ball"], [1]))
    assert len(row) == 4
    assert view.mean_dice == 1


def test_regions_are_shown_as_they_are_written(monkeypatch, patch):
    image, label = patch
    inside = 20.0 * (label > 0) - 10
    view = look_at_patch("a", image, label * 3, [torch.stack([inside, inside])], [1, 3])
    (row,), _, legend = panels_of(monkeypatch, view, Shown(["whole", "core"], [1, 3]))
    assert np.array_equal(row[1].pixels, row[2].pixels)
    assert row[4].pixels.max(axis=(0, 1)).tolist() == list(colour_of(3))
    assert legend == [(1, "whole"), (3, "core")]
    assert math.isnan(view.dice[0])  # nobody has a voxel of it
    assert float(view.dice[1]) == 1


def test_of_many_outputs_those_in_the_slice_are_shown_and_the_caption_says_so(monkeypatch, patch):
    names = [f"structure {number}" for number in range(40)]
    label = patch[1] * 37
    view = look_at_patch("a", patch[0], label, pyramid_of(label, 1, outputs=40))
    (row,), caption, legend = panels_of(monkeypatch, view, Shown(names, range(40)))
    assert len(row) == 3 + MAPS
    assert "p(structure 37)" in [panel.title for panel in row]
    assert f"{MAPS} of 40 maps" in caption
    assert legend == [(37, "structure 37")]


def test_sides_and_bars_stand_only_where_they_are_known(monkeypatch, patch):
    view = look_at_patch("a", *patch, pyramid_of(patch[1], 1))
    known = Shown(*TWO[:2], (None, 2.0, 1.0), "SPL")
    for shown, sides, bar in ((TWO, "", False), (known, "RLAP", True)):
        (row,), _, _ = panels_of(monkeypatch, view, shown)
        assert row[0].sides == sides
        assert (row[0].pixel_mm is not None) == bar
    height, width = row[0].pixels.shape[:2]
    assert height / width == pytest.approx(32 * 2 / 24, rel=0.02)  # voxels as long as they are


def test_a_patch_without_a_label_has_no_dice(patch):
    view = look_at_patch("a", patch[0], patch[1] * 0, pyramid_of(patch[1] * 0, 1))
    assert describe_patch(view, TWO).startswith("a: no label")
    assert int(view.at) == len(patch[0]) // 2


def test_colours_begin_again_after_the_last_label():
    assert colour_of(1) == colour_of(10) != colour_of(2)
    grey = np.zeros((40, 40, 3), np.uint8)
    assert set(colours_in(torch.from_numpy(draw_labels(grey, np.full((2, 2), 10))).permute(2, 0, 1))) != {
        (0, 0, 0)
    }


def test_outlines_lie_on_the_labels_edge_and_the_image_shows_through_inside():
    grey, label = np.full((90, 90, 3), 100, np.uint8), np.zeros((9, 9), int)
    label[2:7, 2:7] = 1
    drawn = draw_labels(grey, label)
    assert tuple(drawn[20, 45]) == colour_of(1)
    assert abs(int(drawn[45, 45, 0]) - 100) < 30
    assert (drawn[:20] == 100).all()


def test_the_window_is_that_of_what_is_labelled_and_nothing_odd_breaks_it():
    image = np.full((20, 20, 20), -1000.0, np.float32)
    image[5:15, 5:15, 5:15] = np.random.default_rng(0).normal(50, 5, (10, 10, 10))
    image[0, 0, 0] = 30000  # metal
    low, high = find_window(image, ((image > 0) & (image < 1000)).astype(int))
    assert 20 < low < high < 80
    for odd in (np.zeros((2, 2)), np.full((2, 2), np.nan), np.array([[np.inf, 1.0], [np.nan, 2.0]])):
        low, high = find_window(odd)
        assert math.isfinite(low)
        assert low < high
        assert to_grey(odd, (low, high), (4, 4)).shape == (4, 4, 3)


@pytest.mark.parametrize(
    ("towards", "axis", "sides", "first"),
    [
        ("SPL", 0, "RLAP", (0, 0)),
        ("SPL", 1, "RLSI", (1, 0)),
        ("LPS", 2, "APRL", (0, 0)),
        ("PSL", 0, "RLSI", (1, 0)),
    ],
)
def test_planes_show_the_patient_as_radiologists_do(towards, axis, sides, first):
    plane = next(one for one in find_planes(towards, (4, 4, 4)) if one.axis == axis)
    assert sorted(plane.sides) == sorted(sides)
    volume = np.zeros((4, 4, 4))
    corner = [0, 0, 0]
    for number, along in enumerate((plane.rows, plane.columns)):
        corner[along] = 3 if plane.flipped[number] else 0
    volume[tuple(corner)] = 1
    assert plane.cut(volume, 0)[0, 0] == 1
    for letter, along, flipped in (
        (plane.sides[0], plane.columns, plane.flipped[1]),
        (plane.sides[2], plane.rows, plane.flipped[0]),
    ):  # the letter at the beginning is the one that the axis comes from, or runs to where it is turned round
        assert (letter == towards[along]) == flipped


def test_a_png_is_what_was_drawn(patch, tmp_path):
    image, label = (part.numpy() for part in patch)
    picture = case_picture({"MR": image}, {"truth": label, "prediction": label})
    write_png(tmp_path / "new" / "case.png", picture)
    with Image.open(tmp_path / "new" / "case.png") as read:
        assert read.size == (picture.shape[2], picture.shape[1])


def test_a_picture_of_a_case_has_planes_through_its_label_as_large_as_they_are(monkeypatch):
    seen = []
    monkeypatch.setattr(
        "ingradient_pl.pictures.cases.lay_out", lambda *told: seen.append(told) or lay_out(*told)
    )
    image, label = np.random.default_rng(0).random((4, 10, 40)), np.zeros((4, 10, 40), int)
    label[2, 3:6, 10:20] = 7
    label[0, 0, 0] = 5
    channels = {"T1": image, "T2": image}
    case_picture(channels, {"truth": label}, (1.0, 4.0, 1.0), {7: "tumour", 5: "cyst"}, "case_1")
    rows, caption, legend = seen[0]
    assert [[panel.title.split(",")[0] for panel in row] for row in rows] == [
        ["T1"] * 3,
        ["T2"] * 3,
        ["truth"] * 3,
    ]
    assert rows[0][0].title == "T1, axial 3 of 4"
    height, width = rows[0][0].pixels.shape[:2]
    assert (height, width) == (LONGEST, LONGEST)  # 10 rows of 4 mm are as high as 40 columns of 1 mm
    assert "4 × 10 × 40 voxels of 1 × 4 × 1 mm" in caption
    assert legend == [(5, "cyst (in other slices)"), (7, "tumour")]


def test_the_planes_meet_in_a_labelled_voxel():
    ring = np.zeros((5, 9, 9), np.uint8)
    ring[2, 1:8, 1:8] = 1
    ring[2, 2:7, 2:7] = 0
    assert ring[find_centre(ring)] == 1
    assert find_centre(ring * 0) == (2, 4, 4)


def test_single_slices_and_thick_ones_are_bounded():
    assert [plane.axis for plane in find_planes("SPL", (1, 5, 8))] == [0]
    scale = Scale.of((1, 5, 8), (1.0, 500.0, 0.5), 300)
    assert scale.pixel_mm is None
    assert scale.size(find_planes("SPL", (1, 5, 8))[0], (1, 5, 8)) == (300, 30)
    names = {integer: f"a rather long name of label {integer}" for integer in range(1, 41)}
    label = np.arange(1, 41).reshape(1, 5, 8)
    case_picture({"CT": np.zeros((1, 5, 8))}, {"truth": label}, (1.0, 500.0, 0.5), names, "x" * 300)


@pytest.mark.slow
def test_titles_and_legends_that_are_too_long_are_broken_and_not_cut():
    narrow = Panel(np.zeros((40, 120, 3), np.uint8), "a title that is much longer than its panel is wide")
    short = narrow._replace(title="short")
    heights = [lay_out([[panel]], "", legend).shape[1] for panel, legend in ((short, []), (narrow, []))]
    assert heights[1] > heights[0] + 10
    legend = [(number, f"label {number}") for number in range(1, 9)]
    picture = lay_out([[short]], "caption " * 30, legend)
    assert picture.shape[2] == 120 + 2 * EDGE
    assert {colour_of(number) for number in range(1, 9)} <= colours_in(picture)
    assert picture.dtype == torch.uint8
