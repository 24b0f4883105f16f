"""Augmentation of whole batches: few kernels, nothing waited for, and the same answer as patch by patch."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from kernel_count import Kernels
from patches import SCALED, some
from torch.testing import assert_close

from ingradient_pl.geometry import Grid
from ingradient_pl.kernels.noise import hash_positions
from ingradient_pl.transforms import gaussian_noise, intensity, power_law, volumes
from ingradient_pl.transforms.augment import NNUNET, Augment, BatchTransform
from ingradient_pl.transforms.augmentation_table import AugmentationTable
from ingradient_pl.transforms.channel_intensity import ChannelIntensity
from ingradient_pl.transforms.gaussian_noise import GaussianNoise, normal_noise
from ingradient_pl.transforms.intensity import (
    BodyMask,
    Brightness,
    Contrast,
    Gamma,
    GaussianBlur,
    LowResolution,
)
from ingradient_pl.transforms.intensity_base import Intensity
from ingradient_pl.transforms.intensity_da5 import DA5
from ingradient_pl.transforms.one_of import OneOf
from ingradient_pl.transforms.pack_batch import Packing
from ingradient_pl.transforms.patch import Batch
from ingradient_pl.transforms.prepare_packed import prepare_packed

UNITS = (gaussian_noise, intensity, power_law, volumes)
SHAPES = [(9, 12, 10), (1, 16, 12), (3, 16, 12), (8, 1, 9)]
SETS = {"nnunet": NNUNET, "da5": DA5}
SINGLE = [
    *(change for change in (*NNUNET, *DA5) if not isinstance(change, BodyMask)),
    Gamma(keep_moments=False),
    Gamma(inverted=True, keep_moments=False),
    Contrast(keep_range=False),
]


@pytest.fixture
def as_on_a_device(monkeypatch):
    """Makes a CPU take the way that a GPU takes."""
    for unit in UNITS:
        monkeypatch.setattr(unit, "on_host", lambda voxels: False)


def batch_of(numbers, channels=2, shape=SHAPES[0], device=None):
    images = [np.random.default_rng(n).normal(size=(channels, *shape)).astype(np.float32) for n in numbers]
    image = torch.from_numpy(np.stack(images)).to(device)
    label = torch.zeros(len(numbers), *shape, dtype=torch.uint8, device=device)
    return Batch(image, label, None, ["case"] * len(numbers), list(numbers))


def on_meta(patches, channels, shape, first=0):
    """A batch that holds no numbers."""
    image = torch.empty(patches, channels, *shape, device="meta")
    label = torch.empty(patches, *shape, dtype=torch.uint8, device="meta")
    return Batch(image, label, None, ["case"] * patches, list(range(first, first + patches)))


def certain(change):
    """The same change, in every channel of every patch."""
    if isinstance(change, OneOf):
        return replace(change, changes=tuple(map(certain, change.changes)))
    settings = {"p": 1.0} if hasattr(change, "p") and not isinstance(change, BodyMask) else {}
    return replace(change, **settings, **({"channel_p": 1.0} if hasattr(change, "channel_p") else {}))


def all_ways(transforms, batch, monkeypatch):
    """What becomes of a batch on a CPU, channel by channel and at once, and where a device would take it."""
    found = []
    for large, host in ((0, True), (volumes.LARGE, True), (0, False)):
        monkeypatch.setattr(volumes, "LARGE", large)
        for unit in () if host else UNITS:
            monkeypatch.setattr(unit, "on_host", lambda voxels: False)
        found.append(Augment(transforms, seed=2)(batch._replace(image=batch.image.clone())).image)
    return found


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("change", SINGLE, ids=repr)
def test_a_device_does_to_all_patches_at_once_what_a_cpu_does_to_each(change, shape, monkeypatch):
    each, host, device = all_ways([certain(change)], batch_of(range(5), shape=shape), monkeypatch)
    assert_close(host, each, atol=2e-4, rtol=2e-4)
    assert_close(device, each, atol=2e-4, rtol=2e-4)


@pytest.mark.parametrize("name", SETS)
def test_whole_sets_agree_on_all_ways(name, monkeypatch):
    each, host, device = all_ways(SETS[name], batch_of(range(40)), monkeypatch)
    assert_close(host, each, atol=5e-4, rtol=5e-4)
    assert_close(device, each, atol=5e-4, rtol=5e-4)


@pytest.mark.parametrize("name", SETS)
def test_large_patches_on_a_cpu_do_not_depend_on_their_batch(name, monkeypatch):
    monkeypatch.setattr(volumes, "LARGE", 0)
    augment = Augment(SETS[name], seed=5)
    whole = augment(batch_of(range(24))).image
    assert torch.equal(augment(batch_of([7, 3])).image, whole[[7, 3]])


@pytest.mark.parametrize("name", SETS)
def test_on_a_device_a_patch_does_not_depend_on_its_batch(name, as_on_a_device):
    augment = Augment(SETS[name], seed=5)
    whole = augment(batch_of(range(24))).image
    for numbers in ([3], [0, 7, 23], [9, 2]):
        # products of matrices round by the size of the stack
        assert_close(augment(batch_of(numbers)).image, whole[numbers], atol=2e-5, rtol=1e-5)


@pytest.mark.parametrize("name", SETS)
def test_half_precision_takes_the_same_way(name, as_on_a_device):
    batch = batch_of(range(12))
    exact = Augment(SETS[name])(batch._replace(image=batch.image.clone())).image
    half = Augment(SETS[name])(batch._replace(image=batch.image.half())).image
    assert half.dtype == torch.float16
    assert (half.float() - exact).abs().mean() < 0.02


@pytest.mark.parametrize(
    ("patches", "shape"), [(7, (40, 56, 40)), (2, (128, 128, 128)), (366, (1, 56, 40))], ids=str
)
def test_nnunets_set_takes_forty_kernels_whatever_the_batch(patches, shape):
    hash_positions(int(np.prod(shape)), torch.device("meta"))  # what is kept for the run
    counts = []
    for first in range(0, 10 * patches, patches):
        batch = on_meta(patches, 1, shape, first)
        with Kernels() as kernels:
            Augment()(batch)
        counts.append(kernels.total)
        assert kernels.copies <= 1
    assert max(counts) <= 40


@pytest.mark.parametrize("name", SETS)
def test_the_kernels_do_not_grow_with_the_patches(name):
    changes = [certain(change) for change in SETS[name] if not isinstance(change, BodyMask)]
    counts = set()
    for patches in (8, 8, 64):
        batch = on_meta(patches, 2, (4, 16, 16))
        with Kernels() as kernels:
            Augment(changes)(batch)
        counts.add(kernels.total)
    assert min(counts) == kernels.total
    assert len(counts) <= 2


def test_a_change_that_nobody_drew_launches_nothing():
    batch = on_meta(3, 1, (4, 16, 16))
    with Kernels() as kernels:
        Augment([replace(change, p=0.0) for change in NNUNET[:-1]])(batch)
    assert kernels.total == 0


def test_what_is_drawn_elsewhere_is_what_is_done():
    augment, batch = Augment(seed=4), batch_of(range(20))
    expected = augment(batch._replace(image=batch.image.clone())).image
    words = augment.draw(batch.numbers, 2, SHAPES[0])
    assert np.array_equal(words, augment.draw(batch.numbers, 2, SHAPES[0]))
    with_table = batch._replace(augmentation=AugmentationTable(words, torch.from_numpy(words.copy())))
    augment.seed = -1  # draws nothing more
    assert torch.equal(augment(with_table).image, expected)


@pytest.mark.parametrize(
    ("numbers", "channels", "shape", "transforms"),
    [
        (range(3), 2, SHAPES[0], NNUNET),
        (range(4), 1, SHAPES[0], NNUNET),
        (range(4), 2, (9, 12, 11), NNUNET),
        (range(4), 2, SHAPES[0], NNUNET[:2]),
    ],
)
def test_a_table_for_other_patches_or_changes_is_refused(numbers, channels, shape, transforms):
    words = Augment(transforms).draw(list(numbers), channels, shape)
    batch = batch_of(range(4))._replace(augmentation=AugmentationTable(words, torch.from_numpy(words)))
    with pytest.raises(ValueError, match=r"drawn for .* the batch has \(4, 2, 9, 12, 10, 5\)"):
        Augment()(batch)


def test_bends_in_one_pass_are_bends_one_after_the_other():
    image = batch_of(range(6)).image
    inverted, plain = Gamma(inverted=True, gamma=(1.4, 1.4)), Gamma(gamma=(1.3, 1.3))
    pair = [replace(change, p=1.0) for change in (inverted, plain)]
    together = Augment(pair)(batch_of(range(6))).image
    apart = image.clone()
    for change in pair:
        change(apart, [np.random.default_rng(0)] * 6)
    assert len(Augment(pair).stages) == 1
    assert_close(together, apart, atol=2e-5, rtol=1e-5)


def test_changes_of_nnunets_set_that_share_a_pass():
    shared = [[type(change) for change in stage.changes] for stage in Augment().stages]
    assert shared[:2] == [[GaussianNoise], [GaussianBlur]]
    assert shared[2:] == [
        [Brightness, Contrast],
        [LowResolution],
        [Gamma, Gamma],
    ]


def test_filters_are_multiplied_in_full_precision_whatever_the_network_may_do():
    @dataclass(frozen=True)
    class Precision(Invert):
        def apply(self, volumes, values):
            assert torch.get_float32_matmul_precision() == "highest"
            return volumes

    torch.set_float32_matmul_precision("medium")
    try:
        Augment([Precision(p=1.0)])(batch_of([0]))
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision("highest")


# Noise


def test_noise_is_normal_and_independent():
    keys = np.random.default_rng(0).integers(-(2**31), 2**31, (48, 2)).astype(np.int32)
    keys[:, 1] |= 1
    voxels = 1 << 16
    noise = (normal_noise(torch.from_numpy(keys), voxels) * 2**0.5).double()
    assert noise.mean().abs() < 4 / noise.numel() ** 0.5
    for power, expected in ((2, 1), (3, 0), (4, 3), (6, 15)):
        error = (noise**power).std() / noise.numel() ** 0.5
        assert (noise**power).mean() == pytest.approx(expected, abs=4 * float(error))
    assert noise.abs().max() > 4.5
    for values in (noise, (noise**2 - 1) / 2**0.5):
        between = (values @ values.T).fill_diagonal_(0) / voxels**0.5
        assert between.abs().max() < 5
        for lag in (1, 2, 40, 56, 64, 4096):
            along = (values[:, lag:] * values[:, :-lag]).mean() * values.numel() ** 0.5
            assert abs(along) < 4.5


def test_noise_of_a_device_is_that_of_a_cpu(monkeypatch):
    keys = torch.tensor([[12345, 678901], [-98765, -4321]], dtype=torch.int32)
    host = normal_noise(keys, 3 * gaussian_noise.BLOCK + 5)
    monkeypatch.setattr(gaussian_noise, "on_host", lambda voxels: False)
    assert torch.equal(normal_noise(keys, 3 * gaussian_noise.BLOCK + 5), host)


# Changes of one's own


@dataclass(frozen=True)
class Shift(Intensity):
    """Somebody's change, of one patch."""

    by: float = 1.0
    p: float = 0.5

    def change(self, patch, rng):
        patch += self.by * rng.random()


