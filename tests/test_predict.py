"""A perfect network finds its ball on any grid: preprocessed, predicted, resampled back, untrained."""

import numpy as np
import pytest
import torch
from oracles import dice, plan, predictor
from torch import nn

from ingradient_pl.datasets.phantom import ball
from ingradient_pl.task import Task
from ingradient_pl.transforms.normalise import NoNormalisation, ZScore


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (5.0, 0.7, 0.7), (2.0, 1.0, 2.5)], ids=str)
@pytest.mark.parametrize("shape", [(30, 40, 36), (8, 50, 30)], ids=str)
def test_a_perfect_network_finds_the_ball_on_any_grid(shape, spacing):
    image, truth = ball(shape, spacing, radius_mm=9)
    found = predictor().predict(image + 1, spacing)
    assert found.shape == shape
    assert found.dtype == np.uint8
    assert dice(found > 0, truth > 0) > 0.9


@pytest.mark.parametrize("transpose", [(0, 1, 2), (2, 0, 1), (1, 2, 0), (2, 1, 0)], ids=str)
def test_the_answer_does_not_depend_on_the_order_of_the_networks_axes(transpose):
    image, truth = ball((20, 30, 26), (2.0, 1.0, 1.5), radius_mm=9)
    image = image + np.linspace(0, 30, image.size, dtype=np.float32).reshape(image.shape)
    spacing = tuple((1.5, 1.2, 1.3)[axis] for axis in transpose)
    found = predictor(plan(transpose=transpose, spacing=spacing)).predict(image, (2.0, 1.0, 1.5))
    assert dice(found > 0, truth > 0) > 0.9
    straight = predictor(plan(spacing=(1.5, 1.2, 1.3))).predict(image, (2.0, 1.0, 1.5))
    assert (found != straight).mean() < 1e-4


def test_the_dark_rim_is_cut_off_and_comes_back_as_background():
    image, truth = ball((24, 24, 24), (1.0, 1.0, 1.0), radius_mm=6)
    around = np.zeros((1, 60, 40, 50), dtype=np.float32)
    around[:, 20:44, 10:34, 5:29] = image
    found = predictor().predict(around, (1.0, 1.0, 1.0))
    assert found.shape == (60, 40, 50)
    outside = found.copy()
    outside[20:44, 10:34, 5:29] = 0
    assert not outside.any()
    assert dice(found[20:44, 10:34, 5:29] > 0, truth > 0) > 0.9


def test_an_image_of_zeros_is_all_background():
    assert not predictor().predict(np.zeros((1, 20, 20, 20), np.int16), (1.0, 1.0, 1.0)).any()


def test_a_case_smaller_than_a_window_is_padded():
    image, truth = ball((9, 10, 11), (1.5, 1.5, 1.5), radius_mm=5)
    found = predictor(plan((16, 16, 16))).predict(image + 1, (1.5, 1.5, 1.5))
    np.testing.assert_array_equal(found, truth)


def test_regions_are_written_in_their_order():
    class Rings(nn.Module):
        def forward(self, image):
            return torch.cat([image - 20, image - 60], dim=1)

    image = np.full((1, 16, 16, 16), 1, np.float32)
    image[0, 4:12, 4:12, 4:12] = 40
    image[0, 6:10, 6:10, 6:10] = 90
    task = Task(("CT",), {"background": 0, "whole": (1, 2), "core": (2,)}, (1, 2))
    found = predictor(plan(spacing=(1.0, 1.0, 1.0)), task, Rings()).predict(image, (1.0, 1.0, 1.0))
    expected = np.zeros((16, 16, 16), np.uint8)
    expected[4:12, 4:12, 4:12] = 1
    expected[6:10, 6:10, 6:10] = 2
    np.testing.assert_array_equal(found, expected)


def test_normalisation_takes_the_whole_case_without_its_dark_rim():
    class Bright(nn.Module):
        def forward(self, image):
            return torch.cat([1.5 - image, image - 1.5], dim=1)

    rng = np.random.default_rng(0)
    image = np.zeros((1, 40, 40, 40), np.float32)
    image[:, 8:30, 8:30, 8:30] = rng.normal(1000, 10, (1, 22, 22, 22))
    found = predictor(plan(normalisation=(ZScore(),), spacing=(1.0,) * 3), network=Bright()).predict(
        image, (1.0, 1.0, 1.0)
    )
    inside = image[0, 8:30, 8:30, 8:30]
    expected = inside > inside.mean() + 1.5 * inside.std()
    assert (found[8:30, 8:30, 8:30] != expected).mean() < 1e-4


def test_slices_are_predicted_one_by_one_in_two_dimensions():
    flat = plan((1, 16, 16), spacing=(None, 1.5, 1.5), strides=((1, 1, 1), (1, 2, 2)))
    image, truth = ball((12, 40, 36), (4.0, 1.0, 1.0), radius_mm=12)
    found = predictor(flat).predict(image + 1, (4.0, 1.0, 1.0))
    assert dice(found > 0, truth > 0) > 0.95


def test_an_image_of_other_channels_is_refused_by_name():
    task = Task(("T1", "FLAIR"), {"ball": 1})
    two = plan(channels=2, normalisation=(NoNormalisation(),) * 2)
    with pytest.raises(ValueError, match=r"2 channels \(T1, FLAIR\), this image has 1"):
        predictor(two, task).predict(np.ones((1, 8, 8, 8), np.float32), (1.0, 1.0, 1.0))


@pytest.mark.parametrize("give", [torch.from_numpy, np.ndarray.tolist, np.asfortranarray])
def test_an_image_may_be_a_tensor_or_lists(give):
    image = np.random.default_rng(0).random((1, 12, 16, 16), dtype=np.float32)
    asked = predictor()
    expected = asked.predict(image, (1.0, 1.0, 1.0))
    np.testing.assert_array_equal(asked.predict(give(image), (1.0, 1.0, 1.0)), expected)


@pytest.mark.parametrize("shape", [(8, 8), (8, 8, 8), (1, 1, 8, 8, 8)])
def test_an_image_of_other_axes_is_refused_by_its_shape(shape):
    with pytest.raises(ValueError, match=r"\(channel, z, y, x\); got an array of shape"):
        predictor().predict(np.ones(shape, np.float32), (1.0, 1.0, 1.0))


def test_a_spacing_that_is_no_size_is_refused():
    with pytest.raises(ValueError, match=r"got \[1.0, 0.0, 1.0\]"):
        predictor().predict(np.ones((1, 8, 8, 8), np.float32), (1.0, 0.0, 1.0))


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"window_batch": 0}, "auto or at least 1, got 0"),
        ({"step": 50.0}, r"\(0, 1\], got 50"),
        ({"mirror": (3,)}, r"axes 0, 1, 2 .* got \(3,\)"),
        ({"device": "nonsense"}, "Try the device cpu"),
    ],
    ids=str,
)
def test_wrong_settings_are_refused_at_the_door(setting, message):
    with pytest.raises(ValueError, match=message):
        predictor(**setting)


def test_regions_without_an_order_are_refused_before_any_work():
    with pytest.raises(ValueError, match="regions_class_order"):
        predictor(task=Task(("CT",), {"background": 0, "whole": (1, 2), "core": (2,)}))


def test_a_network_that_diverged_is_told_from_an_empty_answer():
    class Broken(nn.Module):
        def forward(self, image):
            return torch.cat([image, image * float("nan")], dim=1)

    with pytest.raises(ArithmeticError, match="not finite"):
        predictor(network=Broken()).predict(np.ones((1, 16, 16, 16), np.float32), (1.5, 1.5, 1.5))
