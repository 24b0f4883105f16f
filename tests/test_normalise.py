import numpy as np
import pytest
import torch
from torch.testing import assert_close

from ingradient_pl.spec import build, to_spec
from ingradient_pl.store.statistics import ChannelStatistics, Statistics
from ingradient_pl.transforms.normalise import CT, RGB01, MinMax01, NoNormalisation, PercentileZScore, ZScore
from ingradient_pl.transforms.normalise_image import limits, normalise

RNG = np.random.default_rng(0)
IMAGE = RNG.gamma(2, 100, (12, 20, 16)).astype(np.int16)
BODY = np.zeros(IMAGE.shape, dtype=bool)
BODY[2:10, 3:18, 2:12] = True
MASKED = np.where(BODY, IMAGE + 1, 0)
ALL = [ZScore(), CT(20, 400, 150, 80), PercentileZScore(), MinMax01(), RGB01(), NoNormalisation()]


def statistics(image, body):
    whole = Statistics.of(image)
    return ChannelStatistics(whole, Statistics.of(image[body]), None)


def through(normaliser, image=IMAGE, body=None, dtype=torch.float64):
    terms = torch.tensor(
        [normaliser.terms(statistics(image, BODY[: len(image), : image.shape[1], : image.shape[2]]))],
        dtype=dtype,
    )
    voxels = torch.from_numpy(image)[None]
    return normalise(voxels, terms, None if body is None else torch.from_numpy(body))[0].numpy()


def test_z_score_has_mean_0_and_deviation_1_over_the_whole_case():
    expected = (IMAGE - IMAGE.mean()) / IMAGE.std()
    assert np.abs(through(ZScore()) - expected).max() < 1e-9


def test_masked_z_score_measures_the_body_and_leaves_zero_outside():
    found = through(ZScore(masked=True), MASKED.astype(np.int16), BODY)
    inside = MASKED[BODY]
    assert np.abs(found[BODY] - (inside - inside.mean()) / inside.std()).max() < 1e-9
    assert (found[~BODY] == 0).all()


@pytest.mark.parametrize("limits_", [(20, 400), (-100, 100), (3000, 4000), (-50, -10)], ids=str)
def test_ct_is_nnunets_clip_and_scale_wherever_the_case_lies(limits_):
    low, high = limits_
    expected = (np.clip(IMAGE.astype(float), low, high) - 150) / 80
    assert np.abs(through(CT(low, high, 150, 80)) - expected).max() < 1e-9


def test_percentile_z_score_clips_then_standardises():
    clipped = np.clip(IMAGE.astype(float), *np.quantile(IMAGE, [0.05, 0.95]))
    expected = (clipped - clipped.mean()) / clipped.std()
    assert np.abs(through(PercentileZScore(0.05, 0.95)) - expected).max() < 5e-3


def test_the_simple_schemes_are_what_they_say():
    whole = IMAGE.astype(float)
    assert np.allclose(through(MinMax01()), (whole - whole.min()) / np.ptp(whole))
    assert np.allclose(through(RGB01()), whole / 255)
    assert np.allclose(through(NoNormalisation()), whole)


@pytest.mark.parametrize("normaliser", ALL, ids=lambda n: type(n).__name__)
def test_a_constant_case_stays_finite(normaliser):
    assert np.isfinite(through(normaliser, np.full((4, 8, 8), 7, np.int16))).all()


@pytest.mark.parametrize("normaliser", ALL, ids=lambda n: type(n).__name__)
@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint16, np.int32, np.float32, np.float64])
def test_any_dtype_gives_the_same_and_is_left_as_it_was(normaliser, dtype):
    image = (IMAGE % 200).astype(dtype)
    before = image.copy()
    found = through(normaliser, image, dtype=torch.float32)
    assert found.dtype == np.float32
    assert np.allclose(found, through(normaliser, (IMAGE % 200).astype(np.float64)), atol=1e-4)
    assert (image == before).all()


@pytest.mark.parametrize("normaliser", ALL, ids=lambda n: type(n).__name__)
def test_no_voxel_lies_beyond_the_limits(normaliser):
    terms = torch.tensor([normaliser.terms(statistics(IMAGE, BODY))], dtype=torch.float64)
    low, high = limits(terms)
    found = torch.from_numpy(through(normaliser))
    assert low - 1e-9 <= found.min()
    assert found.max() <= high + 1e-9
    assert low <= 0 <= high


def test_channels_are_masked_one_by_one():
    terms = torch.tensor([[0, 10, 5, 1.0], [0, 10, 5, 1.0]])
    image, body = torch.full((2, 2, 2, 2), 7), torch.zeros(2, 2, 2, dtype=torch.bool)
    found = normalise(image, terms, body, masked=[True, False])
    assert_close(found, torch.stack([torch.zeros(2, 2, 2), torch.full((2, 2, 2), 2.0)]))


@pytest.mark.parametrize("normaliser", ALL, ids=lambda n: type(n).__name__)
def test_settings_survive_being_written_down(normaliser):
    assert build(to_spec(normaliser)) == normaliser


def test_wrong_settings_are_refused_with_the_cure():
    with pytest.raises(ValueError, match="Divide them by 100"):
        PercentileZScore(5, 95)
    with pytest.raises(ValueError, match="low=3"):
        CT(3, 1, 0, 1)