@dataclass(frozen=True)
class Invert(ChannelIntensity):
    """Somebody's change, of whole batches."""

    p: float = 0.5

    def parameters(self, numbers, shape):
        return np.ones((len(numbers), 1), np.float32)

    def apply(self, volumes, values):
        return volumes * -values[:, :, None, None]


@dataclass(frozen=True)
class OwnBrightness(Brightness):
    """Somebody's change, made of one of ours."""

    def change(self, patch, rng):
        patch.mul_(7.0)


class Swap(BatchTransform):
    """Somebody's change of image and label, here of the patches' order."""

    def __call__(self, batch, rngs):
        assert len(rngs) == len(batch.numbers)
        return batch._replace(image=batch.image.flip(0), label=batch.label + 1)


@pytest.mark.parametrize("change", [Shift(), Invert(), OneOf((Shift(p=1), Brightness(p=1)))], ids=repr)
def test_somebodys_change_depends_on_the_number_alone(change):
    augment = Augment({"noise": GaussianNoise(p=1), "mine": change, "gamma": Gamma(p=1)}, seed=3)
    whole = augment(batch_of(range(8))).image
    assert torch.equal(augment(batch_of([5, 2])).image, whole[[5, 2]])
    without = Augment({"noise": GaussianNoise(p=1), "mine": None, "gamma": Gamma(p=1)}, seed=3)
    same = (without(batch_of(range(8))).image - whole).flatten(1).abs().amax(1) < 1e-6
    assert not same.all()


