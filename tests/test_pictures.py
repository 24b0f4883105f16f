"""Slices as pictures: what is shown where."""

import pytest
import torch
from PIL import Image

from ingradient_pl import picture_notes
from ingradient_pl.datasets.phantom import ball
from ingradient_pl.pictures import case_picture, level_pictures, overlay, write_png

TITLE = 16


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


@pytest.mark.parametrize("levels", [1, 3])
def test_a_row_for_each_level_and_a_column_for_each_output(patch, levels):
    image, label = patch
    picture = level_pictures(image, label, pyramid_of(label, levels), ["background", "ball"])
    factor = -(-96 // 24)
    assert picture.shape == (3, TITLE + levels * (32 * factor + 2), 5 * (24 * factor + 2))
    assert picture.dtype == torch.uint8


def test_a_right_prediction_looks_like_the_truth_and_a_wrong_one_does_not(patch):
    image, label = patch
    width = 24 * 4 + 2
    right = level_pictures(image, label, pyramid_of(label, 1), ["b", "f"])
    truth, prediction = (right[:, TITLE:, width * i : width * (i + 1)] for i in (1, 2))
    assert torch.equal(truth, prediction)
    wrong = level_pictures(image, label, pyramid_of(1 - label, 1), ["b", "f"])
    assert not torch.equal(truth, wrong[:, TITLE:, width * 2 : width * 3])


def test_a_network_with_one_output_is_shown_by_its_sigmoid(patch):
    image, label = patch
    picture = level_pictures(image, label, [20.0 * label[None] - 10], ["ball"])
    assert picture.shape[2] == 4 * (24 * 4 + 2)


def test_regions_are_shown_as_they_are_written(patch):
    image, label = patch
    label = label * 3
    width = 24 * 4 + 2
    inside = 20.0 * (label > 0) - 10
    picture = level_pictures(image, label, [torch.stack([inside, inside])], ["whole", "core"], [1, 3])
    truth, prediction, whole, core = (picture[:, TITLE:, width * i : width * (i + 1)] for i in range(1, 5))
    assert torch.equal(truth, prediction)
    assert torch.equal(whole, core)
    assert whole.max() > 250


def test_colours_begin_again_after_the_last_label():
    colours = overlay(torch.zeros(1, 2), torch.tensor([[1, 10]]))
    assert torch.equal(colours[:, 0, 0], colours[:, 0, 1])


def test_a_png_is_what_was_drawn(patch, tmp_path):
    image, label = patch
    picture = case_picture(image, [label, label], ["prediction", "truth"])
    write_png(tmp_path / "new" / "case.png", picture)
    with Image.open(tmp_path / "new" / "case.png") as read:
        assert read.size == (picture.shape[2], picture.shape[1])


def test_a_picture_of_a_case_shows_voxels_as_large_as_they_are_with_names_below():
    image, label = torch.rand(4, 10, 40), torch.zeros(4, 10, 40, dtype=torch.long)
    label[2, 3:6, 10:20] = 7
    plain = case_picture(image, [label], ["truth"])
    noted = case_picture(image, [label], ["truth"], (1.0, 4.0, 1.0), {7: "tumour"}, "case_1")
    square = case_picture(torch.rand(4, 40, 40), [label.new_zeros(4, 40, 40)], ["truth"], name="case_2")
    assert noted.shape[2] == square.shape[2]  # 10 rows of 4 mm are as high as 40 columns of 1 mm
    legend = noted[:, -14:].permute(1, 2, 0).reshape(-1, 3).tolist()
    assert list(picture_notes.colour_of(7)) in legend
    assert list(picture_notes.colour_of(7)) not in plain[:, -14:].permute(1, 2, 0).reshape(-1, 3).tolist()


def test_long_legends_take_lines_and_thick_slices_are_bounded():
    label = torch.arange(1, 41).reshape(1, 5, 8)
    names = {integer: f"a rather long name of label {integer}" for integer in range(1, 41)}
    picture = case_picture(torch.rand(1, 5, 8), [label], ["truth"], (1.0, 500.0, 0.5), names, "x" * 300)
    assert picture.shape[2] < 4 * 500
    assert picture.shape[1] > 10 * picture_notes.LINE
