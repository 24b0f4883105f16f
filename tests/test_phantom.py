"""Phantoms have a known truth that a network can learn and no threshold finds."""

import numpy as np

from ingradient_pl.datasets.phantom import ball, phantom
from ingradient_pl.datasets.phantom_files import write_phantoms
from ingradient_pl.datasets.sources import read_source


def test_phantoms_are_visible_and_not_trivial():
    image, label = phantom((24, 24, 24), (1.0, 1.0, 1.0), np.random.default_rng(0))
    again, _ = phantom((24, 24, 24), (1.0, 1.0, 1.0), np.random.default_rng(0))
    np.testing.assert_array_equal(image, again)
    body, organ, lesion = (image[0][(label == value) & (image[0] > 0)] for value in range(3))
    assert min(map(len, (body, organ, lesion))) > 30
    assert organ.mean() - body.mean() > 2.5 * body.std()
    assert np.quantile(body, 0.99) > np.quantile(organ, 0.01)  # no threshold parts them


def test_a_ball_has_its_volume_on_any_grid():
    for shape, spacing in (((40, 40, 40), (1.0, 1.0, 1.0)), ((20, 40, 80), (2.0, 1.0, 0.5))):
        image, label = ball(shape, spacing, 12.0)
        assert abs(label.sum() * np.prod(spacing) / (4 / 3 * np.pi * 12**3) - 1) < 0.02
        np.testing.assert_array_equal(image[0] > 50, label == 1)


def test_written_phantoms_are_a_data_set_and_depend_on_the_seed_alone(tmp_path):
    first = write_phantoms(tmp_path / "a", 3, (8, 9, 10), seed=1, channels=2)
    second = write_phantoms(tmp_path / "b", 2, (8, 9, 10), seed=1, channels=2)
    assert len(read_source(first).cases) == 3
    for path in sorted((second / "imagesTr").iterdir()):
        assert (first / "imagesTr" / path.name).read_bytes() == path.read_bytes()