def test_a_method_that_was_written_anew_is_called():
    image = batch_of([0]).image
    assert_close(Augment([OwnBrightness(p=1.0)])(batch_of([0])).image, image * 7)
    both = Augment([OneOf((OwnBrightness(p=1.0),))])
    assert_close(both(batch_of([0])).image, image * 7)
    assert both.stages == []


@dataclass(frozen=True)
class OwnNoise(GaussianNoise):
    """Somebody's noise: all of one size."""

    def addend(self, shape, values):
        return torch.ones(len(values), *shape, device=values.device)


def test_noise_that_was_written_anew_is_not_made_by_the_kernel(as_on_a_device):
    image = batch_of([0]).image
    assert_close(Augment([OwnNoise(p=1.0)])(batch_of([0])).image, image + 1)
    with Kernels() as kernels:
        Augment([OwnNoise(p=1.0)])(on_meta(2, 1, SHAPES[0]))
    assert "add_noise_" not in str(kernels.operations)


def test_a_change_of_whole_batches_sees_the_label_and_comes_before_the_mask():
    batch = batch_of(range(3))
    body = torch.zeros(3, 1, *SHAPES[0], dtype=torch.bool)
    after = Augment([BodyMask(), Swap(), Invert(p=1.0)])(batch._replace(image=batch.image.clone(), body=body))
    assert not after.image.any()
    assert (after.label == 1).all()
    after = Augment([Swap(), Invert(p=1.0)])(batch._replace(image=batch.image.clone()))
    assert torch.equal(after.image, -batch.image.flip(0))


