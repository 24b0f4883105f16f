from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from patches import sampling_of
from torch.testing import assert_close
from torch.utils._python_dispatch import TorchDispatchMode

from ingradient_pl.draws.affine import RandomAffine
from ingradient_pl.draws.records import Candidate
from ingradient_pl.draws.training import PlannedDraws
from ingradient_pl.geometry import Grid
from ingradient_pl.store.statistics import ChannelStatistics, Statistics
from ingradient_pl.transforms import gaussian_noise, intensity, labels, power_law, volumes
from ingradient_pl.transforms import resample as resample_module
from ingradient_pl.transforms.augment import NNUNET, Augment
from ingradient_pl.transforms.gaussian_noise import GaussianNoise
from ingradient_pl.transforms.intensity import BodyMask
from ingradient_pl.transforms.intensity_da5 import DA5
from ingradient_pl.transforms.normalise import ZScore
from ingradient_pl.transforms.patch import AxisSampling, Interpolation, ObliqueSampling, Patch, PlaneSampling
from ingradient_pl.transforms.prepare_batch import Prepare
from ingradient_pl.transforms.sampling_matrices import separate_axis

NATIVE = Grid((30, 44, 40), (2.0, 1.0, 1.2))
SHAPE = (16, 24, 20)
STILL = RandomAffine(rotation_p=0, scaling_p=0, mirror=(False, False, False))
TURNED = RandomAffine(rotation_p=1, scaling_p=1)
FLAT = replace(TURNED, flat=True)


def phantom(dtype=np.int16, channels=1):
    """A bright ellipsoid (label 1) with a brighter end (label 2), and noise."""
    z, y, x = np.ogrid[:30, :44, :40]
    inside = ((z - 15) / 9) ** 2 + ((y - 22) / 13) ** 2 + ((x - 20) / 12) ** 2 < 1
    label = (inside * np.where(z > 19, 2, 1)).astype(np.uint8)
    image = np.random.default_rng(0).normal(100, 5, (channels, *label.shape)) + 500.0 * label
    return image.astype(dtype), label


def patch_of(number, affine, spacing=(1.5, 1.5, 1.5), image=None, body=None):
    voxels, label = phantom()
    voxels = voxels if image is None else image
    foreground = {k: np.argwhere(label == k).astype(np.int32) for k in (1, 2)}
    draws = PlannedDraws(SHAPE, spacing, affine=affine)
    draw = draws.draw(number, [Candidate("phantom", NATIVE, foreground, (1, 2))])
    known = [Statistics.of(channel) for channel in voxels]
    terms = torch.tensor([ZScore().terms(ChannelStatistics(s, s, None)) for s in known])
    wanted = sampling_of(NATIVE, draw, draws)
    cut = torch.from_numpy(voxels[(slice(None), *wanted.image_box.slices)])
    inside = None if body is None else torch.from_numpy(body[wanted.image_box.slices])
    part = torch.from_numpy(label[wanted.label_box.slices])
    return Patch("phantom", number, cut, part, wanted.start, inside, terms, wanted.sampling)


@pytest.mark.parametrize(
    "affine", [STILL, RandomAffine(rotation_p=0, scaling_p=1), TURNED], ids=["still", "scaled", "turned"]
)
@pytest.mark.parametrize("spacing", [(2.0, 1.0, 1.2), (1.5, 1.5, 1.5), (3.0, 0.8, 0.8)], ids=str)
def test_image_and_label_stay_together_whatever_the_motion(affine, spacing):
    """Bright is foreground before; it has to be afterwards, and zero (the padding) is neither."""
    prepare = Prepare(SHAPE)
    voxels, _ = phantom()
    middle = (350 - voxels.mean()) / voxels.std()
    for number in range(6):
        batch = prepare([patch_of(number, affine, spacing)])
        assert batch.image.shape == (1, 1, *SHAPE)
        assert batch.image.dtype == torch.float32
        bright = batch.image[:, 0] > middle
        assert (bright != (batch.label > 0)).float().mean() < 0.02
        assert set(batch.label.unique().tolist()) <= {0, 1, 2}


@pytest.mark.parametrize("affine", [STILL, RandomAffine(rotation_p=0, scaling_p=1), TURNED, FLAT], ids=str)
@pytest.mark.parametrize("spacing", [(2.0, 1.0, 1.2), (1.5, 1.5, 1.5), (3.5, 0.8, 0.8)], ids=str)
def test_what_the_way_does_not_use_is_left_out(affine, spacing):
    picked = separate_axis(NATIVE.spacing, spacing) is not None and affine is not TURNED
    for number in range(8):
        least = patch_of(number, affine, spacing)
        way = least.sampling
        axes = [] if affine is TURNED else [way.z] if affine is FLAT else way.axes
        splined = any(isinstance(axis, Interpolation) for axis in axes)
        assert (least.label.numel() < least.image.numel()) == splined  # without the spline's margin
        if picked:  # no slice beyond the nearest
            nearest = axes[0].nearest
            assert least.image.shape[1] == nearest.max() + 1 == len(range(nearest.min(), nearest.max() + 1))


