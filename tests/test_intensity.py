"""Held to nnU-Net's formulas, written here in NumPy, and to its moments over many draws."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy import ndimage
from torch.testing import assert_close

from ingradient_pl.transforms.augment import NNUNET, Augment
from ingradient_pl.transforms.gaussian_noise import GaussianNoise
from ingradient_pl.transforms.intensity import (
    BodyMask,
    Brightness,
    Contrast,
    Gamma,
    GaussianBlur,
    LowResolution,
)
from ingradient_pl.transforms.intensity_da5 import (
    DA5,
    AdditiveBrightness,
    BlankRectangles,
    BrightnessGradient,
    LocalGamma,
    Sharpening,
    bump,
    bump_curves,
)
from ingradient_pl.transforms.one_of import OneOf
from ingradient_pl.transforms.patch import Batch
from ingradient_pl.transforms.separable_filters import about_one, blur_matrices, coarse_matrices

SHAPE = (9, 12, 10)
PLAIN = [
    GaussianNoise(),
    GaussianBlur(),
    Brightness(),
    Contrast(),
    LowResolution(),
    Gamma(),
    Gamma(inverted=True),
]
HEAVY = [AdditiveBrightness(), Sharpening(), BlankRectangles(), BrightnessGradient(), LocalGamma()]


def name(transform):
    return type(transform).__name__ + ("Inverted" if getattr(transform, "inverted", False) else "")


def images(batch=2, channels=2, shape=SHAPE, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).normal(size=(batch, channels, *shape))).float()


def rngs(count=2, seed=0):
    return [np.random.default_rng([seed, i]) for i in range(count)]


def always(transform):
    return replace(transform, p=1.0, **({"channel_p": 1.0} if hasattr(transform, "channel_p") else {}))


def batch_of(numbers, body=None):
    image = torch.stack([images(1, seed=number)[0] for number in numbers])
    label = torch.zeros(len(numbers), *SHAPE, dtype=torch.uint8)
    return Batch(image, label, body, ["case"] * len(numbers), list(numbers))


# Laws of all


@pytest.mark.parametrize("transform", PLAIN + HEAVY, ids=name)
def test_probability_zero_switches_it_off(transform):
    image = images()
    assert torch.equal(replace(transform, p=0.0)(image.clone(), rngs()), image)


@pytest.mark.parametrize("transform", PLAIN + HEAVY, ids=name)
def test_the_image_is_changed_in_place_and_stays_finite(transform):
    image = images()
    before = image.clone()
    after = always(transform)(image, rngs())
    assert after.data_ptr() == image.data_ptr()
    assert torch.isfinite(after).all()
    for patch in range(2):
        for channel in range(2):
            assert not torch.equal(after[patch, channel], before[patch, channel])


@pytest.mark.parametrize("transform", PLAIN + HEAVY, ids=name)
def test_patches_do_not_touch_each_other(transform):
    together = always(transform)(images(3), rngs(3))
    alone = [always(transform)(images(3)[i : i + 1].clone(), [rngs(3)[i]]) for i in range(3)]
    assert_close(together, torch.cat(alone))


@pytest.mark.parametrize("transform", [*PLAIN, *HEAVY], ids=name)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_the_same_to_its_digits(transform, dtype):
    image = images(1, 1)
    exact = always(transform)(image.clone(), rngs(1))
    half = always(transform)(image.to(dtype), rngs(1))
    assert half.dtype == dtype
    if not isinstance(transform, GaussianNoise):  # draws other numbers
        assert (half.float() - exact).abs().mean() < 0.03


@pytest.mark.parametrize("transform", PLAIN, ids=name)
def test_patches_are_touched_as_often_as_asked(transform):
    small = replace(transform, p=0.2, **({"channel_p": 1.0} if hasattr(transform, "channel_p") else {}))
    image = images(1500, 1, (3, 4, 4))
    before = image.clone()
    touched = (small(image, rngs(1500)) != before).flatten(1).any(1).float().mean()
    expected = 0.2 * (0.7 if isinstance(transform, LowResolution) else 1.0)  # 3 or 4 voxels left are all
    assert touched == pytest.approx(expected, abs=0.06 if isinstance(transform, LowResolution) else 0.042)


@pytest.mark.parametrize("transform", [GaussianBlur(p=1), LowResolution(p=1, factor=(0.5, 0.6))], ids=name)
def test_channels_are_touched_as_often_as_asked(transform):
    image = images(400, 2)
    before = image.clone()
    touched = (transform(image, rngs(400)) != before).flatten(2).any(2).float()
    assert touched.mean() == pytest.approx(0.5, abs=0.07)
    assert (touched[:, 0] * touched[:, 1]).mean() == pytest.approx(0.25, abs=0.09)


@pytest.mark.parametrize("transform", PLAIN, ids=name)
def test_a_constant_image_stays_finite(transform):
    after = always(transform)(torch.full((1, 1, *SHAPE), 2.0), rngs(1))
    assert torch.isfinite(after).all()


# Each against nnU-Net's formula


def test_factors_are_as_often_below_one_as_above():
    numbers = np.random.default_rng(0).random((20_000, 2))
    drawn = about_one(numbers, (0.7, 1.5))
    assert drawn.min() >= 0.7
    assert drawn.max() <= 1.5
    assert (drawn < 1).mean() == pytest.approx(0.5, abs=0.015)
    assert drawn.mean() == pytest.approx((0.85 + 1.25) / 2, abs=0.01)
    second = 0.5 * ((1 - 0.7**3) / (3 * 0.3) + (1.5**3 - 1) / (3 * 0.5))
    assert (drawn**2).mean() == pytest.approx(second, abs=0.02)
    assert set(about_one(numbers, (1.0, 1.0))) == {1.0}
    assert about_one(numbers, (1.2, 1.5)).min() >= 1.2
    assert about_one(numbers, (0.5, 0.8)).max() <= 1.0


def test_noise_has_the_moments_of_nnunets():
    added = GaussianNoise(p=1)(torch.zeros(600, 1, 4, 5, 5), rngs(600))
    sigmas = added.flatten(1).std(1)
    assert added.mean() == pytest.approx(0, abs=0.002)
    assert sigmas.mean() == pytest.approx(0.05, abs=0.005)
    assert added.square().mean() == pytest.approx(0.1**2 / 3, rel=0.1)
    assert np.corrcoef(added[:, 0, 0, 0, :2].T.numpy())[0, 1] == pytest.approx(0, abs=0.15)


def test_noise_has_one_width_for_all_channels():
    added = GaussianNoise(p=1)(torch.zeros(20, 2, 20, 20, 20), rngs(20)).flatten(2)
    assert_close(added[:, 0].std(1), added[:, 1].std(1), rtol=0.05, atol=1e-4)
    assert not torch.equal(added[:, 0], added[:, 1])


@pytest.mark.parametrize("sigma", [0.5, 0.75, 1.0, 1.5])
def test_a_blur_is_a_gaussian_with_mirrored_edges(sigma):
    values = np.random.default_rng(0).normal(size=20)
    rows = blur_matrices(20, np.array([0.6, sigma, 2.0]))[1]
    radius = round((6 * sigma - 0.5) / 2)
    expected = ndimage.gaussian_filter1d(values, sigma, mode="mirror", radius=radius)
    assert np.allclose(rows @ values, expected, atol=1e-6)
    assert np.allclose(rows.sum(1), 1)


def test_a_single_slice_is_blurred_in_its_plane_only():
    image = images(1, 1, (1, 16, 16))
    after = GaussianBlur(p=1, channel_p=1)(image.clone(), rngs(1))
    assert after.std() < image.std()


@pytest.mark.parametrize("counts", [(10, 5), (10, 7), (9, 8), (12, 9), (5, 1)], ids=str)
def test_low_resolution_is_nearest_down_and_linear_up(counts):
    voxels, left = counts
    values = torch.from_numpy(np.random.default_rng(0).normal(size=voxels))
    down = F.interpolate(values[None, None], left, mode="nearest-exact")
    up = F.interpolate(down, voxels, mode="linear", align_corners=False)[0, 0]
    rows = torch.from_numpy(coarse_matrices(voxels, np.array([voxels, left]))).double()
    assert torch.equal(rows[0], torch.eye(voxels, dtype=torch.float64))
    assert_close(rows[1] @ values, up, atol=1e-6, rtol=1e-6)


def test_low_resolution_is_nnunets_in_space():
    image = images(1, 1)
    after = LowResolution(factor=(0.6, 0.6), channel_p=1, p=1)(image.clone(), rngs(1))
    down = F.interpolate(image, [round(n * 0.6) for n in SHAPE], mode="nearest-exact")
    assert_close(after, F.interpolate(down, SHAPE, mode="trilinear", align_corners=False), atol=1e-5, rtol=0)


def test_low_resolution_leaves_z_of_flat_patches():
    image = images(1, 1, (2, 16, 16))
    image[:, :, 1] = -image[:, :, 0]
    after = LowResolution(factor=(0.5, 0.5), channel_p=1, p=1)(image, rngs(1))
    assert_close(after[:, :, 1], -after[:, :, 0])


def test_brightness_multiplies_each_channel_by_its_own_factor():
    image = images(1, 3)
    factors = (Brightness(p=1)(image.clone(), rngs(1)) / image).flatten(2)
    assert (factors.amax(2) - factors.amin(2)).max() < 1e-5
    assert len(set(factors[0, :, 0].tolist())) == 3


@pytest.mark.parametrize("keep_range", [True, False])
def test_contrast_stretches_about_the_mean(keep_range):
    image = images(1, 1)
    after = Contrast(factor=(1.3, 1.3), keep_range=keep_range, p=1)(image.clone(), rngs(1))
    expected = (image - image.mean()) * 1.3 + image.mean()
    if keep_range:
        expected = expected.clamp(image.min(), image.max())
    assert_close(after, expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("keep_moments", [True, False])
@pytest.mark.parametrize("inverted", [True, False])
def test_gamma_is_nnunets(inverted, keep_moments):
    image = images(1, 1)
    gamma = Gamma(gamma=(1.4, 1.4), inverted=inverted, keep_moments=keep_moments, p=1)
    after = gamma(image.clone(), rngs(1))
    x = -image if inverted else image
    low, span = x.min(), x.max() - x.min()
    bent = ((x - low) / span) ** 1.4 * span + low
    if keep_moments:
        bent = (bent - bent.mean()) * (x.std() / bent.std()) + x.mean()
    assert_close(after, -bent if inverted else bent, atol=1e-5, rtol=0)


def test_the_body_mask_zeroes_what_lies_outside():
    image, body = images(), torch.ones(2, 2, *SHAPE, dtype=torch.bool)
    body[:, 0, :2] = body[:, 0, 5:] = False  # the other channel's normaliser has no mask
    after = BodyMask()(image.clone(), rngs(), body)
    assert not after[:, 0, :2].any()
    assert torch.equal(after[:, 1], image[:, 1])
    assert torch.equal(after[:, 0, 2:5], image[:, 0, 2:5])
    assert torch.equal(BodyMask()(image.clone(), rngs(), None), image)


def test_one_of_several_is_chosen_as_often_as_the_others():
    either = OneOf((Brightness(factor=(2.0, 2.0), p=1), Brightness(factor=(3.0, 3.0), p=0.5)))
    after = either(torch.ones(600, 1, 1, 1, 1), rngs(600)).flatten()
    shares = [(after == value).float().mean().item() for value in (1.0, 2.0, 3.0)]
    assert shares == pytest.approx([0.25, 0.5, 0.25], abs=0.08)


# The heavier ones


def test_additive_brightness_adds_one_number():
    image = images(300, 1)
    added = (AdditiveBrightness(p=1, channel_p=1)(image.clone(), rngs(300)) - image).flatten(1)
    assert added.std(1).max() < 1e-5
    assert added.mean(1).std() == pytest.approx(0.5, rel=0.15)


def test_sharpening_adds_the_laplacian():
    image = images(1, 1)
    after = Sharpening(strength=(0.5, 0.5), p=1, channel_p=1)(image.clone(), rngs(1))
    kernel = -ndimage.generate_binary_structure(3, 1).astype(float)
    kernel[1, 1, 1] = 6
    expected = image[0, 0].numpy() + 0.5 * ndimage.correlate(image[0, 0].numpy(), kernel, mode="nearest")
    assert_close(after[0, 0], torch.from_numpy(expected).float(), atol=1e-5, rtol=0)


def test_blank_rectangles_hold_the_mean_of_what_was_there_and_leave_the_rest():
    image = images(1, 1, (30, 30, 30)) + torch.arange(30.0)[:, None]
    edges = []
    for number in range(40):
        after = BlankRectangles(count=(1, 1), p=1, channel_p=1)(image.clone(), rngs(number + 1)[-1:])
        changed = after != image
        z, y, x = (torch.unique(line) for line in changed[0, 0].nonzero(as_tuple=True))
        box = (0, 0, *(slice(int(line[0]), int(line[-1]) + 1) for line in (z, y, x)))
        assert changed[box].all()
        assert changed.sum() == changed[box].sum()
        assert_close(after[box], image[box].mean().expand(after[box].shape))
        edges += [len(z), len(y), len(x)]
    assert min(edges) >= 3
    assert max(edges) <= 10
    assert np.mean(edges) == pytest.approx(6.5, abs=1)  # a tenth to a third of 30, any as likely


def test_gradients_go_up_as_often_as_down_and_local_gammas_darken_as_often_as_they_brighten():
    flat = torch.zeros(300, 1, 12, 12, 12)
    after = BrightnessGradient(centre=(0.5, 0.5), p=1, channel_p=1)(flat, rngs(300)).flatten(1)
    heights = (after.amax(1) + after.amin(1)).numpy()  # the other is zero
    assert np.mean(heights > 0) == pytest.approx(0.5, abs=0.1)
    assert 1 <= np.abs(heights).min() < np.abs(heights).max() <= 5
    assert np.abs(heights).mean() == pytest.approx(3, abs=0.25)
    ramp = torch.linspace(0, 1, 12**3).reshape(1, 1, 12, 12, 12).repeat(300, 1, 1, 1, 1)
    after = LocalGamma(p=1, channel_p=1)(ramp.clone(), rngs(300))
    assert ((after - ramp).flatten(1).mean(1) > 0).float().mean() == pytest.approx(0.5, abs=0.1)


def bumps(count, shape, centre):
    numbers = np.random.default_rng(0).random((count, 6))
    return bump(torch.from_numpy(bump_curves(numbers, shape, centre)).float(), shape)


def test_bumps_are_narrow_or_as_wide_as_the_patch():
    means = bumps(200, (24, 24, 24), (0.5, 0.5)).mean((1, 2, 3)).tolist()
    # a Gaussian a sixth of the patch wide fills 7 % of it, one of the patch's own width 60 %
    assert 0.06 < min(means) < 0.12
    assert 0.55 < max(means) < 0.62


def test_a_bump_runs_from_zero_to_one():
    for found in bumps(20, SHAPE, (-0.5, 1.5)):
        assert found.min() == pytest.approx(0, abs=1e-5)
        assert found.max() == pytest.approx(1, abs=1e-5)


def test_local_gamma_keeps_the_range():
    image = images(20, 1)
    after = LocalGamma(p=1, channel_p=1)(image.clone(), rngs(20))
    assert (after.flatten(1).amax(1) <= image.flatten(1).amax(1) + 1e-5).all()
    assert (after.flatten(1).amin(1) >= image.flatten(1).amin(1) - 1e-5).all()


# All of them in a batch


@pytest.fixture
def one_thread():
    """One order of sums: several threads divide products by the size of a batch, which rounds otherwise."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("transforms", [NNUNET, DA5], ids=["nnunet", "da5"])