@pytest.mark.parametrize("change", [Intensity(), BatchTransform()], ids=["Intensity", "BatchTransform"])
def test_a_change_without_its_method_says_so(change):
    with pytest.raises(NotImplementedError, match="write its method"):
        Augment([change])(batch_of([0]))


def test_an_image_that_lies_otherwise_in_memory_is_changed_as_well():
    batch = batch_of(range(4))
    expected = Augment()(batch._replace(image=batch.image.clone())).image
    strided = batch.image.to(memory_format=torch.channels_last_3d)
    after = Augment()(batch._replace(image=strided)).image
    assert after.data_ptr() == strided.data_ptr()
    assert torch.equal(after, expected)


def test_low_resolution_and_blur_leave_an_axis_of_one_voxel():
    for change in (GaussianBlur(p=1, channel_p=1), LowResolution(factor=(0.5, 0.5), p=1, channel_p=1)):
        after = Augment([change])(batch_of(range(2), shape=(1, 1, 16))).image
        assert after.shape == (2, 2, 1, 1, 16)
        assert torch.isfinite(after).all()


def test_workers_draw_what_a_batch_would_draw_itself():
    """The packed batch brings its augmentation in its one copy."""
    made = some(Grid((14, 18, 16), (1.0, 1.0, 1.0)), SHAPES[0], (1.0, 1.0, 1.0), [SCALED] * 8)
    batch = prepare_packed(Packing(SHAPES[0], None, 1, Augment(seed=6).draw)(made))
    assert batch.augmentation is not None
    after = Augment(seed=6)(batch._replace(image=batch.image.clone())).image
    itself = Augment(seed=6)(batch._replace(image=batch.image.clone(), augmentation=None)).image
    assert torch.equal(after, itself)
    assert not torch.equal(after, batch.image)