def test_a_batch_is_its_patches():
    prepare = Prepare(SHAPE)
    patches = [patch_of(number, TURNED) for number in range(3)]
    whole = prepare(patches)
    for place, patch in enumerate(patches):
        alone = prepare([patch])
        assert torch.equal(whole.image[place], alone.image[0])
        assert torch.equal(whole.label[place], alone.label[0])
    assert whole.numbers == [0, 1, 2]
    assert whole.cases == ["phantom"] * 3
    assert whole.body is None


def test_patches_are_left_as_they_were():
    patch = patch_of(1, RandomAffine(rotation_p=0, scaling_p=1), image=phantom(np.float32)[0])
    before = patch.image.clone()
    Prepare(SHAPE)([patch])
    assert torch.equal(patch.image, before)


@pytest.mark.parametrize("dtype", [np.int16, np.uint16, np.int32, np.float32, np.uint8])
def test_any_native_dtype_gives_the_same_input(dtype):
    image = (phantom(np.float64)[0] / 8).round()
    expected = Prepare(SHAPE)([patch_of(2, STILL, image=image.astype(np.float32))])
    found = Prepare(SHAPE)([patch_of(2, STILL, image=image.astype(dtype))])
    assert_close(found.image, expected.image, atol=1e-4, rtol=0)


def test_the_spline_never_leaves_the_range_of_the_case():
    voxels, _ = phantom()
    low, high = ((end - voxels.mean()) / voxels.std() for end in (voxels.min(), voxels.max()))
    batch = Prepare(SHAPE)([patch_of(number, STILL, (1.1, 0.7, 0.9)) for number in range(4)])
    assert batch.image.min() >= low - 1e-4
    assert batch.image.max() <= high + 1e-4


@pytest.mark.parametrize("affine", [STILL, TURNED], ids=["still", "turned"])
def test_outside_the_body_is_zero_in_the_channels_that_ask(affine):
    body = phantom()[1] > 0
    image = phantom(channels=2)[0]
    prepare = Prepare(SHAPE, masked=[True, False])
    batch = prepare(
        [patch_of(3, affine, NATIVE.spacing, image, body), patch_of(4, affine, NATIVE.spacing, image)]
    )
    assert batch.body is not None
    assert batch.body[1].any()
    if affine is STILL:
        assert not batch.image[0, 0][~batch.body[0, 0]].any()
        assert torch.equal(batch.body[0, 0], batch.label[0] > 0)
    assert batch.body[:, 1].all()
    assert batch.image[0, 1][~batch.body[0, 0]].any()
    kept = batch.image[:, 1].clone()
    assert torch.equal(
        Augment((BodyMask(),))(batch).image[:, 1], kept
    )  # what validation keeps training keeps


@pytest.mark.parametrize("affine", [RandomAffine(rotation_p=0, scaling_p=1), TURNED, FLAT], ids=str)
def test_labels_are_the_nearest_voxels_where_that_is_wanted(affine):
    apart = 0.0
    for number in range(6):
        patch = patch_of(number, affine)
        voted, found = (Prepare(SHAPE, label_order=order)([patch]).label[0] for order in (1, 0))
        whole, way = patch.label.float(), patch.sampling
        if isinstance(way, AxisSampling):
            (z, _), (y, _), (x, _) = way.padding
            places = [(axis.positions + 0.5).floor().long() for axis in way.axes]
            nearest = whole[places[0]][:, places[1]][:, :, places[2]]
            expected = torch.zeros(SHAPE)
            expected[z:, y:, x:][tuple(map(slice, nearest.shape))] = nearest
        else:
            if isinstance(way, PlaneSampling):
                (z, z_), axis = way.padding, way.z
                slices = whole[(axis.positions + 0.5).floor().long()]
                grid = F.affine_grid(way.matrix[None], [1, 1, *SHAPE[1:]], align_corners=False)
                sampled = F.grid_sample(slices[None], grid, mode="nearest", align_corners=False)[0]
                expected = F.pad(sampled, (0, 0, 0, 0, z, z_))
            else:
                grid = F.affine_grid(way.matrix[None], [1, 1, *SHAPE], align_corners=False)
                expected = F.grid_sample(whole[None, None], grid, mode="nearest", align_corners=False)[0, 0]
        assert (found != expected).float().mean() < 1e-3  # but for ties
        apart += float((found != voted).float().mean())
    assert 1e-4 < apart / 6 < 0.05