def test_what_happens_to_a_patch_depends_on_its_number_alone(transforms):
    augment = Augment(transforms, seed=5)
    whole = augment(batch_of([4, 5, 6, 7])).image
    parts = torch.cat([augment(batch_of(numbers)).image for numbers in ([4, 6], [5, 7])])
    assert torch.equal(whole[[0, 2, 1, 3]], parts)
    assert not torch.equal(whole, Augment(transforms, seed=6)(batch_of([4, 5, 6, 7])).image)


def test_no_changes_change_nothing():
    batch = batch_of([1, 2])
    before = batch.image.clone()
    assert torch.equal(Augment(())(batch).image, before)
    assert torch.equal(Augment({})(batch).image, before)


def test_names_are_only_names():
    named = {str(i): transform for i, transform in enumerate(NNUNET)}
    assert torch.equal(Augment(named)(batch_of([1, 2])).image, Augment(NNUNET)(batch_of([1, 2])).image)


def test_the_body_reaches_those_who_ask():
    body = torch.zeros(2, 1, *SHAPE, dtype=torch.bool)
    after = Augment((GaussianNoise(p=1), BodyMask()))(batch_of([1, 2], body)).image
    assert not after.any()


@pytest.mark.parametrize(
    ("kind", "settings", "cure"),
    [
        (GaussianNoise, {"p": 10.0}, "Divide it by 100"),
        (GaussianBlur, {"channel_p": -0.5}, "channel_p"),
        (Gamma, {"gamma": (1.5, 0.7)}, "1.5, 0.7"),
    ],
)
def test_wrong_settings_are_refused_with_the_cure(kind, settings, cure):
    with pytest.raises(ValueError, match=cure):
        kind(**settings)