def test_an_unknown_order_of_labels_is_refused():
    with pytest.raises(ValueError, match=r"linear.*nearest.*got 3"):
        Prepare(SHAPE, label_order=3)


def test_a_patch_is_masked_whatever_others_its_batch_holds():
    """A case that is body all over is masked where its patch sticks out, as beside one that is not."""
    small = Grid((10, 14, 12), (1.5, 1.5, 1.5))
    draws = PlannedDraws(SHAPE, small.spacing, affine=STILL)
    voxels = torch.from_numpy(np.random.default_rng(0).integers(50, 90, (1, *small.shape)).astype(np.int16))
    terms = torch.tensor([[50.0, 90.0, 60.0, 10.0]])

    def patch(number, body):
        draw = draws.draw(number, [Candidate("small", small, {}, ())])
        reading = sampling_of(small, draw, draws)
        cut = voxels[(slice(None), *reading.image_box.slices)]
        label = torch.ones(reading.label_box.shape, dtype=torch.uint8)
        return Patch("small", number, cut, label, reading.start, body, terms, reading.sampling)

    inside = torch.from_numpy(np.arange(small.shape[0])[:, None, None] > np.zeros(small.shape) + 4)
    whole, partly = patch(0, None), patch(1, inside)
    prepare, augment = Prepare(SHAPE, [True]), Augment([GaussianNoise((1.0, 1.0), p=1.0), BodyMask()])
    alone, together = (augment(prepare(batch)) for batch in ([whole], [whole, partly]))
    assert torch.equal(alone.image[0], together.image[0])
    assert torch.equal(alone.body[0], together.body[0])
    assert 0 < alone.body.float().mean() < 1
    assert (alone.image[~alone.body] == 0).all()
    assert Prepare(SHAPE, [False])([whole]).body is None


def test_many_labels_as_16_bit_come_through():
    patch = patch_of(5, STILL)
    many = patch._replace(label=(patch.label.int() * 300).to(torch.uint16))
    found = Prepare(SHAPE)([many]).label
    assert_close(found // 300, Prepare(SHAPE)([patch]).label.int())


AUGMENTATION = (gaussian_noise, intensity, power_law, volumes)


class Sleepless(TorchDispatchMode):
    """Refuses whatever makes the host wait for a device, or gives a shape that only the device knows."""

    WAITS = ("_local_scalar_dense", "nonzero", "masked_select", "is_nonzero", "unique", "equal")

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        assert not any(name in str(func).split(".")[1] for name in self.WAITS), func
        if "index.Tensor" in str(func):
            assert not any(at is not None and at.dtype == torch.bool for at in args[1]), func
        return func(*args, **(kwargs or {}))


def fetched(tensor, *_, **__):
    raise AssertionError("a tensor was brought to the host")


@pytest.mark.parametrize("flat", [False, True], ids=["turned in space", "turned in slices"])
@pytest.mark.parametrize("inside", [False, True], ids=["no body", "body"])
@pytest.mark.parametrize("transforms", [NNUNET, DA5], ids=["nnunet", "da5"])
def test_no_device_is_waited_for(transforms, inside, flat, monkeypatch):
    """What a GPU would do, done on the CPU: the ways that differ are chosen by ``at_hand`` alone."""
    affine = RandomAffine(rotation_p=0.5, scaling_p=0.5, flat=flat)
    body = phantom()[1] > 0 if inside else None
    patches = [patch_of(number, affine, body=body) for number in range(6)]
    turned = PlaneSampling if flat else ObliqueSampling
    assert {type(patch.sampling) for patch in patches} == {AxisSampling, turned}
    expected = Prepare(SHAPE)(patches)
    for unit in (resample_module, labels, *AUGMENTATION):
        monkeypatch.setattr(unit, "on_host", lambda voxels: False)
    for name in ("cpu", "numpy", "tolist", "item"):
        monkeypatch.setattr(torch.Tensor, name, fetched)
    changes = [change if isinstance(change, BodyMask) else replace(change, p=1.0) for change in transforms]
    with Sleepless():
        batch = Prepare(SHAPE)(patches)
        image, label = batch.image.clone(), batch.label.clone()
        Augment(changes)(batch)
    monkeypatch.undo()
    assert_close(image, expected.image, atol=1e-5, rtol=0)
    assert torch.equal(label, expected.label)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_gpu_gives_what_the_cpu_gives():
    from pytorch_lightning.utilities import move_data_to_device

    patches = [patch_of(number, TURNED if number % 2 else STILL) for number in range(4)]
    expected = Prepare(SHAPE)(patches)
    found = Prepare(SHAPE)(move_data_to_device(patches, torch.device("cuda")))
    assert_close(found.image.cpu(), expected.image, atol=1e-3, rtol=0)
    assert (found.label.cpu() != expected.label).float().mean() < 1e-3
